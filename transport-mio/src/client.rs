//! A client inside somebody's event loop.

use std::io;
use std::time::Duration;

use e_pigeon_core::{Client, ClientConfig, ConfigError, Instant, Roster};
use e_pigeon_transport::{
    Clock, Closing, Connection, Dial, Dialer, Endpoint, INPUT, Input, OUTPUT, Resolver, broken, fill,
};
use mio::event::Event;
use mio::{Registry, Token};

use crate::connecting::{Attempt, Names, advance};
use crate::stream::{Stream, note};

/// So many writes, then the loop gets its turn. In tests fewer, for a socket takes less than that at once.
const WRITES: usize = if cfg!(test) { 2 } else { 16 };

/// A [`Client`] with its socket, its clock and its buffers.
///
/// It lives in a [`mio::Poll`] of the caller's on one token, starts no thread, and connects again by itself for
/// as long as the client wants to be connected. The loop has five steps, see the [crate's page](crate):
/// wait, [`handle_ready`](Self::handle_ready) for each event that it [`owns`](Self::owns),
/// [`handle_deadline`](Self::handle_deadline), what the application does with [`client`](Self::client), and
/// [`flush`](Self::flush).
///
/// A missed or a needless call costs time and nothing else, with one exception: whoever gives commands and
/// then never calls `flush` waits for the next deadline.
#[derive(Debug)]
pub struct ClientDriver {
    client: Client<Box<[u8]>>,
    clock: Clock,
    registry: Registry,
    token: Token,
    dialer: Dialer<Attempt>,
    names: Names,
    transport: Transport,
    /// The connection before this one, until its last words have arrived.
    closing: Option<(Connection<Stream>, Closing)>,
    input: Box<[u8]>,
    output: Box<[u8]>,
    /// Writing stopped for the sake of the others in the loop.
    more_output: bool,
    last_error: Option<io::Error>,
    is_broken: bool,
    /// Who is here, where that is wanted.
    roster: Option<Roster>,
    roster_changed: bool,
}

#[derive(Debug)]
enum Transport {
    None,
    Connecting,
    Open(Connection<Stream>, Endpoint),
}

impl ClientDriver {
    /// Makes a driver that will connect at the first [`flush`](Self::flush).
    ///
    /// `registry` is a [`Registry::try_clone`] of the loop's; `token` must be the driver's alone. The memory of
    /// the client ([`ClientConfig::memory_needed`]) and about 320 KiB of buffers are allocated here and
    /// never again.
    ///
    /// The endpoints that the resolver yields are raced: IPv6 and IPv4 take turns, a quarter of a second lies between two, and
    /// the first that connects is used. One that connects and gives no session, because it is silent for 3 seconds, hangs up or
    /// is full, is passed over at once while others are left; the last is waited for as long as
    /// [`ClientConfig::handshake_timeout`]. Then the client's back-off begins. The endpoint of the last session is tried first.
    ///
    /// # Errors
    ///
    /// The config contradicts itself: the caller's fault.
    pub fn new(
        config: ClientConfig,
        resolver: impl Into<Resolver>,
        registry: Registry,
        token: Token,
    ) -> Result<Self, ConfigError> {
        let memory = vec![0; config.memory_needed()].into_boxed_slice();
        let dialer = Dialer::new(resolver.into(), config.framing);
        Ok(Self {
            client: Client::new(config, memory)?,
            clock: Clock::start(),
            registry,
            token,
            dialer,
            names: Names::default(),
            transport: Transport::None,
            closing: None,
            input: vec![0; INPUT].into_boxed_slice(),
            output: vec![0; OUTPUT].into_boxed_slice(),
            more_output: false,
            last_error: None,
            is_broken: false,
            roster: None,
            roster_changed: false,
        })
    }

    /// Sets how long one endpoint may take to answer, from the next attempt on. Default 10 seconds; others are tried
    /// meanwhile.
    pub fn set_connect_timeout(&mut self, timeout: Duration) {
        self.dialer.set_timeout(timeout);
    }

    /// Says whether events with this token are the driver's.
    #[must_use]
    pub fn owns(&self, token: Token) -> bool {
        token == self.token
    }

    /// Handles an event of the loop: connects on, reads once, and writes what waited for the socket.
    ///
    /// There may be events for [`Client::poll_event`] afterwards. Events that the driver does not own are left alone.
    pub fn handle_ready(&mut self, event: &Event) {
        if !self.owns(event.token()) {
            return;
        }
        // Which of the two sockets it was is not known, and it does no harm to look at both.
        if let Some((connection, _)) = &mut self.closing {
            note(connection, event);
            self.finish_closing();
        }
        self.connect_on();
        // The event that tells of the connection may tell of input too, and it does so once.
        if let Transport::Open(connection, _) = &mut self.transport {
            note(connection, event);
            let waited = connection.has_unsent() || self.more_output;
            self.take_input();
            if waited {
                self.write_output();
            }
        }
    }

