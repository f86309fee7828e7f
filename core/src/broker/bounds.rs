//! How much memory a broker can come to need: each table at its limit, all at once.

use super::deliveries::Delivery;
use super::holding::OFFERS_PER_MESSAGE;
use super::index::{KEPT, List};
use super::jobs::Job;
use super::links::{Alias, Current, Link, Mark};
use super::log::Run;
use super::lossy::{Lossy, MAX_LEFT};
use super::messages::{MAX_ENDED, Message, Sender};
use super::ordered::{Key, MAX_SPARE, MIN_PLACES};
use super::pool::max_spare;
use super::presence::{MAX_UNACKNOWLEDGED, Watch, Word};
use super::queue::{MAX_NOTICES, Notice, Seldom};
use super::receipts;
use super::receive::RECEIPTS_OF_EACH;
use super::sessions::Session;
use super::sources::{MAX_REMEMBERED, Source, max_made_way};
use super::sweep::{max_entries, max_records, most_places};
use super::{BrokerEvent, Ready, max_events};
use crate::attributes::MAX_ATTRIBUTE_BYTES;
use crate::config::{BUFFER_CLASSES, BrokerConfig, MIN_BUFFER, buffer_class};
use crate::destination::{MAX_DESTINATION_BYTES, MAX_FILTER_PAIRS};
use crate::framing::MAX_HEADER;
use crate::pairs::MAX_PAIR;
use crate::wire::control::Welcome;
use crate::wire::{MAX_ALIASES, MAX_HELLO, MAX_OVERHEAD, MAX_PRESENCE};
use alloc::boxed::Box;

/// A piece of memory besides its content, as common allocators keep it: a header, and what rounding takes.
const PIECE: u64 = 2 * size::<usize>();
/// The first node of each tree that there is once, and what else does not depend on any limit.
const FIXED: u64 = 5 * node::<Key>();

const PAIRS: u64 = MAX_FILTER_PAIRS as u64;
/// Runs of void deliveries that are not joined, because each takes a part of the window: two make up more than a 16th of it.
const VOID_RUNS: u64 = 34;

const fn size<T>() -> u64 {
    size_of::<T>() as u64
}

/// A table or queue that comes to hold so many: it doubles from four places on.
fn table<T>(count: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    let places = count.checked_next_power_of_two().unwrap_or(u64::MAX).max(4);
    PIECE.saturating_add(places.saturating_mul(size::<T>()))
}

/// What one entry adds to tables of which nobody knows how many are in which; each has at least four places besides.
const fn share<T>() -> u64 {
    2 * size::<T>()
}

/// What one entry adds to queues that shrink only when much of them is free.
const fn spare<T>() -> u64 {
    MAX_SPARE as u64 * size::<T>()
}

/// An entry of a tree, whose nodes have eleven places, five of them in use at the least.
const fn entry<T>() -> u64 {
    5 * size::<T>() / 2 + PIECE
}

/// A node of a tree, as the first of its entries takes one.
const fn node<T>() -> u64 {
    11 * size::<T>() + 2 * PIECE
}

/// A hash table, which doubles while it is more than half full, of which an eighth stays free.
/// What stands in it are places in another table.
fn hash_table(count: u64) -> u64 {
    // One byte for each place, and a group of these at the end.
    let places = (count.saturating_mul(16) / 7 + 1).checked_next_power_of_two().unwrap_or(u64::MAX).max(4);
    PIECE.saturating_add(places.saturating_mul(size::<u32>() + 1)).saturating_add(16)
}

impl BrokerConfig {
    /// The most bytes of memory that a broker with these limits can come to need, when every table is full at once.
    ///
    /// It is an upper bound for allocators that lose little between pieces. Most brokers never come near it. With the
    /// defaults it is more than most machines have: the largest part are receipts and presence for 65,536 sessions whose
    /// clients do not read. [`for_memory`](Self::for_memory) gives limits that fit a size.
    pub fn worst_case_bytes(&self) -> u64 {
        let links = u64::from(self.max_links);
        let lossy_links = u64::from(self.max_lossy_links).min(links);
        let tables = self.tables();
        // A table that grows moves: then half of it is there once more. One at a time.
        let moving = tables.iter().max().map_or(0, |largest| largest / 2);
        [
            links.saturating_mul(self.link()),
            lossy_links.saturating_mul(self.lossy_link()),
            u64::from(self.max_sessions).saturating_mul(self.session()),
            self.queues(),
            self.receipts().saturating_mul(receipt()),
            u64::from(self.max_messages).saturating_mul(self.message()),
            u64::from(self.max_held).saturating_mul(held()),
            self.payloads(),
            moving,
        ]
        .into_iter()
        .chain(tables)
        .fold(FIXED, u64::saturating_add)
    }

