//! Why a receipt says fewer than were really handed its message: reads along, and judges nothing.
//!
//! Which acknowledgement is about which message is not in the model, which knows no protocol. It shows on the wire: items have
//! numbers within a session, and an acknowledgement says up to which. (PROTOCOL.md, "Items")

use crate::message::Key;
use crate::setup::Medium;
use crate::tap::{Frame, Tap};
use core::fmt;
use core::time::Duration;
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::item::{DownItem, UpItem};
use e_pigeon_core::{Instant, RefusalReason};
use std::collections::{BTreeMap, BTreeSet};

macro_rules! causes {
    ($($name:ident $text:literal,)*) => {
        /// Why a recipient that was handed a message is not counted in its receipt.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Cause {
            $(#[doc = $text] $name,)*
        }

        impl Cause {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it is, in words.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

causes! {
    Read "FAULT: its acknowledgement was read in time",
    Withheld "FAULT: linked, its application reads and had taken it, and nothing was written",
    HandedLater "handed to its application after the receipt, or not yet taken by it",
    TakenLate "its application took it after the deadline",
    Asleep "deadline: the acknowledgement waited for an earlier item that its application had not taken",
    Unlinked "deadline: it had no link",
    Idle "deadline: its program had not written the acknowledgement yet",
    UnderWay "deadline: the acknowledgement was under way",
    SessionEnded "its session ended first",
    BelowWindow "it declined a repetition below its window of ids",
    Declined "it declined a repetition, as it had no session when that was accepted",
    NotOffered "the repetition did not reach it in time, or was not for it",
    Unanswered "its answer to the repetition did not arrive in time",
    BySender "the sender's session had ended, and the sender ended the message itself",
    Renewed "the same, but the broker had renewed the session, and may have had the receipt",
    CountedBefore "the broker that had counted it died",
    Other "none of these: on a lossy medium what is overheard may not have been taken",
}

/// Where a client was when a deadline passed at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    NoLink,
    Asleep,
    WantsToWrite,
    HasNothingToWrite,
}

/// One message at one recipient.
#[derive(Clone, Debug, Default)]
struct Trail {
    /// In which life of the broker it was delivered last, and in which session.
    delivered: Option<(u64, u64)>,
    handed: Option<u64>,
    taken: Option<Instant>,
    /// In which life of the broker its acknowledgement was written, read, or it was declined.
    written: Option<(u64, Instant)>,
    read: Option<(u64, Instant)>,
    declined: Option<u64>,
    /// A repetition was below its window.
    below: bool,
    ended: Option<u64>,
    at_deadline: Option<Standing>,
}

/// One session of a client.
#[derive(Clone, Debug, Default)]
struct Session {
    received: u64,
    keys: BTreeMap<u64, Key>,
    written: u64,
    read: u64,
}

/// What one connection is about.
#[derive(Clone, Debug, Default)]
struct Link {
    session: Option<(usize, u64, u64)>,
    last_id: u64,
    written: Tap,
}

/// A message that has its final receipt.
#[derive(Clone, Debug)]
struct Told {
    delivered: u32,
    /// Those whose application had taken it by then, with why each is not counted; `None` where it must be.
    taken: Vec<(usize, Option<Cause>)>,
}

/// How many receipts were lower than what was handed on, and why.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Final receipts of the broker's kind: delivered to so many.
    pub receipts: u64,
    /// Those that say fewer than were handed the message, at any time.
    pub low: u64,
    /// Those that said fewer than had taken it when the sender got the receipt.
    pub low_then: u64,
    /// For each recipient that is missing, why.
    pub causes: BTreeMap<Cause, u64>,
    /// The first run with each cause, by seed.
    pub seeds: BTreeMap<Cause, u64>,
}

/// Reads along.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipts {
    trails: BTreeMap<(Key, usize), Trail>,
    sessions: BTreeMap<(usize, u64, u64), Session>,
    tags: BTreeMap<u32, (usize, u64, u64)>,
    links: BTreeMap<u64, Link>,
    deadlines: BTreeMap<Key, (u64, Instant)>,
    due: BTreeSet<(Instant, Key)>,
    /// When a message was last sent again, and in which life of the broker.
    repeated: BTreeMap<Key, (u64, Instant)>,
    finals: BTreeMap<Key, (u32, u32, Option<RefusalReason>)>,
    /// In which life of the broker a client's session was renewed, with what waited for it.
    renewed: BTreeMap<usize, u64>,
    told: BTreeMap<Key, Told>,
}

