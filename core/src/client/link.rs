//! The life of a client's link: from a connection to its loss, and to the end of the client.

use super::backoff::Backoff;
use super::event::{Close, CloseReason, DisconnectReason, Lifecycle};
use super::frame::PartialFrame;
use super::lossy::ClientLossy;
use super::memory::Cutter;
use super::outbox::Outbox;
use super::tables::Tables;
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
pub(super) struct HelloFields {
    /// Without a meaning if there is no session.
    pub(super) known: Window,
    pub(super) fresh: Window,
    /// The client has nothing left but its goodbye: a fresh session must match no message.
    pub(super) only_leaves: bool,
}

/// The fields of each hello that never change.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) uuid: Uuid,
    pub(super) secret: Secret,
    pub(super) boot: u64,
    pub(super) receives: bool,
    pub(super) max_payload: u32,
    pub(super) aliases: u16,
}

/// What goes out on a link.
#[derive(Clone, Debug)]
pub(super) struct Output {
    /// What only the hello says, from when it begins to be written.
    pub(super) hello: Option<HelloFields>,
    /// The frame that is being written.
    pub(super) current: Option<PartialFrame>,
    /// Why the link has ended, for the broker.
    pub(super) final_abort: Option<AbortCode>,
    pub(super) ping_due: bool,
    pub(super) goodbye_written: bool,
    /// The window that the broker knows.
    pub(super) window: Window,
    /// The id of the last message that was written.
    pub(super) last_id: u64,
}

impl Output {
    const NOTHING: Self = Self {
        hello: None,
        current: None,
        final_abort: None,
        ping_due: false,
        goodbye_written: false,
        window: Window { messages: 0, bytes: 0 },
        last_id: 0,
    };
}

/// The link of a client and the session behind it.
#[derive(Clone, Debug)]
pub(super) struct ClientLink {
    pub(super) identity: Identity,
    /// In milliseconds.
    handshake_timeout: u32,
    /// The time of the last call that was given one.
    pub(super) now: Instant,
    pub(super) phase: ClientPhase,
    /// True if the embedder has a transport.
    transport: bool,
    /// The links are counted.
    pub(super) number: u64,
    /// While the link is up, when it was welcomed; before and after, when anything was read last from one that was.
    pub(super) up_or_lost_at: Moment,
    pub(super) session: Option<ClientSession>,
    /// True if there ever was a session.
    pub(super) had_session: bool,
    pub(super) epochs: Epochs,
    pub(super) closing: Option<Close>,
    backoff: Backoff,
    /// The last link ended before it was welcomed, and nothing was tried since.
    unwelcome: bool,
    /// Items of the link were acknowledged, or are about to be: it works.
    pub(super) carried: bool,
    pub(super) lifecycle: Lifecycle,
    pub(super) output: Output,
    /// The largest body of a frame that this client takes.
    pub(super) frame_limit: usize,
    /// How many bytes of a frame that is not whole are kept.
    pub(super) partial: usize,
    pub(super) lossy: Option<ClientLossy>,
}

impl ClientLink {
    /// No link yet. Cuts the memory for partial frames; `watches` says if presence may come in.
    #[inline(always)]
    pub(super) fn new(config: &ClientConfig, cutter: &mut Cutter, watches: bool) -> Self {
        let presence = if watches { MAX_PRESENCE } else { 0 };
        let frame_limit = (config.max_payload as usize + MAX_OVERHEAD).max(presence);
        let lossy = ClientLossy::new(cutter, config, frame_limit);
        if lossy.is_none() {
            cutter.region(frame_limit + header_len(frame_limit));
        }
        Self {
            identity: Identity {
                uuid: config.uuid,
                secret: config.secret,
                boot: config.boot,
                receives: config.receives,
                max_payload: config.max_payload,
                aliases: config.senders.min(MAX_ALIASES),
            },
            handshake_timeout: u32::try_from(millis_rounded_up(config.handshake_timeout)).unwrap_or(u32::MAX),
            now: Instant::default(),
            phase: ClientPhase::Down { retry_at: Instant::default() },
            transport: false,
            number: 0,
            up_or_lost_at: Moment::NEVER,
            session: None,
            had_session: false,
            epochs: Epochs::default(),
            closing: None,
            backoff: Backoff::new(config.reconnect_min, config.reconnect_max, config.seed),
            unwelcome: false,
            carried: false,
            lifecycle: Lifecycle::NOTHING,
            output: Output::NOTHING,
            frame_limit,
            partial: 0,
            lossy,
        }
    }

