//! The client: a state machine that an embedder feeds with bytes and time, and asks for bytes and events.

/// Makes a call, and notes whether a bug was found in it. On the least nodes it is the call and nothing else.
macro_rules! guarded {
    ($state:expr, $call:expr) => {{
        #[cfg(feature = "alloc")]
        let before = $crate::bug::so_far();
        let result = $call;
        #[cfg(feature = "alloc")]
        {
            $state.broken |= $crate::bug::so_far() != before;
        }
        result
    }};
}

mod answers;
mod attributes;
mod backoff;
mod blocks;
mod commands;
mod entry;
mod event;
mod frame;
mod handles;
mod hello;
mod inbox;
mod link;
// What may be left out has one seam: a module of the same names stands in for it.
#[cfg_attr(not(feature = "lossy"), path = "no_lossy.rs")]
mod lossy;
#[cfg_attr(not(feature = "lossy"), path = "no_lossy_io.rs")]
mod lossy_io;
mod memory;
mod outbox;
mod polling;
#[cfg_attr(not(feature = "presence"), path = "no_presence.rs")]
mod presence;
mod receive;
mod seen;
mod slots;
mod tables;
mod transmit;
#[cfg(feature = "typed")]
mod typed;
#[cfg(feature = "presence")]
mod watching;

pub use event::{
    AckToken, Close, CloseReason, Delivery, DisconnectReason, Established, Event, EventFilter, Presence,
    WatchId,
};
pub use handles::{Client, Commands};
#[cfg(feature = "typed")]
pub use typed::{DecodeError, SendAsError};

use crate::bug::OrBug;
use crate::config::client::ClientConfig;
use crate::data::attributes::AttributesRef;
#[cfg(doc)]
use crate::data::message::Receipt;
use crate::data::message::{Message, MessageId};
use crate::data::value::Value;
use crate::error::{BufferTooSmall, ConfigError, SendError, SetError};
use crate::time::Instant;
use handles::{ClientState, parts};
use memory::Cutter;
use uuid::Uuid;

const NO_MEMORY: &str = "the memory is smaller than when the client was made";

impl ClientConfig {
    /// How many bytes of memory a client with these limits needs.
    pub fn memory_needed(&self) -> usize {
        let mut cutter = Cutter::default();
        ClientState::new(self, &mut cutter, &mut []);
        cutter.used()
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Client<B> {
    /// Makes a client that wants a connection.
    ///
    /// # Errors
    ///
    /// A limit makes no sense, or `memory` is smaller than [`ClientConfig::memory_needed`].
    pub fn new(config: ClientConfig, mut memory: B) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut cutter = Cutter::default();
        let state = ClientState::new(&config, &mut cutter, memory.as_mut());
        let needed = cutter.used();
        if memory.as_ref().len() < needed {
            Err(ConfigError::Memory { needed })
        } else {
            Ok(Self { memory, state })
        }
    }

    // Handlers: what the transport or the clock did.

    /// The transport is connected: from now on [`poll_transmit`](Self::poll_transmit) has something to write.
    ///
    /// A transport that was there before counts as lost.
    pub fn handle_connected(&mut self, now: Instant) {
        let ClientState { link, tables, .. } = &mut self.state;
        link.advance(now);
        guarded!(self.state, link.connected(tables, self.memory.as_mut()));
    }

    /// Bytes came from the broker, cut anywhere, or one whole datagram if the framing is datagrams. The client reads all of
    /// them; it drops what comes without a transport.
    ///
    /// May have changed: events, what is to be transmitted, the timeout,
    /// [`wants_disconnect`](Self::wants_disconnect).
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.state.link.advance(now);
        guarded!(self.state, self.input(bytes));
    }

    fn input(&mut self, bytes: &[u8]) {
        let ClientState { link, tables, .. } = &mut self.state;
        let parts = self.memory.as_mut().split_at_mut_checked(tables.kept_at);
        let Some((m, kept)) = parts.or_bug(NO_MEMORY) else { return };
        if link.lossy.is_some() {
            lossy_io::input(link, tables, m, kept, bytes);
        } else {
            receive::input(link, tables, m, kept, bytes);
        }
    }