/// Where and when something is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) now: Instant,
    /// What the broker drew for its present life.
    pub(crate) epoch: u64,
    pub(crate) connection: u64,
    pub(crate) client: usize,
    pub(crate) boot: u64,
}

impl Receipts {
    /// The session that a frame belongs to.
    fn session(&self, at: At, tap: &Tap) -> Option<(usize, u64, u64)> {
        if tap.is_lossy() {
            self.tags.get(&tap.tag()).copied()
        } else {
            self.links.get(&at.connection).and_then(|link| link.session)
        }
    }

    /// A client has written bytes.
    pub(crate) fn wrote(&mut self, at: At, medium: Medium, bytes: &[u8]) {
        let mut tap = core::mem::take(&mut self.links.entry(at.connection).or_default().written);
        tap.feed(medium, bytes, |tap, body| {
            if let Ok(frame) = Frame::read(body, true) {
                self.acknowledges(at, tap, &frame, true);
            }
        });
        self.links.entry(at.connection).or_default().written = tap;
    }

    /// The broker reads a frame.
    pub(crate) fn up(&mut self, at: At, tap: &Tap, frame: &Frame<'_>) {
        self.acknowledges(at, tap, frame, false);
        match frame {
            Frame::Up(UpItem::Message(message)) => {
                let link = self.links.entry(at.connection).or_default();
                let before = if tap.is_lossy() { 0 } else { link.last_id };
                link.last_id = before + message.id_step;
                let key = (at.client, at.boot, link.last_id);
                if message.retry.is_some() {
                    self.repeated.insert(key, (at.epoch, at.now));
                }
                let live = Duration::from_millis(message.time_to_live_ms.into());
                // What was left on a line, or came too early, may not have been taken: the earliest counts.
                let is_known =
                    |&(epoch, before): &(u64, Instant)| epoch == at.epoch && before <= at.now + live;
                if !self.deadlines.get(&key).is_some_and(is_known) {
                    self.deadlines.insert(key, (at.epoch, at.now + live));
                    self.due.insert((at.now + live, key));
                }
            }
            Frame::Up(UpItem::Decline(number)) => {
                let key = self.session(at, tap).and_then(|session| self.sessions.get(&session));
                if let Some(&key) = key.and_then(|session| session.keys.get(number)) {
                    self.trails.entry((key, at.client)).or_default().declined = Some(at.epoch);
                }
            }
            _ => {}
        }
    }

    fn acknowledges(&mut self, at: At, tap: &Tap, frame: &Frame<'_>, is_written: bool) {
        let own = self.session(at, tap);
        let (session, up_to, more) = match frame {
            Frame::Control(Control::Ack(more)) => (own, 0, *more),
            Frame::Control(Control::State(state)) => (own, state.acknowledged, 0),
            Frame::Control(Control::Hello(hello, _)) => {
                let Some(known) = hello.known else { return };
                let session = (at.client, u64::from_le_bytes(known.epoch), known.session);
                (Some(session), known.acknowledged, 0)
            }
            _ => return,
        };
        let Some(name) = session.filter(|session| session.1 == at.epoch) else { return };
        let Some(session) = self.sessions.get_mut(&name) else { return };
        let count = if is_written { &mut session.written } else { &mut session.read };
        let before = *count;
        *count = up_to.max(before + more);
        for (_, &key) in session.keys.range(before + 1..*count + 1) {
            let trail = self.trails.entry((key, at.client)).or_default();
            let noted = if is_written { &mut trail.written } else { &mut trail.read };
            if noted.is_none_or(|(epoch, _)| epoch != at.epoch) {
                *noted = Some((at.epoch, at.now));
            }
        }
    }

