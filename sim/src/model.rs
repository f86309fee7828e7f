//! The reference model: what the contract promises, without a protocol.
//!
//! It knows what applications sent, what they were handed and told, and which sessions with which attributes the broker
//! had when. For each message it keeps two sets of clients: those that are *certain* recipients, because they matched
//! all the time from `send` to the first receipt, and those that are *possible*, because they matched at some moment
//! since. What really happened must lie between the two. (docs/GUARANTEES.md)

use crate::answers;
use crate::coverage::{Coverage, Path};
use crate::limits::{Limits, Others};
use crate::log::Logs;
use crate::message::{Content, Key, Sent, Set};
use crate::setup::{LONG, Setup};
use crate::step::{Attributes, Send};
use crate::violation::{Outcome, Violation, ensure};
use core::time::Duration;
use e_pigeon_core::{Established, Instant, Receipt, RefusalReason, Retain};
use std::collections::{BTreeMap, BTreeSet};

/// A session at the broker, as whoever runs the broker sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    pub(crate) is_open: bool,
    pub(crate) is_connected: bool,
    pub(crate) attributes: Attributes,
    /// Its client came back only to leave: it may match nothing.
    may_be_deaf: bool,
    away_since: Option<Instant>,
    /// Its client knows of it.
    is_welcomed: bool,
    /// The client knows a session of an earlier life of the broker.
    knows_another: bool,
    /// It was given attributes in the call whose events are yet to come.
    is_new: bool,
    /// The client has said that its session ends.
    may_end: bool,
    /// It did, and has started again since: what the old boot said counts only as long as the new one has no link.
    is_reborn: bool,
    /// How often the client may find its session gone, and how often it did.
    losses: u64,
    losses_told: u64,
    /// How long it stays while it is away, as the welcome named it that its client has read.
    named: Option<Duration>,
    /// This boot of the client had a session, and was told of one.
    had_session: bool,
    pub(crate) was_told: bool,
}

/// The whole of it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) limits: Limits,
    pub(crate) messages: BTreeMap<Key, Sent>,
    /// Those whose recipients may still change.
    open: BTreeSet<Key>,
    pub(crate) sessions: Vec<Session>,
    /// Until then a new broker waits for the clients of the one before.
    settles_at: Instant,
    pub(crate) logs: Logs,
    /// How much applications have done and were told.
    clock: u64,
}

impl Model {
    pub(crate) fn new(setup: &Setup) -> Self {
        let clients = setup.clients.len();
        Self {
            limits: Limits::new(setup),
            messages: BTreeMap::new(),
            open: BTreeSet::new(),
            sessions: vec![Session::default(); clients],
            settles_at: Instant::default(),
            logs: Logs::new(clients),
            clock: 0,
        }
    }

    // What applications do.

    pub(crate) fn sent(&mut self, key: Key, sent: &Send, payload: Vec<u8>, deadline: Instant) -> Outcome {
        self.clock += 1;
        let mut message = Sent {
            sent: sent.clone(),
            payload: Content(payload),
            deadline,
            certain: Set::default(),
            possible: Set::default(),
            promised: Set::default(),
            accepted: None,
            answer: None,
            sent_at: self.clock,
            left_at: None,
            handed: BTreeSet::new(),
            taken: Set::default(),
            kills: 0,
            disturbed: false,
            lost: false,
            gone: false,
            joined: false,
            changed: false,
        };
        for (client, session) in self.sessions.iter().enumerate() {
            if session.is_open && self.limits.receives(client) && message.matches(client, session.attributes)
            {
                message.possible.add(client);
                let is_certain = session.is_connected || !message.sent.only_connected;
                if is_certain && !session.may_be_deaf {
                    message.certain.add(client);
                }
            }
        }
        self.limits.count((key.0, key.1), &message.payload.0, message.possible);
        (0..self.sessions.len())
            .filter(|&client| message.possible.has(client))
            .for_each(|client| self.logs.may_hear(client, (key.0, key.1)));
        self.open.insert(key);
        let before = self.messages.insert(key, message);
        ensure!(before.is_none(), "ids", "{key:?} was given out twice");
        Ok(())
    }

    /// An application has confirmed a message.
    pub(crate) fn taken(&mut self, client: usize, key: Key) {
        if let Some(message) = self.messages.get_mut(&key) {
            message.taken.add(client);
        }
    }

    /// A client says that its session ends.
    pub(crate) fn leaves(&mut self, client: usize) {
        (self.sessions[client].may_end, self.sessions[client].is_reborn) = (true, false);
    }

    /// A client starts again, with another boot.
    pub(crate) fn restarted(&mut self, client: usize) {
        let session = &mut self.sessions[client];
        (session.had_session, session.was_told, session.is_reborn) = (false, false, true);
        (session.is_welcomed, session.knows_another) = (false, false);
        (self.sessions[client].losses, self.sessions[client].losses_told) = (0, 0);
        self.logs.restart(client);
        self.disturb(client);
    }

    // What the broker does.

