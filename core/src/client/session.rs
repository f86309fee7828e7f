//! The state of a client, and the life of its link: from a connection to its loss, and to the end of the client.

use super::backoff::Backoff;
use super::event::{Close, CloseReason, DisconnectReason, Lifecycle};
use super::frame::PartialFrame;
use super::inbox::Inbox;
use super::lossy::Lossy;
use super::memory::{Cutter, Region};
use super::outbox::Outbox;
use super::presence::Watching;
use super::seen::Seen;
use super::slots::Slots;
use crate::config::client::{ClientConfig, Secret};
use crate::error::AbortCode;
use crate::handshake::Epochs;
use crate::link::keep_alive::KeepAlive;
use crate::link::numbers::{Receiving, Sending};
use crate::time::{Instant, Moment, millis_rounded_up};
use crate::wire::control::Abort;
use crate::wire::frame::header_len;
use crate::wire::limits::{MAX_ALIASES, MAX_OVERHEAD, MAX_PRESENCE};
use crate::wire::window::Window;
use core::num::NonZeroU64;
use uuid::Uuid;

/// Where the link is.
#[derive(Clone, Copy, Debug)]
pub(super) enum ClientPhase {
    /// There is none; one is wanted from that moment on.
    Down { retry_at: Instant },
    /// Hello goes out, welcome is awaited until then.
    Opening { until: Instant },
    /// Welcomed.
    Up(KeepAlive),
    /// The client has ended.
    Closed,
}

/// The session at the broker, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct ClientSession {
    pub(super) epoch: u64,
    /// Never 0, so that no session needs no room of its own.
    pub(super) number: NonZeroU64,
    pub(super) sending: Sending,
    pub(super) receiving: Receiving,
    /// How long the broker keeps it without a link.
    pub(super) time_to_live: u64,
    /// The largest payload that the broker takes.
    pub(super) max_payload: u32,
}

/// What only a hello says: the windows of the session that it names and of a fresh one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// Of no meaning where there is no session.
    pub(super) known: Window,
    pub(super) fresh: Window,
    /// The client has nothing left but its goodbye: a fresh session must match nobody's message.
    pub(super) only_leaves: bool,
}

/// Everything that a client is, but for its memory.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) uuid: Uuid,
    pub(super) secret: Secret,
    pub(super) boot: u64,
    pub(super) receives: bool,
    /// The application acknowledges messages itself.
    pub(super) manual: bool,
    pub(super) max_payload: u32,
    pub(super) max_destination: u16,
    pub(super) aliases: u16,
    /// In milliseconds.
    handshake_timeout: u32,

    pub(super) now: Instant,
    pub(super) phase: ClientPhase,
    /// True where the embedder has a transport.
    pub(super) transport: bool,
    pub(super) link: u64,
    /// While the link is up, when it was welcomed; before and after, when anything was read last from one that was.
    pub(super) up_or_lost_at: Moment,
    pub(super) session: Option<ClientSession>,
    /// True where there ever was a session.
    pub(super) had_session: bool,
    pub(super) epochs: Epochs,
    /// What only the hello of this link says, from when it begins to be written.
    pub(super) said: Option<Said>,
    /// What the attributes were then; the application may go on changing them.
    pub(super) hello_attributes_len: u16,
    /// What they are now; in front of them lies as much room for those of the hello.
    pub(super) attributes: Region,
    pub(super) attributes_len: u16,
    /// Changes of attributes that were made so far, and how many of them the hello contains.
    pub(super) sets: u64,
    pub(super) covered_sets: u64,
    pub(super) closing: Option<Close>,
    pub(super) goodbye_written: bool,

    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    pub(super) seen: Seen,
    pub(super) slots: Slots,
    pub(super) watching: Watching,
    /// Where the part of memory begins that is lent to the application.
    pub(super) lent_at: usize,
    /// Presence came last, so a message has its turn.
    pub(super) told_presence: bool,
    backoff: Backoff,
    /// The last link ended before it was welcomed, and nothing was tried since.
    unwelcome: bool,
    /// Items of the link were taken, and this was said or is about to be: it works.
    pub(super) carried: bool,
    pub(super) lifecycle: Lifecycle,

    /// The frame that is being written.
    pub(super) current: Option<PartialFrame>,
    pub(super) last_words: Option<AbortCode>,
    pub(super) ping_due: bool,
    /// The window that the broker was told.
    pub(super) told_window: Window,
    /// The id of the last message that was written on this link.
    pub(super) last_id: u64,

    /// How many bytes of a frame that is not whole are kept, behind everything else in memory.
    pub(super) partial: usize,
    pub(super) partial_at: usize,
    pub(super) lossy: Option<Lossy>,
    /// A bug of this crate was found in a call.
    #[cfg(feature = "alloc")]
    pub(super) broken: bool,
}