    /// Notes the time of a call, before anything reads it. Time never runs back.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// The largest payload that can be sent, as far as it is known what the broker takes.
    pub(super) fn largest_payload(&self) -> u32 {
        let own = self.identity.max_payload;
        self.session.as_ref().map_or(own, |session| own.min(session.max_payload))
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

    pub(super) fn note_received(&mut self) {
        if let ClientPhase::Up(keep_alive) = &mut self.phase {
            keep_alive.note_received(self.now);
        }
    }

    pub(super) fn connected(&mut self, tables: &mut Tables, m: &mut [u8]) {
        if self.is_linked() {
            self.link_lost(DisconnectReason::TransportLost);
        }
        self.transport = true;
        if self.is_closed() {
            return;
        }
        self.forget_session(tables, m);
        self.number += 1;
        tables.seen.start_link(m);
        tables.slots.start_link();
        self.output = Output::NOTHING;
        if let Some(lossy) = &mut self.lossy {
            lossy.start_link(self.identity.boot, self.number);
        }
        let until = self.now.after(u64::from(self.handshake_timeout) * 1_000);
        self.phase = ClientPhase::Opening { until };
        debug!("e_pigeon::client", "{}: link {} is connected", self.identity.uuid, self.number);
        self.lifecycle.connect();
    }

    pub(super) fn disconnected(&mut self) {
        let had = core::mem::take(&mut self.transport);
        self.output.final_abort = None;
        if let Some(lossy) = &mut self.lossy {
            lossy.drop_staged();
        }
        match self.phase {
            ClientPhase::Opening { .. } | ClientPhase::Up(_) => {
                self.link_lost(DisconnectReason::TransportLost);
            }
            // An attempt to connect has failed.
            ClientPhase::Down { retry_at } if !had && self.now >= retry_at => {
                self.retry(DisconnectReason::TransportLost);
            }
            ClientPhase::Down { .. } | ClientPhase::Closed => {}
        }
    }

    /// The broker broke the protocol: an ABORT says so, and the link ends.
    pub(super) fn fail(&mut self, code: AbortCode) {
        self.give_up(DisconnectReason::Protocol(code), Some(code));
    }

    /// Gives up the link though the transport is there; `final_abort` is for the broker.
    pub(super) fn give_up(&mut self, reason: DisconnectReason, final_abort: Option<AbortCode>) {
        let between_frames = self.output.current.is_none();
        self.link_lost(reason);
        // In the middle of a frame no other one can go out.
        self.output.final_abort = final_abort.filter(|_| between_frames);
    }

    fn link_lost(&mut self, reason: DisconnectReason) {
        debug!("e_pigeon::client", "{}: link {} has ended: {reason}", self.identity.uuid, self.number);
        if let ClientPhase::Up(keep_alive) = self.phase {
            let lasted = self.up_or_lost_at.get().is_some_and(|since| keep_alive.has_lasted(since, self.now));
            // The network cut it; a broker that ends links has its reasons, whatever it wrote before.
            let worked = self.carried && reason == DisconnectReason::TransportLost;
            if lasted || worked {
                self.backoff.reset();
            }
            // The broker may have lost the link at any time since, and counts from then.
            self.up_or_lost_at = Moment::at(keep_alive.last_received());
        }
        self.unwelcome = matches!(self.phase, ClientPhase::Opening { .. });
        self.partial = 0;
        self.output = Output::NOTHING;
        self.retry(reason);
    }

    pub(super) fn try_elsewhere(&mut self) -> bool {
        let goes_on = core::mem::take(&mut self.unwelcome) && matches!(self.phase, ClientPhase::Down { .. });
        if goes_on {
            self.backoff.take_back();
            self.phase = ClientPhase::Down { retry_at: self.now };
        }
        goes_on
    }

    fn retry(&mut self, reason: DisconnectReason) {
        let retry_at = self.now.after(self.backoff.next_delay());
        self.phase = ClientPhase::Down { retry_at };
        self.lifecycle.disconnect(reason, Moment::at(retry_at));
    }

    /// The broker ends the link, and says why.
    pub(super) fn aborted(&mut self, abort: Abort) {
        let reason = DisconnectReason::Aborted(abort.code, abort.detail);
        self.give_up(reason, None);
        if abort.code.is_terminal() {
            self.lifecycle.disconnect(reason, Moment::NEVER);
            self.end(match abort.code {
                AbortCode::TakenOver => CloseReason::TakenOver,
                code => CloseReason::Refused(code, abort.detail),
            });
        }
    }

    fn end(&mut self, reason: CloseReason) {
        debug!("e_pigeon::client", "{}: {reason}", self.identity.uuid);
        self.phase = ClientPhase::Closed;
        self.output = Output::NOTHING;
        self.lifecycle.close(reason);
    }

    pub(super) fn close(&mut self, outbox: &Outbox, m: &[u8], how: Close) {
        if self.is_closed() || self.closing.is_some() {
            return;
        }
        self.closing = Some(how);
        // A broker that does not know this client, and is to get nothing from it, needs no goodbye.
        let unknown = !self.had_session && matches!(self.phase, ClientPhase::Down { .. });
        if unknown && !outbox.has_unwritten(m) {
            self.end(CloseReason::Requested);
        }
    }

    /// The goodbye that is to be written now, if any: when everything else was, or the broker accepts nothing.
    pub(super) fn goodbye(&self, outbox: &Outbox, m: &[u8]) -> Option<Close> {
        let how = self.closing.filter(|_| !self.output.goodbye_written)?;
        let is_shut = self.session.as_ref().is_some_and(|session| session.sending.is_shut());
        (is_shut || !outbox.has_unwritten(m)).then_some(how)
    }

    /// The broker has confirmed the goodbye.
    pub(super) fn farewell(&mut self) -> Result<(), AbortCode> {
        if !self.output.goodbye_written {
            return Err(AbortCode::UnexpectedFrame);
        }
        // Nothing waits for the end of the session any more.
        self.up_or_lost_at = Moment::NEVER;
        self.end(CloseReason::Requested);
        Ok(())
    }

    /// Time has passed: a link may be silent for too long, a session over, a message expired.
    pub(super) fn timeout(&mut self, tables: &mut Tables, m: &mut [u8]) {
        match self.phase {
            ClientPhase::Opening { until } if self.now >= until => {
                self.give_up(DisconnectReason::HandshakeTimeout, Some(AbortCode::HandshakeTimeout));
            }
            ClientPhase::Up(keep_alive) if keep_alive.is_dead(self.now) => {
                self.give_up(DisconnectReason::Silent, Some(AbortCode::Silent));
            }
            ClientPhase::Up(keep_alive) => self.output.ping_due |= keep_alive.is_ping_due(self.now),
            _ => {}
        }
        let is_linked = self.is_linked();
        if let Some(lossy) = self.lossy.as_mut().filter(|_| is_linked) {
            lossy.timeout(self.now);
        }
        self.forget_session(tables, m);
        if tables.outbox.earliest_deadline().is_some_and(|at| self.now >= at) {
            tables.outbox.expire(m, self.now);
        }
    }

    /// Forgets the session if it is over.
    fn forget_session(&mut self, tables: &mut Tables, m: &mut [u8]) {
        if self.session_end().is_some_and(|at| self.now >= at) {
            if let Some(session) = self.session.take() {
                self.epochs.forget(session.epoch);
            }
            // Nothing is under way any more, and the next hello contains all attributes.
            tables.outbox.restart(m, self.now, tables.attributes.changes);
        }
    }

    /// When a session that has no link is over at the broker.
    fn session_end(&self) -> Option<Instant> {
        let session = self.session.as_ref()?;
        // A hello that names it may be under way.
        let lost = self.up_or_lost_at.get().filter(|_| !self.is_linked())?;
        Some(lost.after(session.time_to_live))
    }

    /// When [`ClientLink::timeout`] is to be called.
    pub(super) fn deadline(&self, outbox: &Outbox) -> Option<Instant> {
        let link = match self.phase {
            ClientPhase::Down { retry_at } => Some(retry_at).filter(|&at| !self.transport && at > self.now),
            ClientPhase::Opening { until } => Some(until),
            ClientPhase::Up(keep_alive) if self.output.ping_due => Some(keep_alive.dead_at()),
            ClientPhase::Up(keep_alive) => Some(keep_alive.dead_at().min(keep_alive.ping_at())),
            ClientPhase::Closed => return None,
        };
        let lossy = self.lossy.as_ref().filter(|_| self.is_linked()).and_then(ClientLossy::deadline);
        [link, lossy, self.session_end(), outbox.earliest_deadline()].into_iter().flatten().min()
    }
}
