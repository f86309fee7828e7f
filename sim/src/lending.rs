//! The two ways in which output leaves a broker: copied, or from where it lies.

use e_pigeon_core::{Broker, Instant, LinkId, UnknownLink};

/// Puts what a link is to be sent to the front of `out` and returns how much. What is left of a payload is taken from where
/// it lies, if `is_lent`.
pub(crate) fn transmit(
    broker: &mut Broker,
    now: Instant,
    link: LinkId,
    out: &mut [u8],
    is_lent: bool,
) -> Result<usize, UnknownLink> {
    let lent = if is_lent { broker.transmit_slice(link) } else { &[] };
    let count = lent.len().min(out.len());
    if count == 0 {
        return broker.poll_transmit(now, link, out);
    }
    out[..count].copy_from_slice(&lent[..count]);
    broker.handle_transmitted(now, link, count);
    Ok(count)
}
