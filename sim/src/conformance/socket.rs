//! Sockets of the standard library that never block, one name for both kinds.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use super::place::Address;
use super::waiting::LIMIT;

/// A stream of bytes.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Bytes(usize),
    Nothing,
    /// The peer has closed in order.
    End,
    /// The connection broke: the peer closed it although there was something to read, or it is gone.
    Broken,
}

/// Does the same with whichever socket it is.
macro_rules! either {
    ($kind:ident, $value:expr, $socket:ident => $call:expr) => {
        match $value {
            $kind::Tcp($socket) => $call,
            #[cfg(unix)]
            $kind::Unix($socket) => $call,
        }
    };
}

impl Socket {
    pub(super) fn dial(address: &Address) -> io::Result<Self> {
        let socket = match address {
            Address::Tcp(address) => {
                let socket = TcpStream::connect(address)?;
                // Each piece is to arrive by itself.
                socket.set_nodelay(true)?;
                Self::Tcp(socket)
            }
            #[cfg(unix)]
            Address::Unix(path) => Self::Unix(UnixStream::connect(path)?),
        };
        either!(Self, &socket, socket => socket.set_nonblocking(true))?;
        Ok(socket)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Got {
        match either!(Self, self, socket => socket.read(buffer)) {
            Ok(0) => Got::End,
            Ok(count) => Got::Bytes(count),
            Err(error) if is_for_later(&error) => Got::Nothing,
            Err(_) => Got::Broken,
        }
    }

    /// Writes once, and returns how much was taken; `None` where the connection is gone.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        match either!(Self, self, socket => socket.write(bytes)) {
            Ok(count) => Some(count),
            Err(error) if is_for_later(&error) => Some(0),
            Err(_) => None,
        }
    }

    /// Writes all of it, however long that takes.
    pub(super) fn write_all(&mut self, mut bytes: &[u8]) {
        let start = Instant::now();
        while !bytes.is_empty() {
            let count = self.write(bytes).expect("the connection is there");
            bytes = &bytes[count..];
            if count == 0 {
                assert!(start.elapsed() < LIMIT, "nobody reads");
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }

    /// Says that nothing follows, and goes on reading.
    pub(super) fn finish(&self) {
        // Where the connection is gone there is nobody to tell.
        let _ = either!(Self, self, socket => socket.shutdown(Shutdown::Write));
    }

    /// Reads until the peer closes.
    pub(super) fn read_to_end(&mut self) -> Vec<u8> {
        let start = Instant::now();
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match self.read(&mut buffer) {
                Got::Bytes(count) => all.extend_from_slice(&buffer[..count]),
                Got::End => return all,
                Got::Broken => panic!("the connection was reset behind {} bytes", all.len()),
                Got::Nothing => {
                    assert!(start.elapsed() < LIMIT, "it does not close; {} bytes came", all.len());
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Acceptor {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Acceptor {
    /// Listens, and returns the real address. A socket's file that somebody left behind is replaced.
    pub(super) fn bind(address: &Address) -> io::Result<(Self, Address)> {
        let (acceptor, address) = match address {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                let address = Address::Tcp(listener.local_addr()?);
                (Self::Tcp(listener), address)
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                let _ = std::fs::remove_file(path);
                (Self::Unix(UnixListener::bind(path)?), address.clone())
            }
        };
        either!(Self, &acceptor, listener => listener.set_nonblocking(true))?;
        Ok((acceptor, address))
    }

    /// The next connection, if any.
    pub(super) fn accept(&self) -> Option<Socket> {
        let socket = match self {
            Self::Tcp(listener) => {
                let (socket, _) = listener.accept().ok()?;
                socket.set_nodelay(true).ok()?;
                Socket::Tcp(socket)
            }
            #[cfg(unix)]
            Self::Unix(listener) => Socket::Unix(listener.accept().ok()?.0),
        };
        either!(Socket, &socket, socket => socket.set_nonblocking(true)).ok()?;
        Some(socket)
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
