//! What an adapter's sockets have to be able to do. None of them ever blocks.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

/// A connected stream of bytes that says `WouldBlock` where it would have to wait.
///
/// Whoever was told that hears from the adapter when it is worth another try.
pub trait Socket: Read + Write {
    /// Says whether the socket is empty behind a read that came short, and news of more is sure to come. False where
    /// only a read that would block makes it sure.
    fn is_emptied_by_short_read(&mut self) -> bool;

    /// Sets the socket up as [`tune_tcp`](crate::tune_tcp) or `tune_unix` do.
    ///
    /// A socket that cannot do it is slower, keeps more in the kernel, and is right.
    fn tune(&self);

    /// Tells the peer that nothing follows.
    ///
    /// # Errors
    ///
    /// What the system says, mostly because the connection is gone.
    fn finish(&self) -> io::Result<()>;

    /// Says whether it is a line: nobody at its other end hears that it is closed, and it may be slow.
    fn is_line(&self) -> bool {
        false
    }
}

/// A listening socket that says `WouldBlock` where nobody waits; or a line, which is what it accepts.
pub trait Listening {
    /// What it accepts.
    type Socket: Socket;

    /// Takes one waiting connection, and the address of the peer where it has one. A line is opened, and never while it is
    /// open.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where nobody waits: the adapter tells of the next. Otherwise what the system says.
    fn accept(&mut self) -> io::Result<(Self::Socket, Option<SocketAddr>)>;
}