    /// A client reads a frame; which message that is, where it is a delivery, and whether it is a repetition below the window.
    pub(crate) fn down(&mut self, at: At, tap: &Tap, frame: &Frame<'_>, delivery: Option<(Key, bool)>) {
        match frame {
            Frame::Control(Control::Welcome(welcome)) => {
                let name = (at.client, u64::from_le_bytes(welcome.epoch), welcome.session);
                let (epoch, session) = (name.1, name.2);
                self.tags.insert(e_pigeon_core::wire::state::welcomed_tag(tap.tag(), epoch, session), name);
                self.links.entry(at.connection).or_default().session = Some(name);
                self.sessions.entry(name).or_default();
            }
            Frame::Down(item) => {
                if let DownItem::Final(ended) = item {
                    let ids = ended.first..ended.first + u64::from(ended.count);
                    let outcome = ended.outcome;
                    let said = (outcome.delivered, outcome.recipients, outcome.reason);
                    self.finals.extend(ids.map(|id| ((at.client, at.boot, id), said)));
                }
                let Some(name) = self.session(at, tap) else { return };
                let Some(session) = self.sessions.get_mut(&name) else { return };
                // A void item stands for a run of deliveries.
                session.received += if let DownItem::Void(count) = item { u64::from(*count) } else { 1 };
                let number = if tap.is_lossy() { tap.number() } else { session.received };
                if let Some((key, is_below)) = delivery {
                    session.keys.insert(number, key);
                    let trail = self.trails.entry((key, at.client)).or_default();
                    trail.delivered = Some((name.1, name.2));
                    trail.below |= is_below;
                }
            }
            _ => {}
        }
    }

    pub(crate) fn handed(&mut self, epoch: u64, client: usize, key: Key) {
        self.trails.entry((key, client)).or_default().handed.get_or_insert(epoch);
    }

    pub(crate) fn taken(&mut self, now: Instant, client: usize, key: Key) {
        self.trails.entry((key, client)).or_default().taken.get_or_insert(now);
    }

    /// A session was renewed: its client had lost it, and the broker had not.
    pub(crate) fn renewed(&mut self, epoch: u64, client: usize) {
        self.renewed.insert(client, epoch);
    }

    pub(crate) fn ended(&mut self, epoch: u64, client: usize) {
        self.renewed.remove(&client);
        for (_, trail) in self.trails.iter_mut().filter(|((_, n), _)| *n == client) {
            if trail.read.is_none_or(|(read, _)| read != epoch) {
                trail.ended = Some(epoch);
            }
        }
    }

    /// The time of some messages is over at the broker; it is about to notice.
    pub(crate) fn deadline(&mut self, now: Instant, standing: impl Fn(usize) -> Standing) {
        while let Some(&(at, key)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            for (&(_, client), trail) in self.trails.range_mut((key, 0)..=(key, usize::MAX)) {
                trail.at_deadline = Some(standing(client));
            }
        }
    }