    /// The transport is gone, or could not be had. Harmless if there was none.
    pub fn handle_disconnected(&mut self, now: Instant) {
        self.state.link.advance(now);
        guarded!(self.state, self.state.link.disconnected());
    }

    /// The broker has another endpoint that was not tried yet. If the last link ended before its welcome, because nothing
    /// answered or the broker was full, say, the client wants the next connection at once, and its back-off stays as it was
    /// before that link. Returns true if that is so. To be called after [`handle_disconnected`](Self::handle_disconnected),
    /// and no more often than there are endpoints until the client is left to its back-off.
    pub fn try_elsewhere(&mut self, now: Instant) -> bool {
        self.state.link.advance(now);
        self.state.link.try_elsewhere()
    }

    /// Time has passed. To be called when [`poll_timeout`](Self::poll_timeout) says so; harmless at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        let ClientState { link, tables, .. } = &mut self.state;
        link.advance(now);
        guarded!(self.state, link.timeout(tables, self.memory.as_mut()));
    }

    // Commands: what the application wants.

    /// Queues a message. The client sends it as soon as it has a session, and keeps it until it is answered.
    ///
    /// Works before the first connection too. The message gets exactly one final [`Receipt`].
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if the outbox has no room now; [`Event::CapacityAvailable`] follows. The others are the caller's
    /// fault and last ([`SendError::NoTime`]: a time to live of 0 never arrives), but for [`SendError::TooLarge`] if another
    /// broker accepts more. A message that was queued before this client knew its broker, and is too large for it, ends with
    /// a receipt that says so.
    pub fn send(&mut self, now: Instant, message: &Message<'_>) -> Result<MessageId, SendError> {
        self.commands().send(now, message)
    }

    /// Sets an attribute of this client's session. Takes effect in order with the messages.
    ///
    /// # Errors
    ///
    /// The key or value breaks a limit, or the outbox has no room now.
    pub fn set(&mut self, now: Instant, key: &str, value: Value<'_>) -> Result<(), SetError> {
        self.commands().set(now, key, value)
    }

    /// Removes an attribute of this client's session. Takes effect in order with the messages.
    ///
    /// # Errors
    ///
    /// No session could have such a key, or the outbox has no room now.
    pub fn remove(&mut self, now: Instant, key: &str) -> Result<(), SetError> {
        self.commands().remove(now, key)
    }

    /// Acknowledges all messages up to the one with this token. Only needed with
    /// [`manual_acknowledgement`](ClientConfig::manual_acknowledgement); a token from before is harmless.
    pub fn acknowledge(&mut self, up_to: AckToken) {
        self.commands().acknowledge(up_to);
    }

    /// Leaves. The client writes the messages in the outbox that it can, acknowledges the message of the last event, and says
    /// goodbye; when the broker has confirmed that, [`Event::Closed`] follows. A message that is still
    /// [unanswered](Self::unanswered) then has no receipt.
    ///
    /// It waits for a connection if there is none. To leave without a goodbye, drop the client.
    pub fn close(&mut self, now: Instant, how: Close) {
        self.commands().close(now, how);
    }

    // Polls: what comes out.

    /// The next event, if any. It may borrow a payload; the next call acknowledges that message
    /// (unless acknowledgement is manual).
    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        self.poll::<true>(EventFilter::ALL)
    }

    /// The next event of the kinds that are `wanted`, if any. Each event comes once, whichever filter takes it.
    ///
    /// A call whose filter leaves messages out acknowledges none. So an application can go on with receipts, say, while it
    /// has no room for messages.
    pub fn poll_event_of(&mut self, wanted: EventFilter) -> Option<Event<'_>> {
        self.poll::<false>(wanted)
    }

    fn poll<const ALL: bool>(&mut self, wanted: EventFilter) -> Option<Event<'_>> {
        let (m, payloads) = parts(&mut self.memory, self.state.tables.payloads_at);
        let ClientState { link, tables, .. } = &mut self.state;
        guarded!(self.state, polling::poll::<ALL>(link, tables, m, payloads, wanted))
    }

    /// Writes what is to be sent to the front of `out` and returns the number of bytes; 0 if there is nothing now.
    ///
    /// Any size of `out` will do: a frame that does not fit goes on with the next call. If the framing is datagrams, each call
    /// writes one whole datagram.
    ///
    /// # Errors
    ///
    /// Only if the framing is datagrams: the next one does not fit `out`, and waits for a larger buffer. As many bytes as
    /// [`ClientConfig::max_datagram`] says are always enough.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        self.state.link.advance(now);
        guarded!(self.state, self.transmit(out))
    }

    fn transmit(&mut self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let ClientState { link, tables, .. } = &mut self.state;
        let m = self.memory.as_mut();
        if link.lossy.is_none() {
            return Ok(transmit::transmit(link, tables, m, out));
        }
        let (m, kept) = m.split_at_mut_checked(tables.kept_at).or_bug(NO_MEMORY).unwrap_or_default();
        lossy_io::transmit(link, tables, m, kept, out)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` for never, as things are.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.state.link.deadline(&self.state.tables.outbox)
    }

    // Getters.

    /// True if there is no transport and it is time to connect one.
    pub fn wants_connection(&self) -> bool {
        self.state.link.wants_connection()
    }

    /// True if the transport is of no more use: write what `poll_transmit` still has, close it, and call
    /// [`handle_disconnected`](Self::handle_disconnected).
    pub fn wants_disconnect(&self) -> bool {
        self.state.link.wants_disconnect()
    }

    /// True if [`poll_event`](Self::poll_event) would return something.
    pub fn has_event(&self) -> bool {
        let parts = self.memory.as_ref().split_at_checked(self.state.tables.payloads_at);
        let (m, payloads) = parts.or_bug(NO_MEMORY).unwrap_or_default();
        polling::has_event(&self.state.link, &self.state.tables, m, payloads)
    }

    /// True if [`poll_transmit`](Self::poll_transmit) would write something.
    pub fn wants_transmit(&self) -> bool {
        let (ClientState { link, tables, .. }, m) = (&self.state, self.memory.as_ref());
        if link.lossy.is_some() {
            lossy_io::wants_transmit(link, tables, m)
        } else {
            transmit::wants_transmit(link, tables, m)
        }
    }

    /// True between a welcome and the end of its link.
    pub fn is_established(&self) -> bool {
        self.state.link.is_established()
    }

    /// True if the client has ended for good; nothing connects again.
    pub fn is_closed(&self) -> bool {
        self.state.link.is_closed()
    }

    /// True if a bug of this crate was found: an invariant of this client is broken. End the transport, and begin a new
    /// life: a new `Client` with a new boot, which inherits the queue. (Without the feature `alloc` it is always false.)
    pub fn is_broken(&self) -> bool {
        #[cfg(feature = "alloc")]
        return self.state.broken;
        #[cfg(not(feature = "alloc"))]
        false
    }

    /// Lets this client count as broken, for tests of its embedder.
    #[cfg(feature = "planted-bug")]
    #[doc(hidden)]
    pub fn plant_bug(&mut self) {
        self.state.broken = true;
    }

    /// The UUID of this client.
    pub fn uuid(&self) -> Uuid {
        self.state.link.identity.uuid
    }

    /// The attributes as the application wants them now; the broker may not have them yet.
    pub fn attributes(&self) -> AttributesRef<'_> {
        self.state.tables.attributes.current(self.memory.as_ref())
    }

    /// The messages that have no final receipt, in the order of sending.
    pub fn unanswered(&self) -> impl Iterator<Item = MessageId> {
        self.state.tables.outbox.unanswered(self.memory.as_ref())
    }
}