impl State {
    /// Cuts the memory, gives it its first content as far as it goes, and starts without a link.
    ///
    /// The parts are made first and put together last, so that it is made where it goes: a stack may have no room for two.
    #[inline]
    pub(super) fn new(config: &ClientConfig, cutter: &mut Cutter, m: &mut [u8]) -> Self {
        let aliases = config.senders.min(MAX_ALIASES);
        let attributes = cutter.second_region(usize::from(config.attribute_bytes));
        let mut outbox = Outbox::new(cutter, config.outbox_messages, config.outbox_bytes);
        let mut inbox = Inbox::new(cutter, config.inbox_messages, config.inbox_bytes);
        let mut seen = Seen::new(cutter, config.senders, config.seen_window, aliases, config.late_ids);
        let slots = Slots::new(cutter, config.destination_slots, config.destination_bytes);
        let mut watching = Watching::new(cutter, config);
        let lent_at = cutter.used();
        inbox.cut_payloads(cutter, config.max_payload, lent_at);
        watching.cut_items(cutter, config, lent_at);
        let partial_at = cutter.used();
        let frame_limit = frame_limit(config.max_payload, watching.items() > 0);
        let lossy = Lossy::new(cutter, config, frame_limit);
        if lossy.is_none() {
            cutter.region(Self::partial_size(frame_limit));
        }
        outbox.format(m);
        seen.format(m);
        if let Some(count) = attributes.bytes_mut(m).first_mut() {
            *count = 0;
        }
        Self {
            uuid: config.uuid,
            secret: config.secret,
            boot: config.boot,
            receives: config.receives,
            manual: config.manual_acknowledgement,
            max_payload: config.max_payload,
            max_destination: config.destination_bytes,
            aliases,
            handshake_timeout: u32::try_from(millis_rounded_up(config.handshake_timeout)).unwrap_or(u32::MAX),
            now: Instant::default(),
            phase: ClientPhase::Down { retry_at: Instant::default() },
            transport: false,
            link: 0,
            up_or_lost_at: Moment::NEVER,
            session: None,
            had_session: false,
            epochs: Epochs::default(),
            said: None,
            hello_attributes_len: 1,
            attributes,
            attributes_len: 1,
            sets: 0,
            covered_sets: 0,
            closing: None,
            goodbye_written: false,
            outbox,
            inbox,
            seen,
            slots,
            watching,
            lent_at,
            told_presence: false,
            backoff: Backoff::new(config.reconnect_min, config.reconnect_max, config.seed),
            unwelcome: false,
            carried: false,
            lifecycle: Lifecycle::NOTHING,
            current: None,
            last_words: None,
            ping_due: false,
            told_window: Window { messages: 0, bytes: 0 },
            last_id: 0,
            partial: 0,
            partial_at,
            lossy,
            #[cfg(feature = "alloc")]
            broken: false,
        }
    }

    /// The time, which never runs back.
    pub(super) fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// The largest payload that can be sent, as far as it is known what the broker takes.
    pub(super) fn largest_payload(&self) -> u32 {
        self.session.as_ref().map_or(self.max_payload, |session| self.max_payload.min(session.max_payload))
    }

    /// The largest body of a frame that this client takes.
    pub(super) fn frame_limit(&self) -> usize {
        frame_limit(self.max_payload, self.watching.items() > 0)
    }

