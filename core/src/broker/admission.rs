//! Which link gets a place, and which one makes way for it. (PROTOCOL.md, "Resources")

use super::links::NO_LINK;
use super::links::Phase;
use super::sources::*;
use super::state::Broker;
use crate::bug::OrBug;
use crate::error::AbortCode;
use crate::time::{Instant, micros};
use crate::wire::control::Abort;
use crate::wire::frame::Framing;

impl Broker {
    /// Makes sure that there is a place for one more link, or says which limit is reached.
    pub(super) fn make_place(&mut self, source: u64, framing: Framing) -> Result<(), Limit> {
        if let Some(limit) = self.sources.refusal(source, self.now, &self.config) {
            return Err(limit);
        }
        let lacks_lossy = framing.is_lossy() && self.links.lossy() >= self.config.max_lossy_links as usize;
        if !lacks_lossy && self.links.len() < self.config.max_links as usize {
            return Ok(());
        }
        let limit = if lacks_lossy { Limit::LossyLinks } else { Limit::Links };
        if self.links.made_way() >= max_made_way(&self.config) as usize {
            return Err(limit);
        }
        // When the hello of a link is due that has waited for that long.
        let due = (self.now + self.config.handshake_timeout).as_micros().saturating_sub(micros(PATIENCE));
        let link = self.sources.makes_way(lacks_lossy, Instant::from_micros(due)).ok_or(limit)?;
        debug!("e_pigeon::broker", "link {link} is closed to make room for a new one");
        self.abort(link, Abort { code: AbortCode::HandshakeTimeout, detail: 0 });
        if self.links.make_way(link) {
            // Nobody was there.
            self.list_close(link);
        }
        Ok(())
    }

    /// A link waits for a hello from now on, until then at the latest.
    pub(super) fn await_hello(&mut self, index: u32, until: Instant) {
        let Some(link) = self.links.get(index).or_bug(NO_LINK) else { return };
        self.sources.wait(link.source, index, link.is_lossy(), until);
    }

    /// A link does not wait for its hello any more, if it did: it has come, or never will.
    pub(super) fn stop_waiting(&mut self, index: u32) {
        let Some(link) = self.links.get(index).or_bug(NO_LINK) else { return };
        if let Phase::Hello { until } = link.phase {
            self.sources.heard(link.source, index, link.is_lossy(), until);
        }
    }

    /// The same where that counts as a failed hello.
    pub(super) fn give_hello_up(&mut self, index: u32) {
        self.stop_waiting(index);
        if let Some(link) = self.links.get(index)
            && matches!(link.phase, Phase::Hello { .. })
        {
            self.sources.failed(link.source, self.now, self.config.max_failed_hellos_per_source);
        }
    }
}
