//! An adapter on nothing but the standard library, and the kit that it is put through. docs/ADAPTERS.md goes through it.
//!
//!     cargo run --example adapter

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use e_pigeon_core::{
    AckToken, Broker, BrokerConfig, Client, ClientConfig, Close, Message, MessageId, SendError, SetError,
    Stats, Value,
};
use e_pigeon_sim::conformance::{
    Address, BrokerAdapter, ClientAdapter, Heard, RunningBroker, RunningClient, Transport, check_broker,
    check_client,
};
use e_pigeon_transport::{
    Clock, Closing, Connection, INPUT, Input, Listener, Listening, OUTPUT, Socket, bind_tcp, fill, tune_tcp,
};

type Hub = e_pigeon_transport::Hub<Acceptor>;

/// The standard library cannot tell which socket is ready, so this adapter looks at all of them this often.
const PAUSE: Duration = Duration::from_millis(10);

/// A socket that does not block.
struct Stream(TcpStream);

impl Stream {
    fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Stream {
    fn is_emptied_by_short_read(&mut self) -> bool {
        false
    }

    fn tune(&self) {
        tune_tcp(&self.0);
    }

    fn finish(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

/// A listening socket that does not block.
struct Acceptor(TcpListener);

impl Listening for Acceptor {
    type Socket = Stream;

    fn accept(&mut self) -> io::Result<(Stream, Option<SocketAddr>)> {
        let (socket, peer) = self.0.accept()?;
        Ok((Stream::new(socket)?, Some(peer)))
    }
}

/// Something that takes turns on a thread of its own for as long as it is held.
struct Held<T>(Arc<Mutex<T>>);

impl<T: Send + 'static> Held<T> {
    fn start(state: T, mut turn: impl FnMut(&mut T) + Send + 'static) -> Self {
        let held = Self(Arc::new(Mutex::new(state)));
        let weak = Arc::downgrade(&held.0);
        thread::spawn(move || {
            while let Some(shared) = weak.upgrade() {
                turn(&mut Self(shared).lock());
                // A better adapter sleeps here until one of its sockets is ready, and no longer than to the next deadline.
                thread::sleep(PAUSE);
            }
        });
        held
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client with its socket.
struct Member {
    client: Client<Vec<u8>>,
    clock: Clock,
    broker: SocketAddr,
    connection: Option<Connection<Stream>>,
    /// The connection before, until its last words have arrived.
    closing: Option<(Connection<Stream>, Closing)>,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Member {
    /// One round of the run loop on the front page of the core.
    fn turn(&mut self) {
        if self.client.is_broken() {
            // It has found a bug in itself, and is at its end. A program would say so, and end.
            (self.connection, self.closing) = (None, None);
            return;
        }
        let now = self.clock.now();
        if self.client.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.client.handle_timeout(now);
        }
        self.connect_where_wanted();
        if let Some(connection) = &mut self.connection {
            connection.note_readable();
            connection.note_writable();
            match connection.read(&mut self.input) {
                Input::Bytes(count) => self.client.handle_input(now, &self.input[..count]),
                Input::Nothing => {}
                Input::Over(_) => {
                    self.connection = None;
                    self.client.handle_disconnected(now);
                }
            }
        }
        if let Some(connection) = &mut self.connection
            && connection.flush()
        {
            let filled = fill(&mut self.output, |room| self.client.poll_transmit(now, room).unwrap_or(0));
            connection.write(&self.output[..filled]);
        }
        self.disconnect_where_wanted();
        if let Some((connection, closing)) = &mut self.closing {
            connection.note_readable();
            connection.note_writable();
            if closing.advance(connection, &mut self.input) || closing.deadline() <= now {
                self.closing = None;
            }
        }
    }

    /// When to try again is the client's business.
    fn connect_where_wanted(&mut self) {
        if self.connection.is_none() && self.client.wants_connection() {
            let socket = TcpStream::connect_timeout(&self.broker, Duration::from_secs(10));
            match socket.and_then(Stream::new) {
                Ok(socket) => {
                    self.connection = Some(Connection::new(socket));
                    self.client.handle_connected(self.clock.now());
                }
                Err(_) => self.client.handle_disconnected(self.clock.now()),
            }
        }
    }

    fn disconnect_where_wanted(&mut self) {
        if !self.client.wants_disconnect() {
            return;
        }
        let now = self.clock.now();
        if let Some(mut connection) = self.connection.take() {
            loop {
                let filled = fill(&mut self.output, |room| self.client.poll_transmit(now, room).unwrap_or(0));
                if filled == 0 {
                    break;
                }
                connection.write(&self.output[..filled]);
            }
            self.closing = Some((connection, Closing::begin(now)));
        }
        self.client.handle_disconnected(now);
    }
}

/// The adapter, as the kit sees it.
struct Plain;

fn tcp(address: &Address) -> io::Result<SocketAddr> {
    match address {
        Address::Tcp(address) => Ok(*address),
        #[allow(unreachable_patterns)]
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

impl ClientAdapter for Plain {
    type Client = Held<Member>;

    fn start_client(&self, config: ClientConfig, at: &Address) -> Self::Client {
        let memory = vec![0; config.memory_needed()];
        let member = Member {
            client: Client::new(config, memory).expect("a config that works"),
            clock: Clock::start(),
            broker: tcp(at).expect("a TCP address"),
            connection: None,
            closing: None,
            input: vec![0; INPUT],
            output: vec![0; OUTPUT],
        };
        Held::start(member, Member::turn)
    }
}

impl RunningClient for Held<Member> {
    fn send(&mut self, message: &Message<'_>) -> Result<MessageId, SendError> {
        let member = &mut *self.lock();
        member.client.send(member.clock.now(), message)
    }

    fn set(&mut self, key: &str, value: Value<'_>) -> Result<(), SetError> {
        let member = &mut *self.lock();
        member.client.set(member.clock.now(), key, value)
    }

    fn next(&mut self, within: Duration) -> Option<Heard> {
        let begun = Instant::now();
        loop {
            let heard = self.lock().client.poll_event().map(Heard::from);
            if heard.is_some() || begun.elapsed() >= within {
                return heard;
            }
            thread::sleep(PAUSE);
        }
    }

    fn acknowledge(&mut self, up_to: AckToken) {
        self.lock().client.acknowledge(up_to);
    }

    fn close(&mut self, how: Close) {
        let member = &mut *self.lock();
        member.client.close(member.clock.now(), how);
    }
}

/// A broker that runs.
struct Serving {
    address: Address,
    hub: Held<Hub>,
}

impl BrokerAdapter for Plain {
    type Broker = Serving;

    fn start_broker(&self, config: BrokerConfig, epoch: u64, at: &Address) -> io::Result<Self::Broker> {
        let socket = bind_tcp(tcp(at)?)?;
        let address = socket.local_addr()?;
        let broker =
            Broker::new(config, epoch).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let mut hub = Hub::new(broker);
        hub.listen(Listener::new(Acceptor(socket), address.into()));
        let mut keys = 0;
        let hub = Held::start(hub, move |hub| {
            let mut prepare = |_: &mut Stream, key: usize| {
                keys = keys.max(key + 1);
                Ok(())
            };
            // What the event loop of a better adapter has told of would be noted, and nothing else.
            hub.note_listener(0, &mut prepare);
            hub.handle_deadline(&mut prepare);
            for key in 0..keys {
                hub.note(key, |connection| {
                    connection.note_readable();
                    connection.note_writable();
                });
            }
            hub.flush();
            while hub.broker().poll_event().is_some() {}
        });
        Ok(Serving { address: Address::Tcp(address), hub })
    }
}

impl RunningBroker for Serving {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn stats(&self) -> Stats {
        self.hub.lock().stats()
    }

    fn stop(self) {
        self.hub.lock().stop();
        while !self.hub.lock().is_stopped() {
            thread::sleep(PAUSE);
        }
    }
}

fn main() {
    check_client(&Plain, Transport::Tcp);
    check_broker(&Plain, Transport::Tcp);
}
