//! The driver of a client: all its I/O, as one future.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use e_pigeon_core::{Close, Framing, Instant};
use e_pigeon_transport::{
    Closing, Connection, Dial, Dialer, Endpoint, FAREWELL, INPUT, Input, OUTPUT, Resolver, broken, fill,
};

use crate::alarm::Alarm;
use crate::connecting::Attempt;
use crate::state::{Inner, Shared};
use crate::stream::{Stream, note};

/// All the I/O of a client: a future to be spawned, or to be awaited beside the application.
///
/// It connects again by itself for as long as the client wants to be connected, and is ready when the client has ended: it was
/// [closed](crate::Client::close), the broker refused it for good, all its handles are gone, or it
/// [is broken](crate::Client::is_broken). Where it is dropped before
/// that, the client is over at once, as if the program had been killed: the session stays at the broker for its time to live.
/// To pause it, await `&mut driver`.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    dialer: Dialer<Attempt>,
    transport: Transport,
    /// The connection before this one, until its last words have arrived.
    closing: Option<(Connection<Stream>, Closing)>,
    input: Box<[u8]>,
    output: Box<[u8]>,
    alarm: Alarm,
    /// When a client that nobody holds any more is given up.
    farewell: Option<Instant>,
}

#[derive(Debug)]
enum Transport {
    None,
    Connecting,
    Open(Connection<Stream>),
}

