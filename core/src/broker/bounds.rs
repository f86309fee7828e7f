//! An upper bound for the memory of a broker: each table at its limit, all at once.

use crate::broker::links::lossy::{Lossy, MAX_LEFT};
use crate::broker::links::sources::{MAX_REMEMBERED, Source, max_made_way};
use crate::broker::links::table::{Alias, Link, UnfinishedFrame};
use crate::broker::store::{
    BrokerEvent, Cold, Destination, Job, KEPT, Key, List, MAX_ENDED, MAX_REPLIES, MAX_SPARE,
    MAX_UNACKNOWLEDGED, MIN_PLACES, Mark, MessageEntry, OFFERS_PER_MESSAGE, Offers, PresenceNotice,
    QueueEntry, RECEIPTS_OF_EACH, Ready, Release, Run, Sender, Session, Watch, max_entries, max_events,
    max_records, max_senders, max_spare, max_void_runs, most_places, receipts,
};
use crate::config::broker::BrokerConfig;
use crate::config::buffers::{BUFFER_CLASSES, MIN_BUFFER, buffer_class};
use crate::data::destination::{MAX_DESTINATION_BYTES, MAX_FILTER_PAIRS};
use crate::data::value::MAX_PAIR;
use crate::wire::control::Welcome;
use crate::wire::frame::MAX_HEADER;
use crate::wire::item::Reply;
use crate::wire::limits::{MAX_ALIASES, MAX_HELLO, MAX_OVERHEAD, MAX_PRESENCE};
use alloc::boxed::Box;

/// The overhead of an allocation in common allocators: a header, and rounding.
const PIECE: u64 = 2 * size::<usize>();

const PAIRS: u64 = MAX_FILTER_PAIRS as u64;

const fn size<T>() -> u64 {
    size_of::<T>() as u64
}

/// A table or queue with at most `count` entries. It doubles from four places on.
fn table<T>(count: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    let places = count.checked_next_power_of_two().unwrap_or(u64::MAX).max(4);
    PIECE.saturating_add(places.saturating_mul(size::<T>()))
}

/// A slab with at most `count` entries.
fn slab<T>(count: u64) -> u64 {
    table::<Option<T>>(count)
}

/// The same with no more places than entries, see [`reserve_one`](crate::broker::store::key_set::reserve_one); and half of
/// an uncapped one, which is the most that it takes before it grows for the last time.
fn capped_slab<T>(count: u64) -> (u64, u64) {
    (PIECE.saturating_add(count.saturating_mul(size::<Option<T>>())), slab::<T>(count) / 2)
}

/// One entry of tables that share a limit, in any distribution; each table has at least four places besides.
const fn share<T>() -> u64 {
    2 * size::<T>()
}

/// One entry of queues that shrink only when most of their places are free.
const fn spare<T>() -> u64 {
    MAX_SPARE as u64 * size::<T>()
}

/// One entry of a tree, whose nodes have eleven places, at least five of them in use.
const fn entry<T>() -> u64 {
    5 * size::<T>() / 2 + PIECE
}

/// The first node of a tree.
const fn node<T>() -> u64 {
    11 * size::<T>() + 2 * PIECE
}

/// A hash table of places in another table. An eighth of it stays free, and it may double when more than half full.
fn hash_table(count: u64) -> u64 {
    // Each place has one control byte, and there is a group of these at the end.
    let places = (count.saturating_mul(16) / 7 + 1).checked_next_power_of_two().unwrap_or(u64::MAX).max(4);
    PIECE.saturating_add(places.saturating_mul(size::<u32>() + 1)).saturating_add(16)
}