    /// A session is given attributes, or was refused at the last moment.
    pub(crate) fn given(&mut self, client: usize, attributes: Attributes) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        let changed = core::mem::replace(&mut session.attributes, attributes) != attributes;
        session.is_new = true;
        session.may_be_deaf = session.may_end && !session.is_reborn && attributes == (None, None);
        let receives = self.limits.receives(client);
        for key in &self.open {
            let Some(message) = self.messages.get_mut(key) else { continue };
            message.joined = true;
            message.changed |= changed;
            if !receives || !message.matches(client, attributes) {
                if message.accepted.unwrap_or(0) == 0 {
                    message.certain.remove(client);
                }
            } else if !message.possible.has(client) {
                message.possible.add(client);
                self.logs.may_hear(client, (key.0, key.1));
                let mut set = Set::default();
                set.add(client);
                self.limits.count_for((key.0, key.1), &message.payload.0, set);
            }
        }
    }

    pub(crate) fn opened(&mut self, client: usize) {
        let session = &mut self.sessions[client];
        (session.is_open, session.is_connected, session.is_welcomed) = (true, true, false);
        session.named = None;
        session.may_end &= !core::mem::take(&mut session.is_reborn);
        if core::mem::replace(&mut session.had_session, true) {
            // What it has sent meanwhile may have been written to a link of the session before.
            for (_, message) in self.messages.range_mut((client, 0, 0)..=(client, u64::MAX, u64::MAX)) {
                message.disturbed = true;
                message.certain = Set::default();
            }
        }
    }

    /// A session has a link again; returns whether it was renewed.
    pub(crate) fn resumed(&mut self, client: usize) -> Outcome<bool> {
        let session = &mut self.sessions[client];
        ensure!(session.is_open, "sessions", "{client} has resumed a session that does not exist");
        session.is_connected = true;
        let renewed = session.is_new;
        if renewed {
            (session.had_session, session.is_welcomed, session.knows_another) = (true, false, false);
            session.named = None;
            session.may_end &= !core::mem::take(&mut session.is_reborn);
        }
        if renewed {
            session.losses += 1;
            self.disturb(client);
        }
        Ok(renewed)
    }

    /// A client knows of the session that it has now.
    pub(crate) fn welcomed(&mut self, client: usize, named: Option<Duration>) {
        let session = &mut self.sessions[client];
        (session.is_welcomed, session.named) = (true, named);
    }

    pub(crate) fn away(&mut self, now: Instant, client: usize) {
        let session = &mut self.sessions[client];
        session.is_connected = false;
        session.away_since = Some(now);
        for key in &self.open {
            if let Some(message) = self.messages.get_mut(key)
                && message.sent.only_connected
            {
                message.certain.remove(client);
            }
        }
    }

    pub(crate) fn ended(&mut self, now: Instant, client: usize) -> Outcome {
        let session = &mut self.sessions[client];
        let time_to_live = session.named.unwrap_or(self.limits.session_ttl_min);
        ensure!(session.is_open, "sessions", "the session of {client} ended twice");
        let is_over = session.away_since.is_some_and(|since| now >= since + time_to_live);
        let may_end = session.may_end || (!session.is_connected && is_over);
        ensure!(may_end, "sessions", "the session of {client} ended before its time: {session:?}");
        (session.is_open, session.is_connected, session.knows_another) = (false, false, false);
        session.losses += 1;
        for message in self.messages.values_mut().filter(|message| message.possible.has(client)) {
            message.gone = true;
        }
        self.disturb(client);
        Ok(())
    }

    /// All events of a call have been seen.
    pub(crate) fn settled(&mut self) {
        self.sessions.iter_mut().for_each(|session| session.is_new = false);
    }

    /// A client's memory at the broker, or the broker's memory at the client, is gone.
    fn disturb(&mut self, client: usize) {
        for (key, message) in &mut self.messages {
            if key.0 == client {
                (message.disturbed, message.lost) = (true, true);
                message.certain = Set::default();
            } else if message.possible.has(client) {
                (message.disturbed, message.lost) = (true, true);
                message.certain.remove(client);
            }
        }
    }

    /// The broker has died. Its heir knows nobody.
    pub(crate) fn killed(&mut self, now: Instant) {
        self.settles_at = now + self.limits.settle;
        for session in &mut self.sessions {
            session.losses += 1;
            session.knows_another |= session.is_welcomed;
            (session.is_open, session.is_connected) = (false, false);
        }
        for message in self.messages.values_mut() {
            message.kills += 1;
            message.disturbed = true;
            message.certain = Set::default();
        }
    }

    /// True where the broker takes nothing yet: it waits for clients of the one before, and there are no others.
    pub(crate) fn must_wait(&self, now: Instant) -> bool {
        let all_come_back = self.sessions.iter().all(|session| session.knows_another);
        now < self.settles_at && all_come_back && self.limits.session_ttl >= LONG
    }

    /// Messages that may have been with the broker while this one was.
    fn others(&self, key: Key) -> Others {
        let sent_at = self.messages.get(&key).map_or(0, |message| message.sent_at);
        let may_have_been = |(_, message): &(&Key, &Sent)| message.left_at.is_none_or(|at| at > sent_at);
        let all = self.messages.iter().filter(may_have_been);
        let own = all.clone().filter(|(other, _)| (other.0, other.1) == (key.0, key.1));
        Others { sender: (key.0, key.1), own: own.count() as u64, all: all.count() as u64 }
    }

    // What applications are told.

    pub(crate) fn established(
        &mut self,
        client: usize,
        how: Established,
        coverage: &mut Coverage,
    ) -> Outcome {
        let session = &mut self.sessions[client];
        let had = core::mem::replace(&mut session.was_told, true);
        match how {
            Established::Fresh => ensure!(!had, "sessions", "{client} has its first session again"),
            Established::Resumed => {}
            Established::Lost => {
                coverage.hit(Path::LostSession);
                session.losses_told += 1;
                ensure!(
                    session.losses_told <= session.losses,
                    "sessions",
                    "{client} has lost a session that was there: {session:?}"
                );
            }
        }
        Ok(())
    }

    /// A receipt.
    pub(crate) fn told(
        &mut self,
        now: Instant,
        key: Key,
        receipt: Receipt,
        coverage: &mut Coverage,
    ) -> Outcome {
        self.clock += 1;
        let is_full = |receipt| {
            matches!(
                receipt,
                Receipt::Final { reason: Some(RefusalReason::BrokerFull | RefusalReason::QueueFull), .. }
            )
        };
        let others = is_full(receipt).then(|| self.others(key));
        let Some(message) = self.messages.get_mut(&key) else {
            return Err(Violation { kind: "receipts", text: format!("{receipt:?}, never sent") });
        };
        ensure!(message.answer.is_none(), "receipts", "{key:?} has {receipt:?} after {:?}", message.answer);
        match receipt {
            Receipt::Accepted { recipients, last, .. } => {
                check_accepted(key, message, recipients, last)?;
                message.accepted = Some(recipients);
                // Those who were away would take it after the broker's death (limit 3), and those who know of no session
                // would not (limit 6).
                let welcomed = self.sessions.iter().enumerate();
                let all_know = welcomed.filter(|&(n, _)| message.certain.has(n)).all(|(_, s)| s.is_welcomed);
                let is_exact = recipients > 0 && message.certain.count() == recipients;
                if is_exact && all_know && !message.sent.only_connected {
                    message.promised = message.certain;
                }
            }
            Receipt::Final { delivered, recipients, reason, .. } => {
                let answer = (delivered, recipients, reason);
                answers::check(now, key, message, (&self.limits, others), answer)?;
            }
        }
        coverage.hit(path_of(receipt));
        if let Some(others) = others {
            self.limits.note_full(receipt, message.possible, others, coverage);
        }
        if receipt.is_final() {
            message.answer = Some(receipt);
            let is_expired = matches!(receipt, Receipt::Final { reason: Some(RefusalReason::Expired), .. });
            if message.sent.until == Retain::Delivered && !message.disturbed && !is_expired {
                message.left_at = Some(self.clock);
            }
            // What was only accepted may still find its recipients. And what its sender gave up (the broker never says
            // "of none" for this reason) may still lie unread in a stream.
            let is_given_up =
                matches!(receipt, Receipt::Final { recipients: 0, reason: Some(RefusalReason::Expired), .. });
            if message.sent.until == Retain::Delivered && !is_given_up {
                self.open.remove(&key);
            }
        }
        Ok(())
    }
}

