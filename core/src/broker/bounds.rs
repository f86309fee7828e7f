//! How much memory a broker can come to need: each table at its limit, all at once.

use super::holding::OFFERS_PER_MESSAGE;
use super::index::List;
use super::links::{Alias, Current, Link};
use super::lossy::Lossy;
use super::messages::{Message, Sender};
use super::pool::max_spare;
use super::presence::{MAX_UNACKNOWLEDGED, Watch, Word};
use super::queue::{Delivery, MAX_NOTICES, Notice, Run, Seldom};
use super::receipts;
use super::sessions::Session;
use super::{BrokerEvent, Ready, max_events};
use crate::attributes::{MAX_ATTRIBUTE_BYTES, MAX_PAIR};
use crate::config::BrokerConfig;
use crate::filter::{MAX_DESTINATION_BYTES, MAX_FILTER_PAIRS};
use crate::wire::control::Welcome;
use crate::wire::{MAX_ALIASES, MAX_HELLO, MAX_OVERHEAD, MAX_PRESENCE, MAX_SLOTS};

/// A table that doubles when it is full holds up to twice what is in it, and the old one as well while it moves.
const GROWTH: usize = 3;
/// An entry of a tree or a hash table besides its content, nodes half full.
const ENTRY: usize = 48;
/// A piece of memory besides its content, as common allocators keep it.
const PIECE: usize = 16;

const fn grown<T>() -> usize {
    GROWTH * size_of::<T>()
}

impl BrokerConfig {
    /// The most bytes of memory that a broker with these limits can come to need, when every table is full at once.
    ///
    /// It is an upper bound for allocators that lose little between pieces. Most brokers never come near it: with the
    /// defaults the queues alone could take far more than any machine has, because each of 100,000 sessions may be away
    /// with a full queue. Whoever has little memory sets limits for which it fits.
    pub fn worst_case_bytes(&self) -> u64 {
        let attributes = usize::from(self.max_attributes);
        let frame = (self.max_payload as usize + MAX_OVERHEAD + MAX_DESTINATION_BYTES).max(MAX_HELLO);
        let destination = grown::<(&[u8], u32)>() + MAX_DESTINATION_BYTES + PIECE;
        let slots = usize::from(MAX_SLOTS) * (grown::<u32>() + destination);
        let aliases = usize::from(MAX_ALIASES) * grown::<Alias>();
        // Where the framing is lossy: a frame that comes in, one that goes out, and what came too early.
        let lossy = size_of::<Lossy>()
            + 2 * GROWTH * (frame + frame / 254 + 32)
            + self.reorder_bytes as usize
            + 4 * PIECE;
        let link = grown::<Link>()
            + grown::<Current>()
            + size_of::<Welcome>()
            + lossy
            + GROWTH * frame
            + MAX_PRESENCE
            + PIECE
            + slots
            + aliases
            + 3 * grown::<Ready>()
            + ENTRY;

        // A session is found by its UUID and by each of its pairs, which may be nobody else's.
        let pairs = attributes * (MAX_PAIR + PIECE + ENTRY + grown::<List>() + 2 * grown::<u32>());
        let stored = MAX_ATTRIBUTE_BYTES.min(1 + attributes * MAX_PAIR) + 2 * PIECE + 4 * (1 + attributes);
        let queue = self.queue_messages as usize * (grown::<Delivery>() + grown::<Run>());
        // Besides what the backlog allows there may be as many as came before the window was shut.
        let receipts = self.receipt_backlog as usize + 2 * self.window_messages as usize;
        let receipts = receipts * (grown::<receipts::Run>() + grown::<Run>());
        let notices = MAX_NOTICES * (grown::<Notice>() + grown::<Run>());
        let found = 3 * ENTRY + 2 * grown::<u32>() + grown::<Sender>();
        // A watch stands under each of its pairs, and keeps the names of those who have changed.
        let changes = self.watch_backlog as usize * (ENTRY + 16);
        let filter = MAX_DESTINATION_BYTES + PIECE + MAX_FILTER_PAIRS * (ENTRY + 16);
        let watches = usize::from(self.max_watches) * (grown::<Watch>() + filter + changes);
        let told = usize::from(MAX_UNACKNOWLEDGED) * (grown::<Word>() + grown::<Run>());
        let presence = if self.max_watches > 0 { watches + told } else { 0 };
        let session = grown::<Session>()
            + size_of::<Seldom>()
            + PIECE
            + found
            + pairs
            + stored
            + queue
            + receipts
            + notices
            + presence;

        // Each message may be the last of its sender, and may have a destination of its own and two receipts to come.
        let in_flight = grown::<(u64, u32)>() * 2 + grown::<Sender>() + ENTRY;
        let answers = 2 * (grown::<receipts::Run>() + grown::<Run>());
        let message =
            grown::<Message>() + in_flight + destination + answers + ENTRY + PIECE + grown::<&[u8]>();
        let held =
            MAX_FILTER_PAIRS * (ENTRY + 24) + OFFERS_PER_MESSAGE * (ENTRY + 24) + 2 * grown::<(u64, u32)>();

        let total = |count: u32, each: usize| u64::from(count).saturating_mul(each as u64);
        let fixed =
            (max_spare(self.max_message_bytes) + max_events(self) * grown::<BrokerEvent>() + 4096) as u64;
        [
            total(self.max_links, link),
            total(self.max_sessions, session),
            total(self.max_messages, message),
            total(self.max_held, held),
            // The lists of recipients and of what is dropped, within one call.
            total(self.max_sessions, MAX_FILTER_PAIRS * grown::<u32>()),
            total(self.queue_messages, grown::<Delivery>()),
            // Whoever watches a session that changes, within one call.
            total(self.max_sessions, usize::from(self.max_watches) * 2 * grown::<(u32, u32)>()),
            self.max_message_bytes,
        ]
        .into_iter()
        .fold(fixed, u64::saturating_add)
    }
}