    /// A sender has its final receipt.
    pub(crate) fn told(&mut self, epoch: u64, key: Key, said: (u32, u32, Option<RefusalReason>)) {
        let by_broker = self.finals.get(&key) == Some(&said);
        let delivered = said.0;
        let deadline = self.deadlines.get(&key).filter(|&&(of, _)| of == epoch).map(|&(_, at)| at);
        let repeated = self.repeated.get(&key).filter(|&&(of, _)| of == epoch).map(|&(_, at)| at);
        let cause = |trail: &Trail| {
            let in_time = |at: Instant| deadline.is_none_or(|deadline| at < deadline);
            if !by_broker {
                let is_renewed = self.renewed.get(&key.0) == Some(&epoch);
                return Some(if is_renewed { Cause::Renewed } else { Cause::BySender });
            }
            if trail.declined == Some(epoch) {
                return Some(if trail.below { Cause::BelowWindow } else { Cause::Declined });
            }
            match trail.read {
                Some((of, at)) if of == epoch && in_time(at) && trail.ended != Some(epoch) => {
                    // The sender has lost its session, and the broker may have forgotten the message.
                    let is_before = repeated.is_some_and(|repeated| at < repeated);
                    return is_before.then_some(Cause::NotOffered);
                }
                _ => {}
            }
            if trail.ended == Some(epoch) {
                return Some(Cause::SessionEnded);
            }
            if trail.delivered.is_none_or(|(of, _)| of != epoch) {
                let was_read = trail.read.is_some();
                return Some(if was_read { Cause::CountedBefore } else { Cause::NotOffered });
            }
            if trail.handed != Some(epoch) {
                return Some(Cause::Unanswered);
            }
            if trail.taken.is_none_or(|at| !in_time(at)) {
                return Some(Cause::TakenLate);
            }
            Some(match (trail.written, trail.at_deadline) {
                (Some((of, at)), _) if of == epoch && in_time(at) => Cause::UnderWay,
                (_, Some(Standing::NoLink)) => Cause::Unlinked,
                (_, Some(Standing::Asleep)) => Cause::Asleep,
                (_, Some(Standing::WantsToWrite)) => Cause::Idle,
                (_, Some(Standing::HasNothingToWrite)) => Cause::Withheld,
                (_, None) => Cause::Other,
            })
        };
        let trails = self.trails.range((key, 0)..=(key, usize::MAX));
        let taken = trails.filter(|(_, trail)| trail.taken.is_some() && trail.handed.is_some());
        let taken = taken.map(|(&(_, client), trail)| (client, cause(trail))).collect();
        self.told.insert(key, Told { delivered, taken });
    }

    /// The sum of it.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (&key, told) in &self.told {
            tally.receipts += 1;
            let trails = self.trails.range((key, 0)..=(key, usize::MAX));
            let handed = trails.filter(|(_, trail)| trail.handed.is_some()).count();
            let missing = handed.saturating_sub(told.delivered as usize);
            if missing == 0 {
                continue;
            }
            tally.low += 1;
            let missing_then = told.taken.len().saturating_sub(told.delivered as usize);
            tally.low_then += u64::from(missing_then > 0);
            let mut causes: Vec<Cause> =
                told.taken.iter().map(|&(_, cause)| cause.unwrap_or(Cause::Read)).collect();
            // Those that must be counted are, if as many are.
            causes.sort_by_key(|&cause| (cause == Cause::Read, cause));
            causes.truncate(missing_then);
            causes.resize(missing, Cause::HandedLater);
            for cause in causes {
                *tally.causes.entry(cause).or_default() += 1;
            }
        }
        tally
    }
}

impl Tally {
    /// Adds that of the run of a seed.
    pub(crate) fn add(&mut self, seed: u64, other: &Self) {
        self.receipts += other.receipts;
        self.low += other.low;
        self.low_then += other.low_then;
        for (&cause, count) in &other.causes {
            *self.causes.entry(cause).or_default() += count;
            self.seeds.entry(cause).or_insert(seed);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |count: u64| count as f64 * 100.0 / self.receipts.max(1) as f64;
        writeln!(
            f,
            "{} final receipts; {} ({:.3} %) say fewer than had taken it then, {} ({:.3} %) fewer than were ever handed it",
            self.receipts,
            self.low_then,
            share(self.low_then),
            self.low,
            share(self.low)
        )?;
        for (cause, &count) in &self.causes {
            let seed = self.seeds.get(cause).copied().unwrap_or_default();
            writeln!(f, "{count:>12}  {:.4} %  {}, as in seed {seed}", share(count), cause.name())?;
        }
        Ok(())
    }
}