fn path_of(receipt: Receipt) -> Path {
    match receipt {
        Receipt::Accepted { .. } => Path::UntilAccepted,
        Receipt::Final { reason, .. } => match reason {
            None => Path::InFull,
            Some(RefusalReason::Expired) => Path::ExpiredAtBroker,
            Some(RefusalReason::QueueFull) => Path::QueueFull,
            Some(RefusalReason::TooLarge) => Path::TooLarge,
            Some(RefusalReason::BrokerFull) => Path::BrokerFull,
            Some(RefusalReason::Gone) => Path::Gone,
            Some(_) => Path::Nobody,
        },
    }
}

fn check_accepted(key: Key, message: &Sent, recipients: u32, last: bool) -> Outcome {
    let until = message.sent.until;
    ensure!(last == (until == Retain::Accepted), "receipts", "{key:?} is accepted, last {last}, {until:?}");
    let (certain, possible) = (message.certain.count(), message.possible.count());
    ensure!(recipients <= possible, "receipts", "{key:?} accepted for {recipients}: {message:?}");
    ensure!(
        message.disturbed || recipients >= certain,
        "receipts",
        "{key:?} accepted for {recipients}, but {certain} match: {message:?}"
    );
    let before = message.accepted.unwrap_or(0);
    ensure!(
        message.disturbed || before == 0 || before == recipients,
        "receipts",
        "{key:?} accepted for {recipients} after {before}: {message:?}"
    );
    Ok(())
}
