//! Admission of links: which link gets a place, and which one makes way for it. (PROTOCOL.md, "Resources")

use crate::broker::errors::TooManyLinks;
use crate::broker::links::sources::{PATIENCE, max_made_way};
use crate::broker::links::{ending, hellos, schedule};
use crate::broker::state::Broker;
use crate::broker::store::{BrokerEvent, Limit, LinkId};
use crate::error::AbortCode;
use crate::time::{Instant, micros};
use crate::wire::control::Abort;
use crate::wire::frame::Framing;

/// Makes sure that there is a place for one more link; returns the limit that is reached otherwise.
fn make_place(broker: &mut Broker, source: u64, framing: Framing) -> Result<(), Limit> {
    if let Some(limit) = broker.sources.refusal(source, broker.store.now, &broker.store.config) {
        return Err(limit);
    }
    let lacks_lossy =
        framing.is_lossy() && broker.links.lossy_links() >= broker.store.config.max_lossy_links as usize;
    if !lacks_lossy && broker.links.len() < broker.store.config.max_links as usize {
        return Ok(());
    }
    let limit = if lacks_lossy { Limit::LossyLinks } else { Limit::Links };
    if broker.links.made_way() >= max_made_way(&broker.store.config) as usize {
        return Err(limit);
    }
    // The deadline of a hello for which the broker has waited as long as `PATIENCE`.
    let due = (broker.store.now + broker.store.config.handshake_timeout)
        .as_micros()
        .saturating_sub(micros(PATIENCE));
    let link = broker.sources.makes_way(lacks_lossy, Instant::from_micros(due)).ok_or(limit)?;
    debug!("e_pigeon::broker", "link {link} is closed to make room for a new one");
    ending::abort(broker, link, Abort { code: AbortCode::HandshakeTimeout, detail: 0 });
    if broker.links.make_way(link) {
        // No client is known to be at the other end.
        schedule::close(broker, link);
    }
    Ok(())
}

/// Adds a link for a transport. The link waits for a hello.
pub(crate) fn connected(broker: &mut Broker, source: u64, framing: Framing) -> Result<LinkId, TooManyLinks> {
    if let Err(limit) = make_place(broker, source, framing) {
        broker.store.push_event(BrokerEvent::Refused { source, limit });
        return Err(TooManyLinks);
    }
    let until = broker.store.now + broker.store.config.handshake_timeout;
    let id = broker.links.insert(framing, broker.sources.join(source), until);
    broker.store.ready.add_link(id);
    // There are at most 2^30 links.
    let index = id.index() as u32;
    hellos::await_hello(broker, index, until);
    schedule::arm(broker, index);
    Ok(id)
}
