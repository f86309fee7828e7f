//! A connected socket or an open line that wakes its task by itself: the only place that asks which kind.

#[cfg(unix)]
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, Waker};

use async_io::Async;
use e_pigeon_transport::{Connection, Endpoint, Socket, tune_tcp};
#[cfg(unix)]
use e_pigeon_transport::{serial, tune_unix};

/// A stream of bytes to a peer. Whenever it says `WouldBlock`, its waker is called once that has changed.
#[derive(Debug)]
pub(crate) struct Stream {
    kind: Kind,
    waker: Waker,
}

#[derive(Debug)]
enum Kind {
    Tcp(Async<TcpStream>),
    #[cfg(unix)]
    Unix(Async<UnixStream>),
    #[cfg(unix)]
    Serial(Async<File>),
}

/// Does the same with whichever socket it is; the last is for a line, where that is something else.
macro_rules! either {
    ($stream:expr, $socket:ident => $call:expr) => {
        either!($stream, $socket => $call, $socket => $call)
    };
    ($stream:expr, $socket:ident => $call:expr, $line:ident => $other:expr) => {
        match &$stream.kind {
            Kind::Tcp($socket) => $call,
            #[cfg(unix)]
            Kind::Unix($socket) => $call,
            #[cfg(unix)]
            Kind::Serial($line) => $other,
        }
    };
}

impl Stream {
    /// Connects, however long that takes.
    pub(crate) async fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) | Endpoint::Cobs(address) => {
                Async::<TcpStream>::connect(*address).await.map(Self::tcp)
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => Self::unix(e_pigeon_transport::unix::connect(path)?),
            #[cfg(unix)]
            Endpoint::Serial(line) => Self::serial(serial::open(line)?),
            // `Endpoint` may get more kinds.
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub(crate) fn tcp(socket: Async<TcpStream>) -> Self {
        Self { kind: Kind::Tcp(socket), waker: Waker::noop().clone() }
    }

    #[cfg(unix)]
    pub(crate) fn unix(socket: UnixStream) -> io::Result<Self> {
        Ok(Self { kind: Kind::Unix(Async::new(socket)?), waker: Waker::noop().clone() })
    }

    #[cfg(unix)]
    pub(crate) fn serial(line: File) -> io::Result<Self> {
        Ok(Self { kind: Kind::Serial(Async::new_nonblocking(line)?), waker: Waker::noop().clone() })
    }

    /// From now on that waker is called.
    pub(crate) fn set_waker(&mut self, waker: &Waker) {
        self.waker.clone_from(waker);
    }

    /// Ready where a read may bring something; otherwise the waker will be called.
    pub(crate) fn poll_readable(&self) -> Poll<io::Result<()>> {
        let mut context = Context::from_waker(&self.waker);
        either!(self, socket => socket.poll_readable(&mut context))
    }

    fn poll_writable(&self) -> Poll<io::Result<()>> {
        let mut context = Context::from_waker(&self.waker);
        either!(self, socket => socket.poll_writable(&mut context))
    }
}

/// Lets a connection remember what its socket has become ready for.
pub(crate) fn note(connection: &mut Connection<Stream>) {
    // A failure shows in the call that is made then.
    if !connection.is_readable() && connection.socket().poll_readable().is_ready() {
        connection.note_readable();
    }
    if !connection.is_writable() && connection.socket().poll_writable().is_ready() {
        connection.note_writable();
    }
}

/// Calls until it works or the waker has been left behind.
pub(crate) fn attempt<T>(
    mut call: impl FnMut() -> io::Result<T>,
    wait: impl Fn() -> Poll<io::Result<()>>,
) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match wait() {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Err(error),
            },
            result => return result,
        }
    }
}

impl Socket for Stream {
    /// The kernel is asked for news of more right here.
    fn is_emptied_by_short_read(&mut self) -> bool {
        self.poll_readable().is_pending()
    }

    fn tune(&self) {
        match &self.kind {
            Kind::Tcp(socket) => tune_tcp(socket.get_ref()),
            #[cfg(unix)]
            Kind::Unix(socket) => tune_unix(socket.get_ref()),
            #[cfg(unix)]
            Kind::Serial(_) => {}
        }
    }

    fn finish(&self) -> io::Result<()> {
        either!(self, socket => socket.get_ref().shutdown(Shutdown::Write), _line => Ok(()))
    }

    fn is_line(&self) -> bool {
        either!(self, _socket => false, _line => true)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let this = &*self;
        let mut read = || {
            either!(this,
                socket => socket.get_ref().read(buffer),
                line => line.get_ref().read(buffer).and_then(|count| serial::read(count, buffer)))
        };
        attempt(&mut read, || this.poll_readable())
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let this = &*self;
        attempt(|| either!(this, socket => socket.get_ref().write(bytes)), || this.poll_writable())
    }

    fn flush(&mut self) -> io::Result<()> {
        // It keeps nothing.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    #[test]
    fn program_21_a_connection_does_not_delay_and_keeps_little_in_the_kernel() {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let address = Endpoint::from(listener.local_addr().expect("its address"));
        let stream = smol::block_on(Stream::connect(&address)).expect("connected");
        let mut connection = Connection::new(stream);
        let Kind::Tcp(socket) = &connection.socket().kind else { panic!("no TCP") };
        assert!(socket.get_ref().nodelay().expect("an option"));
        #[cfg(target_os = "linux")]
        assert_eq!(
            socket2::SockRef::from(socket.get_ref()).tcp_notsent_lowat().expect("an option"),
            48 * 1024
        );
    }
}
