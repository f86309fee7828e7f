//! What a client does with each frame that comes in.

use super::inbox::Entry;
use super::presence;
use super::seen::{Disposition, Repetition};
use super::session::{ClientPhase, State};
use crate::codec::Reader;
use crate::error::AbortCode;
use crate::time::Instant;
use crate::wire::control::Control;
use crate::wire::item::{Deliver, DeliveryPast, DownItem, Refused};
use crate::wire::kind;

impl State {
    /// Takes a frame; one that is not allowed ends the link.
    pub(super) fn frame(&mut self, m: &mut [u8], now: Instant, body: &[u8]) {
        if let Err(code) = self.try_frame(m, now, body) {
            self.fail(now, code);
        }
    }

    fn try_frame(&mut self, m: &mut [u8], now: Instant, body: &[u8]) -> Result<(), AbortCode> {
        let mut reader = Reader::new(body);
        let frame_kind = reader.u8().map_err(|_| AbortCode::Malformed)?;
        if frame_kind >= kind::MESSAGE {
            let is_read = presence::IS_READ || !matches!(frame_kind, kind::PRESENCE..=kind::PRESENCE_SYNCED);
            let item = if is_read {
                Some(DownItem::read(frame_kind, &mut reader).map_err(|_| AbortCode::Malformed)?)
            } else {
                // Under a watch that was never begun: it counts as taken, and says nothing.
                None
            };
            if !matches!(self.phase, ClientPhase::Up(_)) {
                return Err(AbortCode::UnexpectedFrame);
            }
            return self.item(m, item, body);
        }
        let is_out_of_place = match frame_kind {
            // These go up, never down.
            kind::HELLO | kind::PROOF | kind::GOODBYE => true,
            kind::STATE => self.lossy.is_none(),
            _ => false,
        };
        if is_out_of_place {
            return Err(AbortCode::UnexpectedFrame);
        }
        let control = Control::read_down(frame_kind, &mut reader).map_err(|_| AbortCode::Malformed)?;
        match (control, self.phase) {
            (Control::Abort(abort), _) => {
                self.aborted(now, abort);
                Ok(())
            }
            (Control::Welcome(welcome), ClientPhase::Opening { .. }) => self.welcome(m, now, &welcome),
            (Control::Ack(more), ClientPhase::Up(_)) => self.acknowledged(m, more),
            (Control::Window(window), ClientPhase::Up(_)) => {
                let session = self.session.as_mut().ok_or(AbortCode::UnexpectedFrame)?;
                session.sending.set_window(window);
                Ok(())
            }
            (Control::Ping, ClientPhase::Up(_)) => Ok(()),
            (Control::Farewell, ClientPhase::Up(_)) => self.farewell(),
            (Control::State(state), ClientPhase::Up(_)) => self.receive_state(m, now, &state),
            _ => Err(AbortCode::UnexpectedFrame),
        }
    }

    pub(super) fn acknowledged(&mut self, m: &mut [u8], more: u64) -> Result<(), AbortCode> {
        let half_written = self.current.is_some_and(|current| current.is_item());
        let sending = &mut self.session.as_mut().ok_or(AbortCode::UnexpectedFrame)?.sending;
        let up_to = sending.acknowledge(more, half_written)?;
        self.outbox.acknowledge(m, up_to, |bytes| sending.release(bytes));
        self.inbox.acknowledge_declines(m, up_to);
        self.watching.acknowledge(m, up_to);
        Ok(())
    }

    fn item(&mut self, m: &mut [u8], item: Option<DownItem<'_>>, body: &[u8]) -> Result<(), AbortCode> {
        let number = self.session.as_ref().ok_or(AbortCode::UnexpectedFrame)?.receiving.received() + 1;
        // Deliveries that do not come count as taken.
        let count = if let Some(DownItem::Void(count)) = item { count } else { 1 };
        let count = if canary!(CountsVoidOnce) { 1 } else { count };
        if count > 1 && self.lossy.is_some() {
            // Each item stands for itself where the one before may come later.
            return Err(AbortCode::UnexpectedFrame);
        }
        if let Some(item) = item {
            self.take_item(m, number, item, body)?;
        }
        // Only now: what failed must come again.
        if let Some(session) = &mut self.session {
            session.receiving.receive_many(count);
        }
        Ok(())
    }

    fn take_item(
        &mut self,
        m: &mut [u8],
        number: u64,
        item: DownItem<'_>,
        body: &[u8],
    ) -> Result<(), AbortCode> {
        match item {
            DownItem::Deliver(deliver) => self.deliver(m, number, &deliver),
            DownItem::Accepted(accepted) => {
                self.outbox.accepted(m, &accepted);
                Ok(())
            }
            DownItem::Final(ended) => {
                self.outbox.ended(m, &ended);
                Ok(())
            }
            DownItem::Refusal(Refused::Attributes, _, reason) => {
                debug!("e_pigeon::client", "{}: attributes refused: {reason}", self.uuid);
                self.lifecycle.attributes_refused = Some(reason);
                Ok(())
            }
            DownItem::Refusal(Refused::Watch, watch, reason) => {
                if self.watching.refuse(m, watch, reason) {
                    Ok(())
                } else {
                    Err(AbortCode::UnexpectedFrame)
                }
            }
            DownItem::Presence(watch, ..)
            | DownItem::PresenceReset(watch)
            | DownItem::PresenceSynced(watch) => {
                let fits = self.watching.take(m, self.lent_at, number, watch, body);
                if fits { Ok(()) } else { Err(AbortCode::WindowExceeded) }
            }
            DownItem::Void(_) => Ok(()),
        }
    }

    fn deliver(&mut self, m: &mut [u8], number: u64, deliver: &Deliver<'_>) -> Result<(), AbortCode> {
        if deliver.payload.len() > self.max_payload as usize {
            return Err(AbortCode::FrameTooLarge);
        }
        let is_defined = match &deliver.define {
            Some(origin) => self.seen.define(m, deliver.alias, origin),
            // Each item stands for itself where the one before may come later.
            None => self.lossy.is_none(),
        };
        if !is_defined {
            return Err(AbortCode::BadAlias);
        }
        let (sender, id) = self.seen.resolve(m, deliver.alias, deliver.id_step).ok_or(AbortCode::BadAlias)?;
        let repetition = deliver.retry.map(|past| Repetition {
            past,
            direct: deliver.direct,
            here: match past {
                DeliveryPast::Taken { epoch, session, .. } => self.was_here(epoch, session),
                DeliveryPast::Sent | DeliveryPast::Parked => false,
            },
            had_been_here: match past {
                DeliveryPast::Taken { epoch, session, .. } => self.had_been_here(epoch, session),
                DeliveryPast::Sent | DeliveryPast::Parked => false,
            },
        });
        let disposition = self.seen.classify(m, sender, id, deliver.late, repetition);
        trace!(
            "e_pigeon::client",
            "{}: message {id}, {} bytes: {disposition:?}",
            self.uuid,
            deliver.payload.len()
        );
        let fits = match disposition {
            Disposition::HandOn => {
                let origin = self.seen.origin(m, sender);
                let entry = Entry { origin, id, repeated: repetition.is_some(), direct: deliver.direct };
                let (m, lent) = m.split_at_mut(self.lent_at.min(m.len()));
                self.inbox.push(m, lent, number, &entry, deliver.payload)
            }
            Disposition::HadIt => true,
            Disposition::Decline => self.inbox.decline(m, number),
        };
        if fits { Ok(()) } else { Err(AbortCode::WindowExceeded) }
    }
}
