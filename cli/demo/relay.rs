//! The network of the demo: between each client and the broker a relay that can cut the connection at any byte.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::random::Random;
use crate::failure::Failure;

/// While connections are cut, one ends after at most so many bytes in one direction.
const LONGEST: u64 = 48 * 1024;
/// A chunk is no longer, so that a cut that begins is soon noticed.
const CHUNK: usize = 4 * 1024;

/// What all relays have in common.
#[derive(Debug)]
pub(crate) struct Network {
    broker: SocketAddr,
    /// Connections are being cut.
    cutting: AtomicBool,
    cuts: AtomicU64,
    /// Where in a stream the next cut is.
    random: Mutex<Random>,
}

impl Network {
    pub(crate) fn new(broker: SocketAddr, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            broker,
            cutting: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
            random: Mutex::new(Random::new(seed, u64::MAX)),
        })
    }

    /// Begins or ceases to cut connections.
    pub(crate) fn cut(&self, cutting: bool) {
        self.cutting.store(cutting, Ordering::Release);
    }

    /// How many connections it has cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }

    fn draw(&self) -> u64 {
        1 + self.random.lock().unwrap_or_else(PoisonError::into_inner).below(LONGEST)
    }
}

/// The way of one client to the broker.
#[derive(Debug)]
pub(crate) struct Way {
    address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    shut: AtomicBool,
    /// The connections that were there when somebody last looked.
    links: Mutex<Vec<Arc<Link>>>,
}

impl Way {
    /// Opens a way; its threads end with the program.
    pub(crate) fn open(network: &Arc<Network>) -> Result<Self, Failure> {
        let system = |error: io::Error| Failure::system("open a port on loopback", &error);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(system)?;
        let address = listener.local_addr().map_err(system)?;
        let gate = Arc::new(Gate::default());
        let (network, entrance) = (Arc::clone(network), Arc::clone(&gate));
        thread::Builder::new()
            .name("relay".into())
            .spawn(move || {
                // Whoever cannot be accepted or carried on sees a lost connection, and comes again.
                for client in listener.incoming().flatten() {
                    let _ = entrance.pass(client, &network);
                }
            })
            .map_err(system)?;
        Ok(Self { address, gate })
    }

    /// Where the client finds the broker.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the client off, or lets it through again.
    pub(crate) fn shut(&self, shut: bool) {
        self.gate.shut.store(shut, Ordering::Release);
        if shut {
            for link in self.gate.links().drain(..) {
                link.end();
            }
        }
    }
}

impl Gate {
    fn links(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects a client through to the broker.
    fn pass(&self, client: TcpStream, network: &Arc<Network>) -> io::Result<()> {
        let broker = TcpStream::connect(network.broker)?;
        // While the broker is dead, a socket can meet itself on the port that it calls.
        if broker.local_addr()? == network.broker {
            return Ok(());
        }
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let link = Arc::new(Link { client, broker });
        let mut links = self.links();
        if self.shut.load(Ordering::Acquire) {
            return Ok(());
        }
        links.retain(|link| Arc::strong_count(link) > 1);
        for up in [true, false] {
            let (link, network) = (Arc::clone(&link), Arc::clone(network));
            thread::Builder::new().name("relay".into()).spawn(move || {
                let (from, to) = if up { (&link.client, &link.broker) } else { (&link.broker, &link.client) };
                // Whatever ends one direction ends both.
                let _ = carry(from, to, &network);
                link.end();
            })?;
        }
        links.push(link);
        Ok(())
    }
}

/// The two sockets of a connection.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    broker: TcpStream,
}

impl Link {
    fn end(&self) {
        for socket in [&self.client, &self.broker] {
            // Whoever is gone needs no end.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Carries bytes in one direction until the end, or until the byte where the connection is to be cut.
fn carry(mut from: &TcpStream, mut to: &TcpStream, network: &Network) -> io::Result<()> {
    let mut chunk = [0; CHUNK];
    let mut left = None;
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        if !network.cutting.load(Ordering::Acquire) {
            left = None;
            to.write_all(&chunk[..count])?;
            continue;
        }
        let room = *left.get_or_insert_with(|| network.draw());
        let passed = usize::try_from(room).map_or(count, |room| room.min(count));
        to.write_all(&chunk[..passed])?;
        if passed < count {
            network.cuts.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        }
        left = Some(room - passed as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A peer that writes for ever, and a way to it.
    fn chatterbox() -> (Arc<Network>, Way) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let network = Network::new(listener.local_addr().expect("bound"), 7);
        thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                thread::spawn(move || while socket.write_all(&[b'x'; 512]).is_ok() {});
            }
        });
        let way = Way::open(&network).expect("a way");
        (network, way)
    }

    fn read_to_the_end(way: &Way) -> usize {
        let mut socket = TcpStream::connect(way.address()).expect("the relay accepts");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        let mut all = Vec::new();
        let _ = socket.read_to_end(&mut all);
        all.len()
    }

    #[test]
    fn it_cuts_in_the_middle_of_what_was_written() {
        let (network, way) = chatterbox();
        network.cut(true);
        let lengths: Vec<usize> = (0..8).map(|_| read_to_the_end(&way)).collect();
        assert!(lengths.iter().all(|length| *length as u64 <= LONGEST), "{lengths:?}");
        assert!(lengths.iter().any(|length| length % 512 != 0), "{lengths:?}");
        assert!(network.cuts() >= 8);
    }

    #[test]
    fn a_shut_way_ends_what_is_there_and_lets_nobody_through() {
        let (network, way) = chatterbox();
        let mut socket = TcpStream::connect(way.address()).expect("the relay accepts");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        socket.read_exact(&mut [0; 10_000]).expect("it is let through");
        way.shut(true);
        let _ = socket.read_to_end(&mut Vec::new());
        assert_eq!(read_to_the_end(&way), 0);
        assert_eq!(network.cuts(), 0);
        way.shut(false);
        let mut socket = TcpStream::connect(way.address()).expect("the relay accepts");
        socket.read_exact(&mut [0; 10_000]).expect("it is let through again");
    }
}
