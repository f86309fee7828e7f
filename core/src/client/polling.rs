//! Events, in the order in which the application gets them: those of the link, receipts, presence and messages by turns.

use super::event::{Event, EventFilter};
use super::link::ClientLink;
use super::tables::Tables;

/// True if [`poll`] would return something of all kinds. `payloads` is the part of memory that
/// events borrow from, and `m` the rest.
pub(super) fn has_event(link: &ClientLink, tables: &Tables, m: &[u8], payloads: &[u8]) -> bool {
    link.lifecycle.has_news(link.is_established())
        || tables.outbox.has_receipt()
        || link.lifecycle.attributes_refused.is_some()
        || (link.takes_commands()
            && (tables.outbox.has_capacity()
                || tables.watching.has_event(m, payloads)
                || tables.inbox.has_next()))
        || link.lifecycle.has_closed()
}

/// The next event of the kinds that are `wanted`. The application has consumed those that it peeked at before,
/// but for messages with manual acknowledgement. If `ALL`, the filter is not looked at: that costs with each event.
pub(super) fn poll<'m, const ALL: bool>(
    link: &mut ClientLink,
    tables: &mut Tables,
    m: &mut [u8],
    payloads: &'m [u8],
    wanted: EventFilter,
) -> Option<Event<'m>> {
    let Tables { outbox, inbox, watching, presence_was_last, .. } = tables;
    let wants = |kind| ALL || wanted.has(kind);
    let messages = wants(EventFilter::MESSAGES);
    if messages && link.takes_commands() {
        inbox.consume_peeked();
    }
    if wants(EventFilter::PRESENCE) {
        watching.consume_peeked(m, payloads);
    }
    if wants(EventFilter::LINK)
        && let Some(event) = link.lifecycle.poll(link.is_established())
    {
        return Some(event);
    }
    if wants(EventFilter::RECEIPTS)
        && let Some(receipt) = outbox.poll_receipt(m)
    {
        return Some(Event::Receipt(receipt));
    }
    if wants(EventFilter::REFUSALS)
        && let Some(reason) = link.lifecycle.attributes_refused.take()
    {
        return Some(Event::AttributesRefused(reason));
    }
    if !link.takes_commands() {
        return if wants(EventFilter::LINK) { link.lifecycle.poll_closed() } else { None };
    }
    if wants(EventFilter::CAPACITY) && outbox.poll_capacity() {
        return Some(Event::CapacityAvailable);
    }
    if messages {
        // By turns, so that neither stops the other.
        *presence_was_last = !*presence_was_last || !inbox.has_next();
    }
    if (*presence_was_last || !messages)
        && watching.is_used()
        && let Some(event) = watching.poll(m, payloads, wanted)
    {
        return Some(event);
    }
    if !messages {
        return None;
    }
    inbox.peek(m, payloads)
}
