//! A connected socket or an open line: the only place that asks which.

#[cfg(unix)]
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
#[cfg(unix)]
use std::os::fd::AsRawFd;

use e_pigeon_transport::{Connection, Endpoint, Socket, tune_tcp};
#[cfg(unix)]
use e_pigeon_transport::{serial, tune_unix};
use mio::event::Event;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
#[cfg(unix)]
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// A stream of bytes to a peer.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    #[cfg(unix)]
    Serial(File),
}

/// Does the same with whichever socket it is; the last is for a line.
macro_rules! either {
    ($stream:expr, $socket:ident => $call:expr, $line:ident => $other:expr) => {
        match $stream {
            Stream::Tcp($socket) => $call,
            #[cfg(unix)]
            Stream::Unix($socket) => $call,
            #[cfg(unix)]
            Stream::Serial($line) => $other,
        }
    };
}

impl Stream {
    /// Begins to connect.
    pub(crate) fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) | Endpoint::Cobs(address) => TcpStream::connect(*address).map(Self::Tcp),
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                e_pigeon_transport::unix::connect(path).map(|socket| Self::Unix(UnixStream::from_std(socket)))
            }
            #[cfg(unix)]
            Endpoint::Serial(line) => serial::open(line).map(Self::Serial),
            // `Endpoint` may get more kinds.
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Lets the loop tell of this socket on `token`.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        either!(self,
            socket => registry.register(socket, token, interest),
            line => registry.register(&mut SourceFd(&line.as_raw_fd()), token, interest))
    }

    /// Says whether the socket is connected (`true`), is not yet, or never will be.
    pub(crate) fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = either!(self, socket => socket.take_error(), _line => return Ok(true))? {
            return Err(error);
        }
        match either!(self, socket => socket.peer_addr().map(drop), _line => Ok(())) {
            Ok(()) => Ok(true),
            // Not every system says "not connected" here; they all mean "not yet" as long as there is no error.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::InvalidInput) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Lets a connection remember what an event said.
pub(crate) fn note(connection: &mut Connection<Stream>, event: &Event) {
    let is_error = event.is_error();
    if event.is_readable() {
        connection.note_readable();
    }
    if event.is_read_closed() || is_error {
        connection.note_ending();
    }
    if event.is_writable() || event.is_write_closed() || is_error {
        connection.note_writable();
    }
}

impl Socket for Stream {
    /// With epoll whatever comes later is an event of its own; elsewhere only "would block" arms the next event.
    /// (Descriptors that a peer passes along shorten the read of a Unix socket too: it delays itself, nobody else.) A line
    /// gives no more than its buffer holds, and may have filled it again.
    fn is_emptied_by_short_read(&mut self) -> bool {
        cfg!(target_os = "linux") && !self.is_line()
    }

    fn tune(&self) {
        match self {
            Self::Tcp(socket) => tune_tcp(socket),
            #[cfg(unix)]
            Self::Unix(socket) => tune_unix(socket),
            #[cfg(unix)]
            Self::Serial(_) => {}
        }
    }

    fn finish(&self) -> io::Result<()> {
        either!(self, socket => socket.shutdown(Shutdown::Write), _line => Ok(()))
    }

    fn is_line(&self) -> bool {
        either!(self, _socket => false, _line => true)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self,
            socket => socket.read(buffer),
            line => line.read(buffer).and_then(|count| serial::read(count, buffer)))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, socket => socket.write(bytes), line => line.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        either!(self, socket => socket.flush(), line => line.flush())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    #[test]
    fn program_21_a_connection_does_not_delay_and_keeps_little_in_the_kernel() {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let address = listener.local_addr().expect("its address");
        let mut connection = Connection::new(Stream::connect(&address.into()).expect("begun"));
        let Stream::Tcp(socket) = connection.socket() else { panic!("no TCP") };
        assert!(socket.nodelay().expect("an option"));
        #[cfg(target_os = "linux")]
        assert_eq!(socket2::SockRef::from(&*socket).tcp_notsent_lowat().expect("an option"), 48 * 1024);
    }
}