    pub(super) fn takes_commands(&self) -> bool {
        self.closing.is_none() && !self.is_closed()
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, ClientPhase::Closed)
    }

    pub(super) fn is_established(&self) -> bool {
        matches!(self.phase, ClientPhase::Up(_))
    }

    pub(super) fn is_linked(&self) -> bool {
        matches!(self.phase, ClientPhase::Opening { .. } | ClientPhase::Up(_))
    }

    pub(super) fn wants_connection(&self) -> bool {
        !self.transport && matches!(self.phase, ClientPhase::Down { retry_at } if self.now >= retry_at)
    }

    pub(super) fn wants_disconnect(&self) -> bool {
        self.transport && !self.is_linked()
    }

    pub(super) fn heard(&mut self, now: Instant) {
        if let ClientPhase::Up(keep_alive) = &mut self.phase {
            keep_alive.hear(now);
        }
    }

    pub(super) fn connected(&mut self, m: &mut [u8], now: Instant) {
        let now = self.advance(now);
        if self.is_linked() {
            self.link_lost(now, DisconnectReason::TransportLost);
        }
        self.transport = true;
        if self.is_closed() {
            return;
        }
        self.forget_what_is_over(m, now);
        self.link += 1;
        self.seen.start_link(m);
        self.slots.start_link();
        self.last_id = 0;
        self.goodbye_written = false;
        self.last_words = None;
        self.current = None;
        if let Some(lossy) = &mut self.lossy {
            lossy.start_link(self.boot, self.link);
        }
        self.phase = ClientPhase::Opening { until: now.after(u64::from(self.handshake_timeout) * 1_000) };
        debug!("e_pigeon::client", "{}: link {} is connected", self.uuid, self.link);
        self.lifecycle.connect();
    }

    pub(super) fn disconnected(&mut self, now: Instant) {
        let now = self.advance(now);
        let had = core::mem::take(&mut self.transport);
        self.last_words = None;
        self.current = None;
        if let Some(lossy) = &mut self.lossy {
            lossy.drop_staged();
        }
        match self.phase {
            ClientPhase::Opening { .. } | ClientPhase::Up(_) => {
                self.link_lost(now, DisconnectReason::TransportLost);
            }
            // An attempt to connect has failed.
            ClientPhase::Down { retry_at } if !had && now >= retry_at => {
                self.retry(now, DisconnectReason::TransportLost);
            }
            ClientPhase::Down { .. } | ClientPhase::Closed => {}
        }
    }

    /// The peer broke the protocol: tell it, and give up the link.
    pub(super) fn fail(&mut self, now: Instant, code: AbortCode) {
        self.give_up(now, DisconnectReason::Protocol(code), Some(code));
    }

    /// Gives up the link though the transport is there; `last_words` are for the peer.
    pub(super) fn give_up(&mut self, now: Instant, reason: DisconnectReason, last_words: Option<AbortCode>) {
        let between_frames = self.current.is_none();
        self.link_lost(now, reason);
        // In the middle of a frame nothing can be said.
        self.last_words = last_words.filter(|_| between_frames);
    }

    fn link_lost(&mut self, now: Instant, reason: DisconnectReason) {
        debug!("e_pigeon::client", "{}: link {} has ended: {reason}", self.uuid, self.link);
        if let ClientPhase::Up(keep_alive) = self.phase {
            let lasted = self.up_or_lost_at.get().is_some_and(|since| keep_alive.has_lasted(since, now));
            // The network cut it; a broker that ends links has its reasons, whatever it wrote before.
            let worked = self.carried && reason == DisconnectReason::TransportLost;
            if lasted || worked {
                self.backoff.reset();
            }
            // The broker may have lost the link at any time since, and counts from then.
            self.up_or_lost_at = Moment::at(keep_alive.heard());
        }
        self.unwelcome = matches!(self.phase, ClientPhase::Opening { .. });
        self.partial = 0;
        self.current = None;
        self.said = None;
        self.ping_due = false;
        self.retry(now, reason);
    }

    pub(super) fn try_elsewhere(&mut self, now: Instant) -> bool {
        let now = self.advance(now);
        let goes_on = core::mem::take(&mut self.unwelcome) && matches!(self.phase, ClientPhase::Down { .. });
        if goes_on {
            self.backoff.take_back();
            self.phase = ClientPhase::Down { retry_at: now };
        }
        goes_on
    }

    fn retry(&mut self, now: Instant, reason: DisconnectReason) {
        let retry_at = now.after(self.backoff.next_delay());
        self.phase = ClientPhase::Down { retry_at };
        self.lifecycle.disconnect(reason, Moment::at(retry_at));
        self.outbox.recheck_deadlines(now);
    }

    /// The broker ends the link, and says why.
    pub(super) fn aborted(&mut self, now: Instant, abort: Abort) {
        self.give_up(now, DisconnectReason::Aborted(abort.code, abort.detail), None);
        if abort.code.is_terminal() {
            let reason = DisconnectReason::Aborted(abort.code, abort.detail);
            self.lifecycle.disconnect(reason, Moment::NEVER);
            self.end(match abort.code {
                AbortCode::TakenOver => CloseReason::TakenOver,
                code => CloseReason::Refused(code, abort.detail),
            });
        }
    }

    fn end(&mut self, reason: CloseReason) {
        debug!("e_pigeon::client", "{}: {reason}", self.uuid);
        self.phase = ClientPhase::Closed;
        self.said = None;
        self.current = None;
        self.lifecycle.close(reason);
    }

    pub(super) fn close(&mut self, m: &[u8], how: Close) {
        if self.is_closed() || self.closing.is_some() {
            return;
        }
        self.closing = Some(how);
        // Where the broker never heard of this client and nothing is to be said, there is nobody to ask.
        let unknown = !self.had_session && matches!(self.phase, ClientPhase::Down { .. });
        if unknown && !self.outbox.has_unwritten(m) {
            self.end(CloseReason::Requested);
        }
    }

    /// The goodbye that is to be written now, if any: when everything else was, or the broker takes nothing.
    pub(super) fn goodbye(&self, m: &[u8]) -> Option<Close> {
        let how = self.closing.filter(|_| !self.goodbye_written)?;
        let is_shut = self.session.as_ref().is_some_and(|session| session.sending.is_shut());
        (is_shut || !self.outbox.has_unwritten(m)).then_some(how)
    }

    /// The broker has confirmed the goodbye.
    pub(super) fn farewell(&mut self) -> Result<(), AbortCode> {
        if !self.goodbye_written {
            return Err(AbortCode::UnexpectedFrame);
        }
        // The session is not waited for any more: it is not forgotten either.
        self.up_or_lost_at = Moment::NEVER;
        self.end(CloseReason::Requested);
        Ok(())
    }

    /// True where this client was there in that life of the broker, when the newest session had that number.
    pub(super) fn was_here(&self, epoch: u64, newest: u64) -> bool {
        self.epochs.was_here(epoch, newest)
    }

    /// True where this client had a session in that life of the broker by then, though it may have another now.
    pub(super) fn had_been_here(&self, epoch: u64, newest: u64) -> bool {
        self.epochs.had_been_here(epoch, newest)
    }

    /// The window that the broker is to be told, once no message of an earlier session is left.
    pub(super) fn due_window(&self, m: &[u8]) -> Option<Window> {
        (!self.inbox.has_old()).then(|| self.inbox.window(m)).filter(|&window| window != self.told_window)
    }

    /// Puts the first `count` bytes of `input` behind those of the partial frame, and returns the others.
    pub(super) fn keep<'i>(&mut self, kept: &mut [u8], input: &'i [u8], count: usize) -> &'i [u8] {
        let (front, rest) = input.split_at(count.min(input.len()));
        if let Some(room) = kept.get_mut(self.partial..self.partial + front.len()) {
            room.copy_from_slice(front);
            self.partial += front.len();
        }
        rest
    }

    /// Room that a partial frame needs: that of the largest frame and its header.
    fn partial_size(frame_limit: usize) -> usize {
        frame_limit + header_len(frame_limit)
    }
}

/// The largest body of a frame for a client that takes payloads of that size, and watches filters or not.
fn frame_limit(max_payload: u32, watches: bool) -> usize {
    let presence = if watches { MAX_PRESENCE } else { 0 };
    (max_payload as usize + MAX_OVERHEAD).max(presence)
}
