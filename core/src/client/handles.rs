//! What an embedder holds: the client, and its commands beside an event.

use super::link::ClientLink;
use super::memory::Cutter;
use super::tables::Tables;
use crate::codec::Bytes;
use crate::config::client::ClientConfig;
use core::fmt;

/// A client of a broker, without I/O: an embedder moves bytes and passes the time.
///
/// It never allocates: outbox, inbox, attributes and all tables live in the one block `memory` that it is given,
/// cut up by the [`ClientConfig`]. Method kinds and the run loop are on the [front page](crate).
///
/// `B` is the block: `[u8; N]`, `&mut [u8]`, `Vec<u8>` or `Box<[u8]>`.
pub struct Client<B> {
    pub(super) memory: B,
    pub(super) state: ClientState,
}

/// Everything that a client is, but for its memory.
#[derive(Clone, Debug)]
pub(super) struct ClientState {
    pub(super) link: ClientLink,
    pub(super) tables: Tables,
    /// A bug of this crate was found in a call.
    #[cfg(feature = "alloc")]
    pub(super) broken: bool,
}

impl ClientState {
    /// Cuts the memory, gives it its first content as far as it goes, and starts without a link.
    #[inline]
    pub(super) fn new(config: &ClientConfig, cutter: &mut Cutter, m: &mut [u8]) -> Self {
        let tables = Tables::new(config, cutter, m);
        let link = ClientLink::new(config, cutter, tables.watching.items() > 0);
        Self {
            link,
            tables,
            #[cfg(feature = "alloc")]
            broken: false,
        }
    }
}

/// Without the memory, which has payloads in it, and without the secret.
impl<B> fmt::Debug for Client<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("uuid", &self.state.link.identity.uuid)
            .field("is_established", &self.state.link.is_established())
            .field("is_closed", &self.state.link.is_closed())
            .finish_non_exhaustive()
    }
}

/// The commands of a client beside an event: see [`Client::next_event_with_commands`].
pub struct Commands<'a> {
    pub(super) state: &'a mut ClientState,
    /// All of the client's memory but the part that events borrow from.
    pub(super) m: &'a mut [u8],
}

/// With the size of the memory in place of the memory, which has payloads in it.
impl fmt::Debug for Commands<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands")
            .field("uuid", &self.state.link.identity.uuid)
            .field("memory", &Bytes(self.m.len()))
            .finish_non_exhaustive()
    }
}

impl<B: AsMut<[u8]>> Client<B> {
    /// The commands while no event is held.
    pub(super) fn commands(&mut self) -> Commands<'_> {
        let (m, _) = parts(&mut self.memory, self.state.tables.payloads_at);
        Commands { state: &mut self.state, m }
    }
}

/// The memory of a client, and the part of it that events borrow from.
pub(super) fn parts<B: AsMut<[u8]>>(memory: &mut B, payloads_at: usize) -> (&mut [u8], &[u8]) {
    // The memory has as many bytes as were cut.
    let (m, payloads) = memory.as_mut().split_at_mut_checked(payloads_at).unwrap_or_default();
    (m, payloads)
}
