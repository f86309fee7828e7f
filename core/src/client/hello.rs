//! The handshake: the hello of a link, and the welcome that answers it. (PROTOCOL.md, "Handshake")

use super::event::{Close, Established};
use super::session::{ClientPhase, ClientSession, Said, State};
use crate::codec::shift;
use crate::data::attributes::AttributesRef;
use crate::error::AbortCode;
use crate::link::keep_alive::KeepAlive;
use crate::link::numbers::{Receiving, Sending};
use crate::time::{Instant, Moment};
use crate::wire::control::{Hello, Known, Welcome};
use core::num::NonZeroU64;

impl State {
    /// Makes the hello of this link; its fields stay as they are from here on.
    pub(super) fn begin_hello(&mut self, m: &mut [u8]) {
        let received = self.session.as_ref().map_or(0, |session| session.receiving.received());
        let taken = self.taken(m, received);
        if let Some(session) = &mut self.session {
            let acknowledged = taken.max(session.receiving.told());
            session.receiving.tell_in_handshake(acknowledged);
        }
        let known = self.inbox.window(m);
        let only_leaves =
            self.closing == Some(Close::EndSession) && self.outbox.unanswered(m).next().is_none();
        self.said = Some(Said { known, fresh: self.inbox.fresh_window(m), only_leaves });
        let length = usize::from(self.attributes_len);
        let from = self.attributes.range().start;
        shift(m, from..from + length, self.hello_attributes_at());
        self.hello_attributes_len = self.attributes_len;
        self.covered_sets = self.sets;
    }

    /// The hello of this link. What is not kept for it does not change before its answer.
    pub(super) fn hello(&self) -> Option<Hello> {
        let said = self.said?;
        let known = self.session.as_ref().map(|session| Known {
            epoch: session.epoch.to_le_bytes(),
            session: session.number.get(),
            received: session.receiving.received(),
            acknowledged: session.receiving.told(),
            window: said.known,
        });
        Some(Hello {
            uuid: *self.uuid.as_bytes(),
            secret: self.secret.0,
            boot: self.boot.to_le_bytes(),
            link: self.link,
            known,
            window: said.fresh,
            max_payload: self.max_payload,
            aliases: self.aliases,
            receives: self.receives && !said.only_leaves,
            presence: self.watching.items(),
        })
    }

    fn hello_attributes_at(&self) -> usize {
        self.attributes.range().start.saturating_sub(self.attributes.len())
    }

    /// The attributes of the hello.
    pub(super) fn hello_attributes<'m>(&self, m: &'m [u8]) -> AttributesRef<'m> {
        if self.said.is_some_and(|said| said.only_leaves) {
            return AttributesRef::EMPTY;
        }
        let at = self.hello_attributes_at();
        let bytes = m.get(at..at + usize::from(self.hello_attributes_len));
        AttributesRef::trusted(bytes.unwrap_or(&[0]))
    }

    /// The broker has given this client a session.
    pub(super) fn welcome(&mut self, m: &mut [u8], now: Instant, welcome: &Welcome) -> Result<(), AbortCode> {
        // Nor is it an answer where the hello is not whole yet.
        let said = self.said.take().filter(|_| self.current.is_none()).ok_or(AbortCode::UnexpectedFrame)?;
        if welcome.keep_alive_ms == 0 {
            return Err(AbortCode::Malformed);
        }
        let epoch = u64::from_le_bytes(welcome.epoch);
        let time_to_live = welcome.session_ttl_ms.saturating_mul(1_000);
        let max_payload = welcome.max_payload;
        let received = welcome.resumed.map_or(0, |resumed| resumed.received);
        let established = if let Some(resumed) = welcome.resumed {
            let session = self.session.as_mut().ok_or(AbortCode::UnexpectedFrame)?;
            if (session.epoch, session.number.get()) != (epoch, welcome.session) {
                return Err(AbortCode::UnexpectedFrame);
            }
            let sending = &mut session.sending;
            sending.resume(resumed.received, resumed.acknowledged, welcome.window)?;
            self.outbox.resume(m, resumed.received, resumed.acknowledged, |bytes| sending.release(bytes));
            self.inbox.acknowledge_declines(m, resumed.acknowledged);
            self.watching.acknowledge(m, resumed.acknowledged);
            self.inbox.resume(m, resumed.received);
            (session.time_to_live, session.max_payload) = (time_to_live, max_payload);
            self.told_window = said.known;
            if canary!(SaysAcknowledgementOnce) {
                let taken = self.inbox.acknowledged(m, session.receiving.received());
                session.receiving.tell_in_handshake(taken.max(session.receiving.told()));
            }
            Established::Resumed
        } else {
            let sending = Sending::fresh(welcome.window);
            let receiving = Receiving::default();
            let number = NonZeroU64::new(welcome.session).ok_or(AbortCode::Malformed)?;
            self.session =
                Some(ClientSession { epoch, number, sending, receiving, time_to_live, max_payload });
            self.outbox.restart(m, now, self.covered_sets);
            self.inbox.start_session();
            self.watching.start_session(m);
            self.told_window = said.fresh;
            self.epochs.remember(epoch, welcome.session);
            if self.had_session { Established::Lost } else { Established::Fresh }
        };
        debug!(
            "e_pigeon::client",
            "{}: session {} of {epoch:016x}, {established:?}", self.uuid, welcome.session
        );
        // No message under way is larger: the broker took those.
        self.outbox.refuse_larger_than(m, max_payload);
        self.had_session = true;
        if let Some(lossy) = &mut self.lossy {
            lossy.establish(welcome, received);
        }
        self.slots.limit(welcome.slots);
        self.phase = ClientPhase::Up(KeepAlive::new(now, welcome.keep_alive_ms));
        self.up_or_lost_at = Moment::at(now);
        self.carried = false;
        self.outbox.recheck_deadlines(now);
        self.lifecycle.establish(established);
        Ok(())
    }
}