/// What the client wants after what was done with it.
struct Wishes {
    is_broken: bool,
    is_closed: bool,
    is_late: bool,
    connect: bool,
    disconnect: bool,
    filled: usize,
    wake_in: Option<Duration>,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, resolver: Resolver, framing: Framing) -> Self {
        Self {
            shared,
            dialer: Dialer::new(resolver, framing),
            transport: Transport::None,
            closing: None,
            input: vec![0; INPUT].into_boxed_slice(),
            output: vec![0; OUTPUT].into_boxed_slice(),
            alarm: Alarm::new(),
            farewell: None,
        }
    }

    /// Sets how long one endpoint may take to answer, from the next attempt on. Default 10 seconds; others are tried
    /// meanwhile.
    pub fn set_connect_timeout(&mut self, timeout: Duration) {
        self.dialer.set_timeout(timeout);
    }

    /// Runs until the client has ended. The same as awaiting the driver.
    pub async fn run(self) {
        self.await;
    }

    /// Reads once, gives the client what that brings, and writes once what it has to say.
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.finish_closing(context);
        self.connect_on(context);
        let mut input = Input::Nothing;
        let mut room = 0;
        if let Transport::Open(connection) = &mut self.transport {
            connection.socket().set_waker(context.waker());
            note(connection);
            input = connection.read(&mut self.input);
            if matches!(input, Input::Nothing)
                && self.dialer.deadline().is_some()
                && self.dialer.is_silent(self.shared.with(|state| state.now()))
            {
                let silent = io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the broker accepted the connection and did not answer",
                );
                input = Input::Over(Some(silent));
            }
            if connection.flush() {
                room = connection.batch().min(self.output.len());
            }
        }
        let wishes = self.consult(context, input, room);
        if wishes.is_broken {
            self.end_life();
            return Poll::Ready(());
        }
        let mut again = room > 0 && wishes.filled == room;
        if let Transport::Open(connection) = &mut self.transport {
            connection.write(&self.output[..wishes.filled]);
            again &= connection.is_writable();
            again |= connection.is_readable();
        }
        if wishes.disconnect {
            self.disconnect(context);
            again = true;
        }
        if wishes.is_late || (wishes.is_closed && self.closing.is_none() && !wishes.disconnect) {
            self.shared.with(Inner::end);
            return Poll::Ready(());
        }
        if wishes.connect && matches!(self.transport, Transport::None) {
            // A line can only be opened when it is closed.
            self.closing.take_if(|(connection, _)| connection.is_line());
            self.dialer.begin(self.shared.with(|state| state.now()));
            self.transport = Transport::Connecting;
            again = true;
        }
        if again || self.alarm.is_over(context, wishes.wake_in) {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Tells the client what has happened, and asks it for its output and its wishes.
    fn consult(&mut self, context: &mut Context<'_>, input: Input, room: usize) -> Wishes {
        let Self { shared, dialer, input: bytes, output, farewell, closing, transport, .. } = self;
        shared.with(|state| {
            let now = state.now();
            // Whatever a command changes from here on is for the next turn.
            state.driver_waits(context.waker());
            match input {
                Input::Bytes(count) => {
                    // It takes all: what it has no room for is more than it allowed the broker to send.
                    state.core.handle_input(now, &bytes[..count]);
                    if state.core.is_established() {
                        dialer.note_session();
                    }
                    state.settle_presence();
                }
                Input::Nothing => {}
                Input::Over(error) => {
                    let error = error.unwrap_or_else(|| {
                        io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection")
                    });
                    tracing::debug!(%error, "connection lost");
                    *transport = Transport::None;
                    state.core.handle_disconnected(now);
                    dialer.note_lost(&mut state.core, now);
                    state.connected_to = None;
                    state.last_error = Some(Arc::new(error));
                }
            }
            if std::mem::take(&mut state.reconnect) && !matches!(transport, Transport::None) {
                *transport = Transport::None;
                dialer.give_up();
                state.core.handle_disconnected(now);
                state.connected_to = None;
                state.last_error = None;
            }
            if state.core.poll_timeout().is_some_and(|deadline| deadline <= now) {
                state.core.handle_timeout(now);
            }
            if farewell.is_none() && state.is_alone() {
                state.core.close(now, Close::KeepSession);
                *farewell = Some(now + FAREWELL);
            }
            if !state.is_alone() {
                *farewell = None;
            }
            let is_open = matches!(transport, Transport::Open(_));
            let output = if is_open { &mut output[..room] } else { &mut [] };
            // Only a datagram may not fit, and a stream has none.
            let filled = fill(output, |room| state.core.poll_transmit(now, room).unwrap_or(0));
            let closing = closing.as_ref().map(|(_, closing)| closing.deadline());
            let next = [state.core.poll_timeout(), dialer.deadline(), closing, *farewell];
            let next = next.into_iter().flatten().min();
            Wishes {
                is_broken: state.core.is_broken(),
                is_closed: state.core.is_closed(),
                is_late: farewell.is_some_and(|at| at <= now),
                connect: state.core.wants_connection(),
                disconnect: state.core.wants_disconnect(),
                filled,
                wake_in: next.map(|at| at.saturating_duration_since(now)),
            }
        })
    }

    fn connect_on(&mut self, context: &mut Context<'_>) {
        if !matches!(self.transport, Transport::Connecting) {
            return;
        }
        let now = self.shared.with(|state| state.now());
        let waker = context.waker().clone();
        let start = |endpoint: &Endpoint| Ok(Attempt::begin(endpoint));
        match self.dialer.advance(now, &waker, start, |attempt| attempt.poll(context)) {
            Dial::Waiting => {}
            Dial::Connected(stream, endpoint) => self.connected(stream, endpoint),
            Dial::Failed(error) => {
                tracing::debug!(%error, "cannot connect");
                self.lost(Some(error));
            }
        }
    }

    fn connected(&mut self, stream: Stream, endpoint: Endpoint) {
        tracing::debug!(%endpoint, "connected");
        self.transport = Transport::Open(Connection::new(stream));
        self.shared.with(|state| {
            state.last_error = None;
            state.connected_to = Some(endpoint);
            state.core.handle_connected(state.now());
        });
    }

    /// Gives the transport up because the client wants that; its last words go out first.
    fn disconnect(&mut self, context: &mut Context<'_>) {
        if let Transport::Open(mut connection) = std::mem::replace(&mut self.transport, Transport::None) {
            let (shared, output) = (&self.shared, &mut self.output);
            // They are kept where the socket does not take them, and end within one frame.
            let now = shared.with(|state| {
                let now = state.now();
                while let filled @ 1.. = fill(output, |room| state.core.poll_transmit(now, room).unwrap_or(0))
                {
                    connection.write(&output[..filled]);
                }
                now
            });
            self.closing = Some((connection, Closing::begin(now)));
        }
        self.lost(None);
        self.finish_closing(context);
    }

    fn finish_closing(&mut self, context: &mut Context<'_>) {
        let Some((connection, closing)) = &mut self.closing else { return };
        connection.socket().set_waker(context.waker());
        note(connection);
        let is_late = closing.deadline() <= self.shared.with(|state| state.now());
        if is_late || closing.advance(connection, &mut self.input) {
            self.closing = None;
        } else if connection.is_readable() {
            context.waker().wake_by_ref();
        }
    }

    /// Ends the life of a broken client.
    fn end_life(&mut self) {
        let error = broken("client");
        tracing::error!("{error}");
        self.transport = Transport::None;
        self.closing = None;
        self.dialer.give_up();
        self.shared.with(|state| {
            state.is_broken = true;
            state.connected_to = None;
            state.last_error = Some(Arc::new(error));
            state.end();
        });
    }

    /// Tells the client that there is no transport any more.
    fn lost(&mut self, error: Option<io::Error>) {
        self.transport = Transport::None;
        let dialer = &mut self.dialer;
        self.shared.with(|state| {
            let now = state.now();
            state.core.handle_disconnected(now);
            dialer.note_lost(&mut state.core, now);
            state.connected_to = None;
            state.last_error = error.map(Arc::new);
        });
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.turn(context)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.with(Inner::end);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use e_pigeon_core::{ClientConfig, Secret, SendError, Uuid};

    use super::*;

    #[test]
    fn a_client_that_has_found_a_bug_in_itself_is_over_and_says_so() {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let broker = Endpoint::from(listener.local_addr().expect("its address"));
        let config = ClientConfig::new(Uuid::from_u128(1), Secret([7; 16]), 1, 1);
        let (client, mut driver) = crate::client(config, broker).expect("a config that works");
        smol::block_on(futures_lite::future::or(&mut driver, async {
            while client.connected_to().is_none() {
                smol::Timer::after(Duration::from_millis(1)).await;
            }
        }));
        assert!(matches!(driver.transport, Transport::Open(_)) && !client.is_broken());
        driver.end_life();
        assert!(matches!(driver.transport, Transport::None), "its connection is dropped");
        assert!(client.is_broken() && client.is_closed());
        assert_eq!(client.connected_to(), None);
        let to = e_pigeon_core::Destination::from(Uuid::from_u128(2));
        let sent = client.send(&e_pigeon_core::Message::new(&to, b"")).map(|answer| answer.id());
        assert_eq!(sent, Err(SendError::Closed));
        // Events from before still come, then there are no more.
        smol::block_on(async { while client.next_event().await.is_some() {} });
        let error = client.last_error().expect("the bug").to_string();
        assert!(error.contains("please report it"), "{error}");
    }
}
