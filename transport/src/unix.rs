//! A listening Unix socket is a file, and a broker that was killed leaves its file behind.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

#[cfg(test)]
mod tests;

/// The longest path that a socket can have.
const LONGEST: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// How long a broker waits for another that starts in the same directory: so many times so long.
const TURNS: u32 = 50;
const TURN: Duration = Duration::from_millis(20);

/// The file of a listening socket, which goes when this is dropped, unless somebody else has put another there.
///
/// To be dropped before the socket.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// The file that was bound, whatever stands at the path by now.
    file: Identity,
}

/// What tells a file from all others: its device and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity(u64, u64);

/// Listens at `path`, with a socket that does not block. A socket that nobody accepts on any more is replaced.
///
/// Brokers that start in one directory take turns, so this may block for a second where a program keeps that directory
/// locked.
///
/// # Errors
///
/// Somebody listens there (`AddrInUse`), what stands there is no socket (`AlreadyExists`), no socket can have this path
/// (`InvalidInput`), or what the system says.
pub fn bind(path: &Path, backlog: i32) -> io::Result<(UnixListener, SocketFile)> {
    check(path)?;
    let _turn = take_turn(path);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        remove_stale(path)?;
        socket.bind(&address)?;
    }
    let file = SocketFile { path: path.to_owned(), file: Identity::of(path)? };
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok((UnixListener::from(OwnedFd::from(socket)), file))
}

/// Takes one waiting connection, without asking for the peer's name; it does not block.
///
/// What reads the name has to cope with one of 108 bytes, for which the kernel tells of more bytes than there are
/// (mio 1.2.5 panics). Nobody wants the name.
///
/// # Errors
///
/// What the system says; `WouldBlock` where nobody waits.
pub fn accept(listener: &impl AsFd) -> io::Result<UnixStream> {
    let (socket, _) = SockRef::from(listener).accept()?;
    socket.set_nonblocking(true)?;
    Ok(UnixStream::from(OwnedFd::from(socket)))
}

/// Begins to connect, without blocking.
///
/// # Errors
///
/// What the system says: nobody listens there, or (`WouldBlock`, which does not mean "not yet") too many wait.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        // The queue of the listener is full, and the attempt is over.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::new(error.kind(), "too many connections wait for the broker to accept them"))
        }
        Err(error) => Err(error),
        Ok(()) => Ok(UnixStream::from(OwnedFd::from(socket))),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // As long as the socket is open its file is not stale, so no broker takes the path between these two steps, and
        // no new file has the old number.
        if Identity::of(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Identity {
    /// Looks at what stands at `path` itself, wherever it may point to.
    fn of(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|found| Self(found.dev(), found.ino()))
    }
}

/// Says whether a socket can have this path.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let bytes = path.as_os_str().len();
    // An empty path would stand for an address without a file.
    if bytes > 0 && SocketAddr::from_pathname(path).is_ok() {
        return Ok(());
    }
    let told = if bytes > LONGEST {
        format!("the path has {bytes} bytes, a socket has room for {LONGEST}")
    } else {
        "no file can have this path".to_owned()
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, told))
}

/// Removes a socket that nobody accepts on, and nothing else.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "this file is not a socket"));
    }
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        // Somebody listens, and has more to accept than there is room for.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Err(error) => return Err(error),
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
    }
    // What was found dead is what may go.
    if Identity::of(path)? != Identity(found.dev(), found.ino()) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    fs::remove_file(path)
}

/// Keeps other brokers from the directory of `path` until the result is dropped.
///
/// Between two that find the same stale file, one would else remove the new file of the other: before that one
/// listens, it looks just as dead. Where the lock cannot be had that is a risk, but no reason not to start.
fn take_turn(path: &Path) -> Option<File> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = File::open(directory).ok()?;
    for _ in 0..TURNS {
        match directory.try_lock() {
            Ok(()) => return Some(directory),
            Err(TryLockError::WouldBlock) => thread::sleep(TURN),
            Err(TryLockError::Error(_)) => break,
        }
    }
    None
}
