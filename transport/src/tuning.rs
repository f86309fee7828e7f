//! Options of sockets: their buffers, no delay.

use socket2::SockRef;

/// How much of what was written may wait in the kernel for its turn on the way to the peer. What is on its way counts beside
/// that: the window of a connection grows as it needs to. Without this limit the send buffer of each connection whose peer
/// does not read grows to megabytes, which no limit of the broker's knows of.
///
/// With this, and 128 KiB that the peer's end takes unread, a connection that is written 63 KiB at a time holds about 190 KiB.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 48 * 1024;

/// A Unix socket keeps so much for its peer, as Linux does where nothing else is said.
#[cfg(unix)]
const UNIX_BUFFER: usize = 212_992;

/// Sets up a TCP connection: each write leaves at once, as batches are made here and not in the kernel, and what the peer does
/// not read piles up where it is counted. A socket that cannot do it is slower and right.
pub fn tune_tcp<'s>(socket: impl Into<SockRef<'s>>) {
    let socket = socket.into();
    let _ = socket.set_tcp_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(UNSENT);
}

/// Sets up a Unix socket: where the system gives it a larger buffer than usual, it gets the usual one.
#[cfg(unix)]
pub fn tune_unix<'s>(socket: impl Into<SockRef<'s>>) {
    let socket = socket.into();
    if socket.send_buffer_size().is_ok_and(|size| size > UNIX_BUFFER) {
        // Linux takes the half, and doubles it for its own needs.
        let size =
            if cfg!(any(target_os = "linux", target_os = "android")) { UNIX_BUFFER / 2 } else { UNIX_BUFFER };
        let _ = socket.set_send_buffer_size(size);
    }
}
