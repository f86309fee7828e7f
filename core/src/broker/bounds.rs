//! How much memory a broker can come to need: each table at its limit, all at once.

use crate::broker::links::lossy::{Lossy, MAX_LEFT};
use crate::broker::links::sources::{MAX_REMEMBERED, Source, max_made_way};
use crate::broker::links::table::{Alias, Link, UnfinishedFrame};
use crate::broker::store::{
    BrokerEvent, Cold, Destination, Job, KEPT, Key, List, MAX_ENDED, MAX_REFUSALS, MAX_SPARE,
    MAX_UNACKNOWLEDGED, MIN_PLACES, Mark, MessageEntry, OFFERS_PER_MESSAGE, Offers, PresenceNotice,
    QueueEntry, RECEIPTS_OF_EACH, Ready, Refusal, Release, Run, Sender, Session, Watch, max_entries,
    max_events, max_records, max_senders, max_spare, max_void_runs, most_places, receipts,
};
use crate::config::broker::BrokerConfig;
use crate::config::buffers::{BUFFER_CLASSES, MIN_BUFFER, buffer_class};
use crate::data::destination::{MAX_DESTINATION_BYTES, MAX_FILTER_PAIRS};
use crate::data::value::MAX_PAIR;
use crate::wire::control::Welcome;
use crate::wire::frame::MAX_HEADER;
use crate::wire::limits::{MAX_ALIASES, MAX_HELLO, MAX_OVERHEAD, MAX_PRESENCE};
use alloc::boxed::Box;

/// A piece of memory besides its content, as common allocators keep it: a header, and what rounding takes.
const PIECE: u64 = 2 * size::<usize>();

const PAIRS: u64 = MAX_FILTER_PAIRS as u64;

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

/// A table with free places that come to hold so many entries.
fn slab<T>(count: u64) -> u64 {
    table::<Option<T>>(count)
}