    /// Does what is due by now: deadlines, and input that was left from the turn before.
    ///
    /// There may be events for [`Client::poll_event`] afterwards. Cheap where nothing is due.
    pub fn handle_deadline(&mut self) {
        if self.is_broken {
            return;
        }
        let now = self.clock.now();
        if self.names.sleep().is_some() || self.dialer.deadline().is_some_and(|deadline| deadline <= now) {
            self.connect_on();
        }
        if self.dialer.is_silent(now) {
            let error = io::Error::new(
                io::ErrorKind::TimedOut,
                "the broker accepted the connection and did not answer",
            );
            tracing::debug!(%error, "connection given up");
            self.lost(Some(error));
        }
        if self.closing.as_ref().is_some_and(|(_, closing)| closing.deadline() <= now) {
            self.closing = None;
        }
        let due = self.client.poll_timeout().is_some_and(|deadline| deadline <= now);
        if due {
            self.client.handle_timeout(now);
        }
        self.take_input();
        if due || self.more_output || self.has_to_connect() {
            self.flush();
        }
    }

    /// Keeps who is here, from now on: all that the client [watches](Client::watch), but no more than `max_peers`. Presence then
    /// goes into the [`roster`](Self::roster) as it comes, whether or not the application takes events, and is no event
    /// any more.
    pub fn keep_roster(&mut self, max_peers: usize) {
        self.roster = Some(Roster::new(max_peers));
    }

    /// Who is here, after each [`handle_ready`](Self::handle_ready) and [`flush`](Self::flush); `None` without
    /// [`keep_roster`](Self::keep_roster).
    #[must_use]
    pub fn roster(&self) -> Option<&Roster> {
        self.roster.as_ref()
    }

    /// Says whether the roster has changed since this was last asked.
    pub fn roster_changed(&mut self) -> bool {
        std::mem::take(&mut self.roster_changed)
    }

    fn update_roster(&mut self) {
        let Self { roster, roster_changed, client, .. } = self;
        if let Some(roster) = roster {
            roster.update(client, |_| *roster_changed = true);
        }
    }

    /// Puts into effect what the application has done: connects where that is wanted, and writes.
    ///
    /// To be called once after a batch of commands and of polled events, not after each: everything that is
    /// ready by then goes out in one write.
    pub fn flush(&mut self) {
        if self.client.is_broken() {
            self.end_life();
        }
        if self.is_broken {
            return;
        }
        self.update_roster();
        self.connect_where_wanted();
        self.write_output();
        self.disconnect_where_wanted();
        if self.client.is_closed() && matches!(self.transport, Transport::Connecting) {
            self.transport = Transport::None;
            self.dialer.give_up();
        }
    }

    /// Gives up the connection, as if the network had broken it: for whoever knows that it leads nowhere any more, after a
    /// change of networks, say. The client connects again by itself, to whatever the [`Resolver`] says then. Harmless
    /// where there is no connection.
    pub fn reconnect(&mut self) {
        if !matches!(self.transport, Transport::None) {
            self.dialer.give_up();
            self.lost(None);
        }
    }

