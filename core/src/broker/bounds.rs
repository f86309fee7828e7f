//! An upper bound for the memory of a broker: each table at its limit, all at once.

use crate::broker::links::lossy::{Lossy, MAX_LEFT};
use crate::broker::links::sources::{MAX_REMEMBERED, Source, max_made_way};
use crate::broker::links::table::{Alias, Link, UnfinishedFrame};
use crate::broker::store::{
    BrokerEvent, Cold, Destination, Job, KEPT, Key, List, MAX_ENDED, MAX_REPLIES, MAX_SPARE,
    MAX_UNACKNOWLEDGED, MIN_PLACES, Mark, MessageEntry, OFFERS_PER_MESSAGE, Offers, PresenceNotice,
    QueueEntry, RECEIPTS_OF_EACH, Ready, Release, Run, Sender, Session, Watch, max, max_entries, max_events,
    max_records, max_senders, max_spare, max_void_runs, min, most_places, receipts,
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

/// The places of a table that doubles from four on.
const fn doubled(count: u64) -> u64 {
    match count.checked_next_power_of_two() {
        Some(places) => max(places, 4),
        None => u64::MAX,
    }
}

/// The sum of sizes.
const fn sum(mut sizes: &[u64]) -> u64 {
    let mut sum: u64 = 0;
    while let [size, rest @ ..] = sizes {
        (sum, sizes) = (sum.saturating_add(*size), rest);
    }
    sum
}

/// The largest of some sizes.
const fn largest(mut sizes: &[u64]) -> u64 {
    let mut largest = 0;
    while let [size, rest @ ..] = sizes {
        (largest, sizes) = (max(largest, *size), rest);
    }
    largest
}

/// A table or queue with at most `count` entries.
const fn table<T>(count: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    PIECE.saturating_add(doubled(count).saturating_mul(size::<T>()))
}

/// A slab with at most `count` entries.
const fn slab<T>(count: u64) -> u64 {
    table::<Option<T>>(count)
}

/// A table with no more places than entries, see [`next_places`](crate::broker::store::key_set::next_places).
const fn capped<T>(count: u64) -> u64 {
    PIECE.saturating_add(count.saturating_mul(size::<T>()))
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
const fn hash_table(count: u64) -> u64 {
    // Each place has one control byte, and there is a group of these at the end.
    let places = doubled(count.saturating_mul(16) / 7 + 1);
    PIECE.saturating_add(places.saturating_mul(size::<u32>() + 1)).saturating_add(16)
}

impl BrokerConfig {
    /// The most bytes of memory that a broker with these limits can need, if every table is full at once.
    ///
    /// It is an upper bound for allocators with little overhead. Most brokers never come near it, and with the defaults it
    /// is more than most machines have: the largest part are receipts and presence for 65,536 sessions whose clients do not
    /// read. [`for_memory`](Self::for_memory) finds limits that fit a size. With limits that are constants, so is this.
    pub const fn worst_case_bytes(&self) -> u64 {
        let links = self.max_links as u64;
        let (tables, (capped, half)) = (self.tables(), self.capped_tables());
        let parts = [
            links.saturating_mul(self.link()),
            min(self.max_lossy_links as u64, links).saturating_mul(self.lossy_link()),
            (self.max_sessions as u64).saturating_mul(self.session()),
            self.queues(),
            self.receipts().saturating_mul(self.receipt()),
            (self.max_messages as u64).saturating_mul(self.message()),
            (self.max_held as u64).saturating_mul(held()),
            self.payloads(),
            // The attributes of a session while they change.
            self.attributes(),
            // A table that grows moves, one at a time, and its old memory exists until then.
            max(largest(&tables) / 2, half),
            self.trees(),
        ];
        sum(&parts).saturating_add(sum(&tables)).saturating_add(capped)
    }

    /// The first nodes of the trees: timers, waiting messages, offers and sources, and if they are in use the counts of
    /// senders and watches.
    const fn trees(&self) -> u64 {
        let trees = 4 + self.counts_senders() as u64 + (self.max_watches > 0) as u64;
        trees * node::<Key>()
    }

    /// True if the messages of each sender in a queue may be counted.
    const fn counts_senders(&self) -> bool {
        self.sender_queue < self.queue_messages
    }

    /// The sizes of tables that a broker has once.
    const fn tables(&self) -> [u64; 19] {
        let (links, sessions) = (self.max_links as u64, self.max_sessions as u64);
        let made_way = max_made_way(self) as u64;
        let remembers = self.max_failed_hellos_per_source > 0;
        let remembered = if remembers { MAX_REMEMBERED as u64 + 1 } else { 0 };
        let sources = links + made_way + remembered;
        let (messages, held) = (self.max_messages as u64, self.max_held as u64);
        let records = max_records(self);
        let pairs = sessions.saturating_mul(self.max_attributes as u64);
        let named = messages + links * self.destination_slots as u64;
        [
            slab::<UnfinishedFrame>(links),
            table::<Mark>(links + made_way),
            table::<u64>(links + made_way),
            table::<Ready>(3 * (links + made_way)),
            slab::<Source>(sources),
            // Sources by number, forgotten sources, waiting links, and the ranks of their sources.
            (sources + remembered + 2 * links) * entry::<Key>(),
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
            table::<Job>(5 * sessions + min(self.max_lossy_links as u64, links) + 2),
            table::<QueueEntry>(self.queue_messages as u64),
            held * entry::<Key>(),
            table::<(u64, u32, u32)>(sessions * self.max_watches as u64 * PAIRS),
        ]
    }

    /// The sum of the sizes of tables with a cap on their places, and the most that one of them takes before it grows for the
    /// last time: half of what it would take without the cap.
    const fn capped_tables(&self) -> (u64, u64) {
        // A link that has made way keeps a place for a moment, and nothing else.
        let links = self.max_links as u64 + max_made_way(self) as u64;
        let sessions = self.max_sessions as u64;
        let lists = sessions.saturating_mul(self.max_attributes as u64);
        let (senders, events) = (max_senders(self), max_events(self) as u64);
        let sizes = [
            capped::<Option<Link>>(links),
            capped::<Option<Session>>(sessions),
            capped::<Option<List>>(lists),
            capped::<Option<Sender>>(senders),
            capped::<BrokerEvent>(events),
        ];
        let uncapped = [
            slab::<Link>(links),
            slab::<Session>(sessions),
            slab::<List>(lists),
            slab::<Sender>(senders),
            table::<BrokerEvent>(events),
        ];
        (sum(&sizes), largest(&uncapped) / 2)
    }

    /// The longest frame, in or out.
    const fn frame(&self) -> u64 {
        let payload = self.max_payload as usize + MAX_OVERHEAD + MAX_DESTINATION_BYTES;
        max(payload as u64, MAX_HELLO as u64)
    }

    /// The memory of a link besides its place: an incomplete frame, aliases, a timer.
    const fn link(&self) -> u64 {
        let slots = self.destination_slots as u64;
        let aliases = min(MAX_ALIASES as u64, self.max_sessions as u64);
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
    const fn lossy_link(&self) -> u64 {
        let stuffed = self.frame() + self.frame() / 254 + 32;
        size::<Lossy>()
            + table::<(u32, u64)>(MAX_LEFT as u64)
            + 4 * stuffed
            + self.reorder_bytes as u64
            + 4 * PIECE
    }

    const fn destination(&self) -> u64 {
        self.destination_bytes as u64 + PIECE
    }

    /// The memory of a session besides its place.
    const fn session(&self) -> u64 {
        let attributes = self.max_attributes as u64;
        let sessions = self.max_sessions as u64;
        // Each of its pairs may be a list of its own.
        let list = min(table::<u32>(sessions), table::<u32>(KEPT as u64) + 4 * size::<u32>());
        let pairs = attributes * (MAX_PAIR as u64 + PIECE + list);
        let stored = self.attributes() + (1 + attributes) * size::<u32>() + PIECE;
        // It has at most one of these jobs.
        let release = size::<Release>() + PIECE + table::<u64>(2 + attributes);
        let job = max(release, size::<Offers>() + PIECE);
        let receipts = self.receipts_of_each();
        // The replies of one kind are about watches.
        let (replies, notices) = match self.max_watches {
            0 => ((MAX_REPLIES - MAX_REPLIES / Reply::KINDS) as u64, 0),
            _ => (MAX_REPLIES as u64, MAX_UNACKNOWLEDGED as u64),
        };
        // Between two of these there is at most one run of deliveries, which has at least one delivery.
        let others = receipts + replies + notices + max_void_runs(self);
        let runs = others + min(others, self.queue_messages as u64);
        let queue = table::<receipts::Run>(1)
            + receipts * share::<receipts::Run>()
            + table::<Reply>(replies)
            + table::<PresenceNotice>(notices)
            + table::<Run>(runs);
        // Most places of messages in flight count with the messages.
        let messages = self.max_messages as u64;
        let in_flight = table::<(u64, u32)>(min(MIN_PLACES as u64, most_in_flight(messages)));
        let cold = size::<Cold>() + PIECE;
        pairs + stored + job + queue + cold + in_flight + self.watches() + entry::<Key>()
    }

    const fn attributes(&self) -> u64 {
        1 + self.max_attributes as u64 * MAX_PAIR as u64 + PIECE
    }

    /// The receipts that count with their session. Others count with all receipts, or with the messages.
    const fn receipts_of_each(&self) -> u64 {
        min(self.most_receipts(), RECEIPTS_OF_EACH as u64 + 1)
    }

    /// The most receipts of one sender that count with no message: its backlog, and two windows of messages that came
    /// before its window was shut.
    const fn most_receipts(&self) -> u64 {
        self.receipt_backlog as u64 + 2 * self.window_messages as u64
    }

    /// The receipts that count with no session and no message.
    const fn receipts(&self) -> u64 {
        let more = self.most_receipts() - self.receipts_of_each();
        min(self.max_receipts as u64, (self.max_sessions as u64).saturating_mul(more))
    }

    /// The entries of all queues: places, runs of deliveries between void ones, and counts of senders.
    const fn queues(&self) -> u64 {
        let (sessions, each) = (self.max_sessions as u64, self.queue_messages as u64);
        let entries = max_entries(self);
        let rings = sessions.saturating_mul(table::<QueueEntry>(each + each / 3 + 1));
        let places = min(rings, most_places(entries, sessions).saturating_mul(size::<QueueEntry>()));
        let counts = if self.counts_senders() { entry::<Key>() } else { 0 };
        let runs = if self.has_small_queues() { 0 } else { 2 * spare::<Run>() };
        places.saturating_add(entries.saturating_mul(runs + counts))
    }

    /// True if each delivery in a queue counts with its session as a run of the log.
    const fn has_small_queues(&self) -> bool {
        self.queue_messages as u64 <= max_void_runs(self)
    }

    /// The memory of a receipt in the queue of a sender: itself, its run in the log, and a run of deliveries behind it.
    const fn receipt(&self) -> u64 {
        let runs = if self.has_small_queues() { 1 } else { 2 };
        share::<receipts::Run>() + runs * share::<Run>()
    }

    /// The watches of a session: each stands under each of its pairs, and keeps the names of changed sessions.
    const fn watches(&self) -> u64 {
        let watches = self.max_watches as u64;
        if watches == 0 {
            return 0;
        }
        let changes = max(self.watch_backlog as u64, 11) * entry::<[u8; 16]>();
        let filter = MAX_DESTINATION_BYTES as u64 + PIECE + PAIRS * entry::<Key>();
        table::<Watch>(watches) + watches * (filter + changes)
    }

    /// The memory of a message besides its place and its payload: its destination, a timer, its place in the list of a
    /// sender without a session and in the tree of one that repeats, and two receipts.
    const fn message(&self) -> u64 {
        let is_much = most_in_flight(self.max_messages as u64) > MIN_PLACES as u64;
        // A few count with the session of their sender, or with its rest.
        let in_flight = if is_much { 2 * spare::<(u64, u32)>() } else { share::<(u64, u32)>() };
        let sender = MAX_ENDED as u64 * size::<(u64, u32)>() + in_flight + PIECE;
        let answers = 2 * self.receipt();
        self.destination() + entry::<Key>() + sender + node::<Key>() + answers
    }

    /// Payloads, spare buffers, and the lists of these.
    const fn payloads(&self) -> u64 {
        let spare = max_spare(self.max_message_bytes) as u64;
        let smallest = MIN_BUFFER as u64;
        let classes = min(BUFFER_CLASSES as u64, 1 + buffer_class(self.max_payload as usize) as u64);
        let lists = classes * table::<Box<[u8]>>(1) + spare / smallest * share::<Box<[u8]>>();
        let pieces = self.max_messages as u64 + spare / smallest;
        self.max_message_bytes.saturating_add(spare + lists + pieces * PIECE)
    }
}

/// The most places of that many messages of one sender, in flight or ended behind one that is.
const fn most_in_flight(messages: u64) -> u64 {
    max(messages + MAX_ENDED as u64, 2 * messages)
}

/// The memory of a message that waits: its terms, and its offers.
const fn held() -> u64 {
    (PAIRS + OFFERS_PER_MESSAGE as u64) * entry::<Key>()
}