impl BrokerConfig {
    /// The most bytes of memory that a broker with these limits can need, if every table is full at once.
    ///
    /// It is an upper bound for allocators with little overhead. Most brokers never come near it, and with the defaults it
    /// is more than most machines have: the largest part are receipts and presence for 65,536 sessions whose clients do not
    /// read. [`for_memory`](Self::for_memory) finds limits that fit a size.
    pub fn worst_case_bytes(&self) -> u64 {
        let links = u64::from(self.max_links);
        let lossy_links = u64::from(self.max_lossy_links).min(links);
        let (tables, capped) = (self.tables(), self.capped_tables());
        // A table that grows moves, one at a time, and its old memory exists until then.
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
            // The attributes of a session while they change.
            self.attributes(),
            moving,
        ]
        .into_iter()
        .chain(tables)
        .chain(capped.map(|capped| capped.0))
        .fold(self.trees(), u64::saturating_add)
    }

    /// The first nodes of the trees: timers, waiting messages, offers and sources, and if they are in use the counts of
    /// senders and watches.
    fn trees(&self) -> u64 {
        let trees = 4 + u64::from(self.counts_senders()) + u64::from(self.max_watches > 0);
        trees * node::<Key>()
    }

    /// True if the messages of each sender in a queue may be counted.
    fn counts_senders(&self) -> bool {
        self.sender_queue < self.queue_messages
    }

    /// The sizes of tables that a broker has once.
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
            // Sources by number, forgotten sources, waiting links, and the ranks of their sources.
            (sources + remembered + 2 * links) * entry::<Key>(),
            table::<BrokerEvent>(max_events(self) as u64),
            table::<u32>(sessions),
            hash_table(sessions),
            hash_table(pairs),
            slab::<MessageEntry>(records),
            hash_table(sessions + records),
            slab::<Destination>(named),
            // Lists that are built and used up within one call: recipients, dropped entries, messages that waited, and
            // watchers.
            table::<u32>(sessions),
            // Full queues, most of them twice.
            table::<u32>(2 * sessions),
            table::<u8>(sessions),
            // Jobs: each session may have one of each kind, one kind only over a lossy link, and each ended session one
            // more.
            table::<Job>(5 * sessions + u64::from(self.max_lossy_links).min(links) + 2),
            table::<QueueEntry>(self.queue_messages.into()),
            held * entry::<Key>(),
            table::<(u64, u32, u32)>(sessions * u64::from(self.max_watches) * PAIRS),
        ]
    }

    /// The same for tables with a cap on their places, see [`capped_slab`].
    fn capped_tables(&self) -> [(u64, u64); 4] {
        // A link that has made way keeps a place for a moment, and nothing else.
        let links = u64::from(self.max_links) + u64::from(max_made_way(self));
        let sessions = u64::from(self.max_sessions);
        [
            capped_slab::<Link>(links),
            capped_slab::<Session>(sessions),
            capped_slab::<List>(sessions.saturating_mul(self.max_attributes.into())),
            capped_slab::<Sender>(max_senders(self)),
        ]
    }

    /// The longest frame, in or out.
    fn frame(&self) -> u64 {
        let payload = self.max_payload as usize + MAX_OVERHEAD + MAX_DESTINATION_BYTES;
        payload.max(MAX_HELLO) as u64
    }

    /// The memory of a link besides its place: an incomplete frame, aliases, a timer.
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

    /// The additional memory of a link with lossy framing: frames in and out, and early items.
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

    /// The memory of a session besides its place.
    fn session(&self) -> u64 {
        let attributes = u64::from(self.max_attributes);
        let sessions = u64::from(self.max_sessions);
        // Each of its pairs may be a list of its own.
        let list = table::<u32>(sessions).min(table::<u32>(KEPT as u64) + 4 * size::<u32>());
        let pairs = attributes * (MAX_PAIR as u64 + PIECE + list);
        let stored = self.attributes() + (1 + attributes) * size::<u32>() + PIECE;
        // It has at most one of these jobs.
        let release = size::<Release>() + PIECE + table::<u64>(2 + attributes);
        let job = release.max(size::<Offers>() + PIECE);
        let receipts = self.receipts_of_each();
        // The replies of one kind are about watches.
        let (replies, notices) = match self.max_watches {
            0 => ((MAX_REPLIES - MAX_REPLIES / Reply::KINDS) as u64, 0),
            _ => (MAX_REPLIES as u64, u64::from(MAX_UNACKNOWLEDGED)),
        };
        // Between two of these there is at most one run of deliveries, which has at least one delivery.
        let others = receipts + replies + notices + max_void_runs(self);
        let runs = others + others.min(self.queue_messages.into());
        let queue = table::<receipts::Run>(1)
            + receipts * share::<receipts::Run>()
            + table::<Reply>(replies)
            + table::<PresenceNotice>(notices)
            + table::<Run>(runs);
        // Most places of messages in flight count with the messages.
        let messages = u64::from(self.max_messages);
        let in_flight = table::<(u64, u32)>((MIN_PLACES as u64).min(most_in_flight(messages)));
        let cold = size::<Cold>() + PIECE;
        pairs + stored + job + queue + cold + in_flight + self.watches() + entry::<Key>()
    }

    fn attributes(&self) -> u64 {
        1 + u64::from(self.max_attributes) * MAX_PAIR as u64 + PIECE
    }

    /// The receipts that count with their session. Others count with all receipts, or with the messages.
    fn receipts_of_each(&self) -> u64 {
        self.most_receipts().min(RECEIPTS_OF_EACH as u64 + 1)
    }

    /// The most receipts of one sender that count with no message: its backlog, and two windows of messages that came
    /// before its window was shut.
    fn most_receipts(&self) -> u64 {
        u64::from(self.receipt_backlog) + 2 * u64::from(self.window_messages)
    }

    /// The receipts that count with no session and no message.
    fn receipts(&self) -> u64 {
        let more = self.most_receipts() - self.receipts_of_each();
        u64::from(self.max_receipts).min(u64::from(self.max_sessions).saturating_mul(more))
    }

    /// The entries of all queues: places, runs of deliveries between void ones, and counts of senders.
    fn queues(&self) -> u64 {
        let (sessions, each) = (u64::from(self.max_sessions), u64::from(self.queue_messages));
        let entries = max_entries(self);
        let rings = sessions.saturating_mul(table::<QueueEntry>(each + each / 3 + 1));
        let places = rings.min(most_places(entries, sessions).saturating_mul(size::<QueueEntry>()));
        let counts = if self.counts_senders() { entry::<Key>() } else { 0 };
        let runs = if self.has_small_queues() { 0 } else { 2 * spare::<Run>() };
        places.saturating_add(entries.saturating_mul(runs + counts))
    }

    /// True if each delivery in a queue counts with its session as a run of the log.
    fn has_small_queues(&self) -> bool {
        u64::from(self.queue_messages) <= max_void_runs(self)
    }

    /// The memory of a receipt in the queue of a sender: itself, its run in the log, and a run of deliveries behind it.
    fn receipt(&self) -> u64 {
        let runs = if self.has_small_queues() { 1 } else { 2 };
        share::<receipts::Run>() + runs * share::<Run>()
    }

    /// The watches of a session: each stands under each of its pairs, and keeps the names of changed sessions.
    fn watches(&self) -> u64 {
        let watches = u64::from(self.max_watches);
        if watches == 0 {
            return 0;
        }
        let changes = u64::from(self.watch_backlog).max(11) * entry::<[u8; 16]>();
        let filter = MAX_DESTINATION_BYTES as u64 + PIECE + PAIRS * entry::<Key>();
        table::<Watch>(watches) + watches * (filter + changes)
    }

    /// The memory of a message besides its place and its payload: its destination, a timer, its place in the list of a
    /// sender without a session and in the tree of one that repeats, and two receipts.
    fn message(&self) -> u64 {
        let is_much = most_in_flight(self.max_messages.into()) > MIN_PLACES as u64;
        // A few count with the session of their sender, or with its rest.
        let in_flight = if is_much { 2 * spare::<(u64, u32)>() } else { share::<(u64, u32)>() };
        let sender = MAX_ENDED as u64 * size::<(u64, u32)>() + in_flight + PIECE;
        let answers = 2 * self.receipt();
        self.destination() + entry::<Key>() + sender + node::<Key>() + answers
    }

    /// Payloads, spare buffers, and the lists of these.
    fn payloads(&self) -> u64 {
        let spare = max_spare(self.max_message_bytes) as u64;
        let smallest = MIN_BUFFER as u64;
        let classes = BUFFER_CLASSES.min(1 + buffer_class(self.max_payload as usize)) as u64;
        let lists = classes * table::<Box<[u8]>>(1) + spare / smallest * share::<Box<[u8]>>();
        let pieces = u64::from(self.max_messages) + spare / smallest;
        self.max_message_bytes.saturating_add(spare + lists + pieces * PIECE)
    }
}

/// The most places of that many messages of one sender, in flight or ended behind one that is.
fn most_in_flight(messages: u64) -> u64 {
    (messages + MAX_ENDED as u64).max(2 * messages)
}

/// The memory of a message that waits: its terms, and its offers.
fn held() -> u64 {
    (PAIRS + OFFERS_PER_MESSAGE as u64) * entry::<Key>()
}