    /// The tables that there are once.
    fn tables(&self) -> [u64; 23] {
        let (links, sessions) = (u64::from(self.max_links), u64::from(self.max_sessions));
        // Links that have made way have a place for a moment, and nothing besides.
        let made_way = u64::from(max_made_way(self));
        let remembers = self.max_failed_hellos_per_source > 0;
        let remembered = if remembers { u64::from(MAX_REMEMBERED) + 1 } else { 0 };
        let sources = links + made_way + remembered;
        let (messages, held) = (u64::from(self.max_messages), u64::from(self.max_held));
        let records = max_records(self);
        let senders = sessions + records;
        let pairs = sessions.saturating_mul(u64::from(self.max_attributes));
        let named = messages + links * u64::from(self.destination_slots);
        [
            table::<Link>(links + made_way),
            table::<Current>(links),
            table::<Mark>(links + made_way),
            table::<Ready>(3 * (links + made_way)),
            table::<Source>(sources),
            // Each source by its number, those that are forgotten, each link that waits, and what rank that gives its source.
            (sources + remembered + 2 * links) * entry::<Key>(),
            table::<BrokerEvent>(max_events(self) as u64),
            table::<Session>(sessions),
            table::<u32>(sessions),
            hash_table(sessions),
            table::<List>(pairs),
            hash_table(pairs),
            table::<Message>(records),
            table::<Sender>(senders),
            hash_table(senders),
            table::<(Box<[u8]>, u32)>(named),
            // Lists that are built and used up within one call: recipients, what is dropped, what waited for a session, and
            // whoever watches one that changes.
            table::<u32>(sessions),
            // Queues that have no free place, most of them twice.
            table::<u32>(2 * sessions),
            table::<u8>(sessions),
            // Jobs: each session may have one of each kind, of one kind only over a lossy link, and each that has ended one more.
            table::<Job>(5 * sessions + u64::from(self.max_lossy_links).min(links) + 2),
            table::<Delivery>(self.queue_messages.into()),
            held * entry::<Key>(),
            table::<(u64, u32, u32)>(sessions * u64::from(self.max_watches) * PAIRS),
        ]
    }

    /// The longest frame that comes in, and goes out.
    fn frame(&self) -> u64 {
        let payload = self.max_payload as usize + MAX_OVERHEAD + MAX_DESTINATION_BYTES;
        payload.max(MAX_HELLO) as u64
    }

    /// What a link has besides its place: a frame that is not whole, aliases, a timer.
    fn link(&self) -> u64 {
        let slots = u64::from(self.destination_slots);
        let aliases = u64::from(MAX_ALIASES).min(u64::from(self.max_sessions));
        let presence = if self.max_watches > 0 { MAX_PRESENCE as u64 + PIECE } else { 0 };
        let partial = self.frame() + MAX_HEADER as u64 + PIECE;
        partial
            + size::<Welcome>()
            + PIECE
            + table::<u32>(slots)
            + slots * self.destination()
            + table::<Alias>(aliases)
            + presence
            + entry::<Key>()
    }

    /// Where its framing is lossy also a frame that comes in, one that goes out, and what came too early.
    fn lossy_link(&self) -> u64 {
        let stuffed = self.frame() + self.frame() / 254 + 32;
        size::<Lossy>()
            + table::<(u32, u64)>(MAX_LEFT as u64)
            + 4 * stuffed
            + u64::from(self.reorder_bytes)
            + 4 * PIECE
    }

    fn destination(&self) -> u64 {
        u64::from(self.destination_bytes) + PIECE
    }

    /// What a session has besides its place.
    fn session(&self) -> u64 {
        let attributes = u64::from(self.max_attributes);
        let sessions = u64::from(self.max_sessions);
        // It is found by each of its pairs, which may be nobody else's.
        let list = table::<u32>(sessions).min(table::<u32>(KEPT as u64) + 4 * size::<u32>());
        let pairs = attributes * (MAX_PAIR as u64 + PIECE + list);
        let encoded = (MAX_ATTRIBUTE_BYTES as u64).min(1 + attributes * MAX_PAIR as u64);
        let stored = encoded + PIECE + (1 + attributes) * size::<u32>() + PIECE;
        let receipts = self.receipts_of_each();
        // Half of them are about watches.
        let (notices, words) = match self.max_watches {
            0 => (MAX_NOTICES as u64 / 2, 0),
            _ => (MAX_NOTICES as u64, u64::from(MAX_UNACKNOWLEDGED)),
        };
        // Between two of these there is a run of deliveries at the most, each of which has one at least.
        let others = receipts + notices + words + VOID_RUNS;
        let runs = others + others.min(self.queue_messages.into());
        let queue = table::<receipts::Run>(1)
            + receipts * share::<receipts::Run>()
            + table::<Notice>(notices)
            + table::<Word>(words)
            + table::<Run>(runs);
        // Most of it counts with the messages.
        let messages = u64::from(self.max_messages);
        let in_flight = table::<(u64, u32)>((MIN_PLACES as u64).min(most_in_flight(messages)));
        let seldom = size::<Seldom>() + PIECE;
        pairs + stored + queue + seldom + in_flight + self.watches() + entry::<Key>()
    }

