//! What the broker does with a hello: a new session, the old one, or none.

use super::event::BrokerEvent;
use super::jobs::Job;
use super::links::NO_LINK;
use super::links::Phase;
use super::lossy::LINE_TIME_TO_LIVE;
use super::queue::Notice;
use super::receive::open_window;
use super::sessions::NO_SESSION;
use super::sessions::NewSession;
use super::sources::Limit;
use super::state::Broker;
use super::timers::Timer;
use super::watches::MAX_UNACKNOWLEDGED;
use super::work::Progress;
use super::work::{HELLO, OUTCOME, PAIR, SET};
use crate::bug::OrBug;
use crate::data::attributes::AttributesRef;
use crate::data::destination::MAX_DESTINATION_BYTES;
use crate::data::message::RefusalReason;
use crate::data::patch::PatchRef;
use crate::error::AbortCode;
use crate::handshake::{Facts, Holder, Verdict, judge};
use crate::link::keep_alive::KeepAlive;
use crate::link::numbers::{Receiving, Sending};
use crate::time::{Moment, micros, millis_rounded_up};
use crate::wire::control::{Abort, Hello, Resumed, Welcome};
use crate::wire::item::{Origin, Refused};
use crate::wire::limits::{MAX_ALIASES, MAX_HELLO, MAX_OVERHEAD};
use alloc::boxed::Box;
use uuid::Uuid;

/// A refusal of a hello.
fn refuse(code: AbortCode) -> Abort {
    Abort { code, detail: 0 }
}