/// The same where it takes no more places than that, see [`reserve_one`](crate::broker::store::key_set::reserve_one); and half of what it would
/// take else, which is what it takes at the most before it grows for the last time.
fn capped_slab<T>(count: u64) -> (u64, u64) {
    (PIECE.saturating_add(count.saturating_mul(size::<Option<T>>())), slab::<T>(count) / 2)
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
        let (tables, capped) = (self.tables(), self.capped_tables());
        // A table that grows moves: then what it was before is there once more. One at a time.
        let before = tables.iter().map(|table| table / 2).chain(capped.map(|capped| capped.1));
        let moving = before.max().unwrap_or(0);
        [
            links.saturating_mul(self.link()),
            lossy_links.saturating_mul(self.lossy_link()),
            u64::from(self.max_sessions).saturating_mul(self.session()),
            self.queues(),
            self.receipts().saturating_mul(self.receipt()),
            u64::from(self.max_messages).saturating_mul(self.message()),
            u64::from(self.max_held).saturating_mul(held()),
            self.payloads(),
            // Attributes while they change.
            self.attributes(),
            moving,
        ]
        .into_iter()
        .chain(tables)
        .chain(capped.map(|capped| capped.0))
        .fold(self.trees(), u64::saturating_add)
    }

    /// The first node of each tree that there is once: timers, messages that wait, offers, sources, and where they are of use
    /// what each sender has in queues, and watches.
    fn trees(&self) -> u64 {
        let trees = 4 + u64::from(self.counts_senders()) + u64::from(self.max_watches > 0);
        trees * node::<Key>()
    }

    /// True where it is counted what each sender has in a queue.
    fn counts_senders(&self) -> bool {
        self.sender_queue < self.queue_messages
    }

    /// The tables that there are once.
    fn tables(&self) -> [u64; 20] {
        let (links, sessions) = (u64::from(self.max_links), u64::from(self.max_sessions));
        let made_way = u64::from(max_made_way(self));
        let remembers = self.max_failed_hellos_per_source > 0;
        let remembered = if remembers { u64::from(MAX_REMEMBERED) + 1 } else { 0 };
        let sources = links + made_way + remembered;
        let (messages, held) = (u64::from(self.max_messages), u64::from(self.max_held));
        let records = max_records(self);
        let pairs = sessions.saturating_mul(u64::from(self.max_attributes));
        let named = messages + links * u64::from(self.destination_slots);
        [
            slab::<UnfinishedFrame>(links),
            table::<Mark>(links + made_way),
            table::<u64>(links + made_way),
            table::<Ready>(3 * (links + made_way)),
            slab::<Source>(sources),
            // Each source by its number, those that are forgotten, each link that waits, and what rank that gives its source.
            (sources + remembered + 2 * links) * entry::<Key>(),
            table::<BrokerEvent>(max_events(self) as u64),
            table::<u32>(sessions),
            hash_table(sessions),
            hash_table(pairs),
            slab::<MessageEntry>(records),
            hash_table(sessions + records),
            slab::<Destination>(named),
            // Lists that are built and used up within one call: recipients, what is dropped, what waited for a session, and
            // whoever watches one that changes.
            table::<u32>(sessions),
            // Queues that have no free place, most of them twice.
            table::<u32>(2 * sessions),
            table::<u8>(sessions),
            // Jobs: each session may have one of each kind, of one kind only over a lossy link, and each that has ended one more.
            table::<Job>(5 * sessions + u64::from(self.max_lossy_links).min(links) + 2),
            table::<QueueEntry>(self.queue_messages.into()),
            held * entry::<Key>(),
            table::<(u64, u32, u32)>(sessions * u64::from(self.max_watches) * PAIRS),
        ]
    }

    /// The same for those that take no more places than they need.
    fn capped_tables(&self) -> [(u64, u64); 4] {
        // Links that have made way have a place for a moment, and nothing besides.
        let links = u64::from(self.max_links) + u64::from(max_made_way(self));
        let sessions = u64::from(self.max_sessions);
        [
            capped_slab::<Link>(links),
            capped_slab::<Session>(sessions),
            capped_slab::<List>(sessions.saturating_mul(self.max_attributes.into())),
            capped_slab::<Sender>(max_senders(self)),
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
            + aliases * size::<Alias>()
            + PIECE
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
        let stored = self.attributes() + (1 + attributes) * size::<u32>() + PIECE;
        // It has one of these jobs at the most.
        let release = size::<Release>() + PIECE + table::<u64>(2 + attributes);
        let job = release.max(size::<Offers>() + PIECE);
        let receipts = self.receipts_of_each();
        // Half of them are about watches.
        let (refusals, words) = match self.max_watches {
            0 => (MAX_REFUSALS as u64 / 2, 0),
            _ => (MAX_REFUSALS as u64, u64::from(MAX_UNACKNOWLEDGED)),
        };
        // Between two of these there is a run of deliveries at the most, each of which has one at least.
        let others = receipts + refusals + words + max_void_runs(self);
        let runs = others + others.min(self.queue_messages.into());
        let queue = table::<receipts::Run>(1)
            + receipts * share::<receipts::Run>()
            + table::<Refusal>(refusals)
            + table::<PresenceNotice>(words)
            + table::<Run>(runs);
        // Most of it counts with the messages.
        let messages = u64::from(self.max_messages);
        let in_flight = table::<(u64, u32)>((MIN_PLACES as u64).min(most_in_flight(messages)));
        let cold = size::<Cold>() + PIECE;
        pairs + stored + job + queue + cold + in_flight + self.watches() + entry::<Key>()
    }

    /// The attributes of a session.
    fn attributes(&self) -> u64 {
        1 + u64::from(self.max_attributes) * MAX_PAIR as u64 + PIECE
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
        let rings = sessions.saturating_mul(table::<QueueEntry>(each + each / 3 + 1));
        let places = rings.min(most_places(entries, sessions).saturating_mul(size::<QueueEntry>()));
        let counts = if self.counts_senders() { entry::<Key>() } else { 0 };
        let runs = if self.has_small_queues() { 0 } else { 2 * spare::<Run>() };
        places.saturating_add(entries.saturating_mul(runs + counts))
    }

    /// True where each delivery in a queue has been counted with its session as a run of the log.
    fn has_small_queues(&self) -> bool {
        u64::from(self.queue_messages) <= max_void_runs(self)
    }

    /// What a receipt adds to the queue of a sender: itself, and its run in the log with one of deliveries behind it.
    fn receipt(&self) -> u64 {
        let runs = if self.has_small_queues() { 1 } else { 2 };
        share::<receipts::Run>() + runs * share::<Run>()
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
        let answers = 2 * self.receipt();
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

/// The most places that so many messages of one sender take, in flight or ended behind one that is.
fn most_in_flight(messages: u64) -> u64 {
    (messages + MAX_ENDED as u64).max(2 * messages)
}

/// What a message needs to wait for somebody: terms under which it is found, and to whom it was offered.
fn held() -> u64 {
    (PAIRS + OFFERS_PER_MESSAGE as u64) * entry::<Key>()
}