    /// Says how long the loop may sleep; `None` for as long as there is no event.
    ///
    /// Zero while [`Client::poll_event`] has something to give. A loop that leaves events unread for a while, to slow the
    /// broker down, asks [`poll_timeout_without_events`](Self::poll_timeout_without_events) meanwhile.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.client.has_event() { Some(Duration::ZERO) } else { self.poll_timeout_without_events() }
    }

    /// As [`poll_timeout`](Self::poll_timeout), for a loop that leaves the client's events unread for now.
    #[must_use]
    pub fn poll_timeout_without_events(&self) -> Option<Duration> {
        if self.is_broken {
            return None;
        }
        let readable = matches!(&self.transport, Transport::Open(connection, _) if connection.is_readable());
        if readable || self.has_to_connect() || self.more_output {
            return Some(Duration::ZERO);
        }
        let closing = self.closing.as_ref().map(|(_, closing)| closing.deadline());
        let next = [self.client.poll_timeout(), self.dialer.deadline(), closing].into_iter().flatten().min();
        let sleep = next.map(|next| self.clock.until(next));
        sleep.into_iter().chain(self.names.sleep()).min()
    }

    /// The client, for commands and for its events. [`flush`](Self::flush) afterwards.
    pub fn client(&mut self) -> &mut Client<Box<[u8]>> {
        &mut self.client
    }

    /// Says how late it is by the driver's clock, as the client's commands want to know.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Says whom the driver is connected to. A connection alone is no session yet.
    #[must_use]
    pub fn connected_to(&self) -> Option<&Endpoint> {
        match &self.transport {
            Transport::Open(_, endpoint) => Some(endpoint),
            Transport::None | Transport::Connecting => None,
        }
    }

    /// Says why the last attempt to connect failed, or what broke the last connection.
    ///
    /// `None` once there is a connection again, and after one that ended in order.
    #[must_use]
    pub fn last_error(&self) -> Option<&io::Error> {
        self.last_error.as_ref()
    }

    /// Says whether the client has found [a bug in itself](Client::is_broken). The driver has dropped its connection then, and
    /// makes no other; to be asked after each [`flush`](Self::flush), for what is to be done is to end the program, or to make
    /// a new client with a new boot.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Ends the life of a broken client.
    pub(crate) fn end_life(&mut self) {
        if self.is_broken {
            return;
        }
        let error = broken("client");
        tracing::error!("{error}");
        self.is_broken = true;
        self.last_error = Some(error);
        self.transport = Transport::None;
        self.closing = None;
        self.dialer.give_up();
    }

    fn has_to_connect(&self) -> bool {
        matches!(self.transport, Transport::None) && self.client.wants_connection()
    }

    fn connect_where_wanted(&mut self) {
        if self.has_to_connect() {
            // A line can only be opened when it is closed.
            self.closing.take_if(|(connection, _)| connection.is_line());
            self.dialer.begin(self.clock.now());
            self.transport = Transport::Connecting;
            self.connect_on();
        }
    }

    fn connect_on(&mut self) {
        if !matches!(self.transport, Transport::Connecting) {
            return;
        }
        let now = self.clock.now();
        match advance(&mut self.dialer, &mut self.names, &self.registry, self.token, now) {
            Dial::Waiting => {}
            Dial::Connected(stream, endpoint) => {
                tracing::debug!(%endpoint, "connected");
                self.last_error = None;
                self.transport = Transport::Open(Connection::new(stream), endpoint);
                self.client.handle_connected(now);
                self.write_output();
            }
            Dial::Failed(error) => {
                tracing::debug!(%error, "cannot connect");
                self.lost(Some(error));
            }
        }
    }

    /// Reads once, and gives the client what that brings.
    fn take_input(&mut self) {
        let Transport::Open(connection, _) = &mut self.transport else { return };
        match connection.read(&mut self.input) {
            Input::Bytes(count) => {
                // It takes all: what it has no room for is more than it allowed the broker to send.
                self.client.handle_input(self.clock.now(), &self.input[..count]);
                if self.client.is_established() {
                    self.dialer.note_session();
                }
                self.update_roster();
                self.disconnect_where_wanted();
            }
            Input::Nothing => {}
            Input::Over(error) => {
                let error = error.unwrap_or_else(|| {
                    io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection")
                });
                tracing::debug!(%error, "connection lost");
                self.lost(Some(error));
            }
        }
    }

    fn write_output(&mut self) {
        self.more_output = false;
        let Transport::Open(connection, _) = &mut self.transport else { return };
        let now = self.clock.now();
        for _ in 0..WRITES {
            if !connection.flush() {
                return;
            }
            let batch = connection.batch().min(self.output.len());
            let output = &mut self.output[..batch];
            // Only a datagram may not fit, and a stream has none.
            let filled = fill(output, |room| self.client.poll_transmit(now, room).unwrap_or(0));
            connection.write(&output[..filled]);
            if filled < output.len() {
                return;
            }
        }
        self.more_output = true;
    }

    fn disconnect_where_wanted(&mut self) {
        if !self.client.wants_disconnect() {
            return;
        }
        let now = self.clock.now();
        if let Transport::Open(mut connection, _) = std::mem::replace(&mut self.transport, Transport::None) {
            // The last words are kept where the socket does not take them: they end within one frame.
            loop {
                let filled = fill(&mut self.output, |room| self.client.poll_transmit(now, room).unwrap_or(0));
                if filled == 0 {
                    break;
                }
                connection.write(&self.output[..filled]);
            }
            self.closing = Some((connection, Closing::begin(now)));
        }
        self.lost(None);
        self.finish_closing();
    }

    fn finish_closing(&mut self) {
        if let Some((connection, closing)) = &mut self.closing
            && closing.advance(connection, &mut self.input)
        {
            self.closing = None;
        }
    }

    /// Tells the client that there is no transport any more.
    fn lost(&mut self, error: Option<io::Error>) {
        self.last_error = error;
        self.transport = Transport::None;
        self.more_output = false;
        let now = self.clock.now();
        self.client.handle_disconnected(now);
        self.dialer.note_lost(&mut self.client, now);
    }
}