impl Broker {
    /// Takes the hello of a link, and gives it a session.
    pub(super) fn hello(
        &mut self,
        link: u32,
        hello: &Hello,
        attributes: AttributesRef<'_>,
    ) -> Result<Progress, Abort> {
        // (PROTOCOL.md, "Another boot")
        if self.links.get(link).or_bug(NO_LINK).is_some_and(|link| link.has_ended) {
            return Ok(Progress::Done);
        }
        let uuid = Uuid::from_bytes(hello.uuid);
        let found = self.sessions.find(&uuid);
        self.work.charge(HELLO);
        #[cfg(feature = "planted-bug")]
        {
            self.broken |= attributes.get("planted-bug").is_some();
        }
        if !self.jobs.is_empty() && !self.work_for(uuid, found) {
            return Ok(Progress::Later);
        }
        let facts = found.and_then(|index| self.facts(index));
        let verdict = judge(hello, facts.as_ref());
        debug!("e_pigeon::broker", "HELLO of {uuid}, link {}: {verdict:?}", hello.link);
        let max_attributes = usize::from(self.config.max_attributes);
        if !matches!(verdict, Verdict::Resume | Verdict::Refuse(_)) {
            if attributes.len() > max_attributes {
                return Err(Abort { code: AbortCode::TooManyAttributes, detail: max_attributes as u64 });
            }
            if !self.may_have(uuid, attributes) {
                return Err(refuse(AbortCode::NotAllowed));
            }
        }
        let session = match (verdict, found) {
            (Verdict::Refuse(code), _) => return Err(refuse(code)),
            (Verdict::Resume | Verdict::Renew { .. }, Some(session)) => session,
            _ => {
                // What is left of ended ones takes its place until it is gone.
                if self.sessions.len() + self.jobs.left >= self.config.max_sessions as usize {
                    let source = self.links.get(link).map_or(0, |link| self.sources.number(link.source));
                    self.push_event(BrokerEvent::Refused { source, limit: Limit::Sessions });
                    return Err(refuse(AbortCode::Full));
                }
                self.create(uuid, hello)
            }
        };
        self.take_from_old_link(session, link, verdict == Verdict::Renew { new_boot: true });
        let resumed = match verdict {
            Verdict::Resume => Some(self.resume(session, hello)?),
            Verdict::Renew { new_boot } => {
                self.renew(session, hello, new_boot);
                None
            }
            Verdict::Refuse(_) | Verdict::Create => None,
        };
        self.connect(link, session, hello, resumed);
        if resumed.is_none() {
            let number = self.sessions.next_number();
            if let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) {
                (state.number, state.since) = (number, self.messages.next_order());
            }
            self.give_attributes(session, attributes, hello.receives);
            let terms = self.holding.all_terms(uuid, attributes);
            self.release_waiting(session, true, terms);
        } else {
            self.note_presence(session);
        }
        self.push_event(match verdict {
            Verdict::Create => BrokerEvent::SessionOpened(uuid),
            _ => BrokerEvent::SessionResumed(uuid),
        });
        self.welcome(link, session, resumed);
        Ok(Progress::Done)
    }

    fn create(&mut self, uuid: Uuid, hello: &Hello) -> u32 {
        let boot = u64::from_le_bytes(hello.boot);
        let sending = Sending::fresh(hello.window);
        let uncounted = self.shares.messages();
        let new =
            NewSession { uuid, secret: hello.secret, boot, link_number: hello.link, sending, uncounted };
        let session = self.sessions.insert(new);
        let sender = self.messages.attach_sender(Origin { uuid: hello.uuid, boot }, session);
        if let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) {
            state.sender = sender;
            self.queue_places += state.queue.make_room();
        }
        session
    }

    /// What the table of the handshake has to know about a session.
    pub(super) fn facts(&self, session: u32) -> Option<Facts> {
        let session = self.sessions.get(session)?;
        let link = session.link.and_then(|link| self.links.find(link)).and_then(|link| self.links.get(link));
        let holder = match link.map(|link| link.phase) {
            Some(Phase::Up { keep_alive, .. }) if keep_alive.is_proved() => Holder::Proved,
            Some(_) => Holder::Silent,
            None => Holder::Away,
        };
        Some(session.facts(self.epoch, holder))
    }

    /// Nothing that is still read from the link before counts.
    fn take_from_old_link(&mut self, session: u32, link: u32, new_boot: bool) {
        let old = self.sessions.get(session).and_then(|session| session.link);
        if let Some(old) = old.and_then(|old| self.links.find(old)) {
            if let Some(link) = self.links.get_mut(old) {
                // Whoever is back has changed its mind.
                link.goodbye = None;
            }
            if new_boot {
                self.displace(old, link);
            } else {
                self.abort(old, refuse(AbortCode::Superseded));
            }
        }
    }

    /// The session goes on where it was.
    fn resume(&mut self, session: u32, hello: &Hello) -> Result<Resumed, Abort> {
        let known = hello.known.or_bug("a hello that names no session resumes it");
        let (Some(known), Some(state)) = (known, self.sessions.get_mut(session).or_bug(NO_SESSION)) else {
            return Err(refuse(AbortCode::UnexpectedFrame));
        };
        let before = state.sending.acknowledged();
        state.sending.clone().resume(known.received, known.acknowledged, known.window).map_err(refuse)?;
        // As much as this call may take off the queue, and the rest by and by.
        let more = known.acknowledged - before;
        let now = more.min(u64::from(self.work.left() / OUTCOME));
        state.sending.resume(known.received, before + now, known.window).map_err(refuse)?;
        self.take_acknowledged(session, now);
        let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) else {
            return Err(refuse(AbortCode::UnexpectedFrame));
        };
        state.queue.rewind(known.received - before - now);
        let received = state.receiving.received();
        (state.unacknowledged, state.unacknowledged_bytes) = (0, 0);
        state.receiving.tell_in_handshake(received);
        if more > now {
            self.begin_job(Job::Acknowledge { session, more: more - now });
        }
        // What is received is taken at once.
        Ok(Resumed { received, acknowledged: received })
    }

    /// The queue goes on under a new session.
    fn renew(&mut self, session: u32, hello: &Hello, new_boot: bool) {
        let boot = u64::from_le_bytes(hello.boot);
        if new_boot {
            let sender = self.messages.attach_sender(Origin { uuid: hello.uuid, boot }, session);
            if let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) {
                let old = state.sender;
                state.change_boot(boot, sender);
                self.messages.detach_sender(old);
            }
        }
        let mut declined = core::mem::take(&mut self.dropped);
        if let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) {
            state.sending = Sending::fresh(hello.window);
            state.receiving = Receiving::default();
            (state.unacknowledged, state.unacknowledged_bytes) = (0, 0);
            if new_boot {
                // They were for the life before.
                self.receipts -= state.queue.forget_receipts();
            }
            state.queue.renumber(|delivery| declined.push(delivery));
        }
        self.forget_watches(session);
        for delivery in declined.drain(..) {
            self.leave_queue(session, delivery);
        }
        self.dropped = declined;
    }

    fn keep_alive_ms(&self) -> u32 {
        // At most a day; the config was checked.
        u32::try_from(millis_rounded_up(self.config.keep_alive)).unwrap_or(u32::MAX)
    }

    /// Binds link and session to each other.
    fn connect(&mut self, link: u32, session: u32, hello: &Hello, resumed: Option<Resumed>) {
        let knew_another = hello.known.is_some_and(|known| u64::from_le_bytes(known.epoch) != self.epoch);
        let was_shut = resumed.is_some() && self.sessions.get(session).is_some_and(|session| session.shut);
        let shut = self.settles_at.is_some() && (knew_another || was_shut) && !canary!(DoesNotSettle);
        let keep_alive = KeepAlive::new(self.now, self.keep_alive_ms());
        let payload_frame = self.config.max_payload as usize + MAX_OVERHEAD + MAX_DESTINATION_BYTES;
        self.stop_waiting(link);
        let time_to_live = self.time_to_live(link, session);
        if let Some(state) = self.links.get_mut(link).or_bug(NO_LINK) {
            state.phase = Phase::Up { session, keep_alive };
            state.frame_limit = payload_frame.max(MAX_HELLO);
            state.shut = shut;
        }
        if let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) {
            if let Some(at) = core::mem::replace(&mut state.ends_at, Moment::NEVER).get() {
                self.timers.disarm(at, Timer::Session(session));
            }
            state.shut = shut;
            state.link = self.links.id(link);
            state.link_number = hello.link;
            // The earlier promise to the client still holds: whether this welcome arrives is not known.
            let promised = if resumed.is_some() { state.time_to_live } else { 0 };
            state.time_to_live = time_to_live.max(promised);
            state.max_payload = hello.max_payload;
            // More senders than there are sessions are hardly ever heard of.
            let senders = u16::try_from(self.config.max_sessions).unwrap_or(MAX_ALIASES);
            state.aliases = hello.aliases.min(senders).clamp(1, MAX_ALIASES);
            state.presence_items = hello.presence.min(MAX_UNACKNOWLEDGED);
            self.sessions.connected += 1;
        }
        self.arm_link(link);
    }

    /// How long a session stays that begins or goes on now, in microseconds: the fuller the table, the shorter, so that
    /// sessions that nobody comes back to do not keep others out for long. (PROTOCOL.md, "Resources")
    fn time_to_live(&self, link: u32, session: u32) -> u64 {
        let most = micros(self.config.session_ttl);
        let least = micros(self.config.session_ttl_min).min(most);
        // In thousandths. Whatever the limit is, there is one.
        let fill = self.sessions.len() as u64 * 1_000 / u64::from(self.config.max_sessions.max(1));
        let crowding = fill.clamp(500, 900) - 500;
        // At most a year; the config was checked.
        let by_fill = most - (most - least) * crowding / 400;
        if self.has_left_others(link, session) { by_fill.min(micros(LINE_TIME_TO_LIVE)) } else { by_fill }
    }

    fn welcome(&mut self, link: u32, session: u32, resumed: Option<Resumed>) {
        self.adjust_window(session);
        let state = self.sessions.get(session).or_bug(NO_SESSION);
        let said = state.map(|state| (state.number, state.narrow, state.time_to_live));
        let Some((number, narrow, time_to_live)) = said else { return }; // A bug, as was said.
        let is_shut = narrow || self.links.get(link).is_some_and(|link| link.shut);
        let window = open_window(&self.config, is_shut);
        let keep_alive_ms = self.keep_alive_ms();
        let Some(state) = self.links.get_mut(link).or_bug(NO_LINK) else { return };
        state.told_shut = is_shut;
        state.welcome = Some(Box::new(Welcome {
            epoch: self.epoch.to_le_bytes(),
            session: number,
            resumed,
            window,
            max_payload: self.config.max_payload,
            slots: self.config.destination_slots,
            keep_alive_ms,
            session_ttl_ms: time_to_live / 1_000,
        }));
        self.wake_link(link);
    }

    /// Changes the attributes of a session, in order with its messages.
    pub(super) fn change_attributes(&mut self, session: u32, patch: PatchRef<'_>) {
        self.work.charge(SET);
        let Some(state) = self.sessions.get(session).or_bug(NO_SESSION) else { return };
        let (uuid, receives) = (state.uuid, state.receives);
        let changed = patch.apply(state.attributes(), self.config.max_attributes.into());
        let changed = changed.as_deref().map(AttributesRef::trusted);
        let reason = match changed {
            // Nothing changes.
            Some(attributes) if attributes == state.attributes() => return,
            Some(attributes) if self.may_have(uuid, attributes) => {
                let terms = self.holding.new_terms(state.attributes(), attributes);
                self.give_attributes(session, attributes, receives);
                return self.release_waiting(session, false, terms);
            }
            Some(_) => RefusalReason::NotAllowed,
            None => RefusalReason::TooLarge,
        };
        self.refuse_wish(session, Notice { refused: Refused::Attributes, watch: 0, reason });
    }

    /// Tells a client that it does not get what it wants.
    pub(super) fn refuse_wish(&mut self, session: u32, notice: Notice) {
        if let Some(state) = self.sessions.get_mut(session).or_bug(NO_SESSION) {
            debug!("e_pigeon::broker", "{}: {:?} refused: {}", state.uuid, notice.refused, notice.reason);
            state.queue.push_notice(notice);
        }
        self.wake(session);
    }

    /// Those who watch what the session was are told of it, and those who watch what it is now.
    fn give_attributes(&mut self, session: u32, attributes: AttributesRef<'_>, receives: bool) {
        let before = self.seen_as(session);
        self.work.charge(PAIR * (1 + attributes.len() as u32));
        self.sessions.set_attributes(session, attributes, receives);
        let after = self.seen_as(session);
        self.note_states(session, before.into_iter().chain(after).collect());
    }

    /// A session is over: what it had not confirmed is not confirmed, and what it said goes on.
    pub(super) fn end_session(&mut self, index: u32) {
        self.note_presence(index);
        self.forget_watches(index);
        let Some(mut session) = self.sessions.remove(index).or_bug(NO_SESSION) else { return };
        self.receipts -= session.queue.forget_receipts();
        debug!(
            "e_pigeon::broker",
            "the session of {} ended, {} messages in its queue",
            session.uuid,
            session.queue.len()
        );
        if session.link.is_some() {
            self.sessions.connected -= 1;
        }
        if let Some(at) = session.ends_at.get() {
            self.timers.disarm(at, Timer::Session(index));
        }
        self.messages.detach_sender(session.sender);
        self.queue_places -= session.queue.capacity();
        if session.is_counted() {
            self.drop_counts(index);
        }
        if session.jobs > 0 {
            self.jobs.forget(index);
        }
        self.begin_job(Job::Left(Box::new(session.queue)));
        self.push_event(BrokerEvent::SessionEnded(session.uuid));
    }
}