    /// Receipts that count with their session: more of them count with all receipts, or with the messages.
    fn receipts_of_each(&self) -> u64 {
        self.most_receipts().min(RECEIPTS_OF_EACH as u64 + 1)
    }

    /// The most of one sender that count with no message. Besides what its backlog allows there may be as many as came before its
    /// window was shut.
    fn most_receipts(&self) -> u64 {
        u64::from(self.receipt_backlog) + 2 * u64::from(self.window_messages)
    }

    /// Receipts that count with no session and no message.
    fn receipts(&self) -> u64 {
        let more = self.most_receipts() - self.receipts_of_each();
        u64::from(self.max_receipts).min(u64::from(self.max_sessions).saturating_mul(more))
    }

    /// What all queues have of messages: places, runs of deliveries between void ones, and what each sender has in them.
    fn queues(&self) -> u64 {
        let (sessions, each) = (u64::from(self.max_sessions), u64::from(self.queue_messages));
        let entries = max_entries(self);
        let rings = sessions.saturating_mul(table::<Delivery>(each + each / 3 + 1));
        let places = rings.min(most_places(entries, sessions).saturating_mul(size::<Delivery>()));
        let counts = if self.sender_queue < self.queue_messages { entry::<Key>() } else { 0 };
        // In small queues each delivery has been counted with its session.
        let runs = if each <= VOID_RUNS { 0 } else { 2 * spare::<Run>() };
        places.saturating_add(entries.saturating_mul(runs + counts))
    }

    /// Each watch stands under each of its pairs, and keeps the names of those who have changed.
    fn watches(&self) -> u64 {
        let watches = u64::from(self.max_watches);
        if watches == 0 {
            return 0;
        }
        let changes = u64::from(self.watch_backlog).max(11) * entry::<[u8; 16]>();
        let filter = MAX_DESTINATION_BYTES as u64 + PIECE + PAIRS * entry::<Key>();
        table::<Watch>(watches) + watches * (filter + changes)
    }

    /// What a message has besides its place and its payload: its destination, a timer, its place in the list of a sender
    /// that has no session any more and in the tree of one that sends again, and two receipts to come.
    fn message(&self) -> u64 {
        let is_much = most_in_flight(self.max_messages.into()) > MIN_PLACES as u64;
        // Few count with the session of their sender, or with what it leaves.
        let in_flight = if is_much { 2 * spare::<(u64, u32)>() } else { share::<(u64, u32)>() };
        let sender = MAX_ENDED as u64 * size::<(u64, u32)>() + in_flight + PIECE;
        let answers = 2 * receipt();
        self.destination() + entry::<Key>() + sender + node::<Key>() + answers
    }

    /// Payloads, the buffers that are kept for the next ones, and the lists of these.
    fn payloads(&self) -> u64 {
        let spare = max_spare(self.max_message_bytes) as u64;
        let smallest = MIN_BUFFER as u64;
        let classes = BUFFER_CLASSES.min(1 + buffer_class(self.max_payload as usize)) as u64;
        let lists = classes * table::<Box<[u8]>>(1) + spare / smallest * share::<Box<[u8]>>();
        let pieces = u64::from(self.max_messages) + spare / smallest;
        self.max_message_bytes.saturating_add(spare + lists + pieces * PIECE)
    }
}

/// What a receipt adds to the queue of a sender: itself, and its run in the log with one of deliveries behind it.
fn receipt() -> u64 {
    share::<receipts::Run>() + 2 * share::<Run>()
}

/// The most places that so many messages of one sender take, in flight or ended behind one that is.
fn most_in_flight(messages: u64) -> u64 {
    (messages + MAX_ENDED as u64).max(2 * messages)
}

/// What a message needs to wait for somebody: terms under which it is found, and to whom it was offered.
fn held() -> u64 {
    (PAIRS + OFFERS_PER_MESSAGE as u64) * entry::<Key>()
}
