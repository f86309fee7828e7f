//! What is special about Unix sockets: their files, and peers with odd names.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use e_pigeon_core::BrokerConfig;
use tempfile::TempDir;

use super::world::World;
use crate::unix::UnixSocket;
use crate::{BrokerLoop, Endpoint};

const BACKLOG: i32 = 16;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("broker");
    (folder, path)
}

/// What a killed broker leaves: a file that refuses.
fn leave_stale(path: &Path) {
    drop(UnixListener::bind(path).expect("bound"));
    assert_eq!(UnixStream::connect(path).expect_err("nobody").kind(), ErrorKind::ConnectionRefused);
}

fn refused(path: &Path) -> ErrorKind {
    UnixSocket::bind(path, BACKLOG).map(drop).expect_err("must not be bound").kind()
}

#[test]
fn a_stale_file_is_replaced_and_the_new_one_removed_at_the_end() {
    let (_folder, path) = folder();
    leave_stale(&path);
    let socket = UnixSocket::bind(&path, BACKLOG).expect("replaced");
    let _peer = UnixStream::connect(&path).expect("somebody listens now");
    socket.accept().expect("the peer");
    drop(socket);
    assert!(fs::symlink_metadata(&path).is_err(), "removed");
}

#[test]
fn a_live_one_is_left_alone() {
    let (_folder, path) = folder();
    let live = UnixListener::bind(&path).expect("bound");
    assert_eq!(refused(&path), ErrorKind::AddrInUse);
    live.accept().expect("it was asked whether it lives");
    UnixStream::connect(&path).expect("it still can be found");
}

#[test]
fn one_that_is_too_busy_to_accept_is_alive() {
    let (_folder, path) = folder();
    let busy = UnixSocket::bind(&path, 0).expect("bound");
    let mut waiting = Vec::new();
    let full = loop {
        match mio::net::UnixStream::connect(&path) {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error.kind(),
        }
        assert!(waiting.len() < 1000, "its queue is never full");
    };
    // Elsewhere a full queue refuses, and that cannot be told from nobody.
    if full == ErrorKind::WouldBlock {
        assert_eq!(refused(&path), ErrorKind::AddrInUse);
        assert!(path.exists());
    }
    drop(busy);
}

#[test]
fn what_is_no_socket_is_never_removed() {
    let (folder, path) = folder();
    let stale = folder.path().join("stale");
    leave_stale(&stale);

    fs::write(&path, "precious").expect("written");
    assert_eq!(refused(&path), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
    fs::remove_file(&path).expect("removed");

    fs::create_dir(&path).expect("made");
    assert_eq!(refused(&path), ErrorKind::AlreadyExists);
    fs::remove_dir(&path).expect("still there");

    // Not even where it points to a socket.
    for target in [&stale, &folder.path().join("nothing")] {
        symlink(target, &path).expect("linked");
        assert_eq!(refused(&path), ErrorKind::AlreadyExists);
        fs::remove_file(&path).expect("still there");
    }
    assert!(stale.exists());
}

#[test]
fn the_file_of_somebody_else_is_not_removed_at_the_end() {
    let (_folder, path) = folder();
    let socket = UnixSocket::bind(&path, BACKLOG).expect("bound");
    fs::remove_file(&path).expect("somebody cleans up");
    let _other = UnixListener::bind(&path).expect("and takes the place");
    drop(socket);
    UnixStream::connect(&path).expect("it can still be found");

    fs::remove_file(&path).expect("there");
    let socket = UnixSocket::bind(&path, BACKLOG).expect("bound");
    fs::remove_file(&path).expect("there");
    drop(socket);
}

#[test]
fn of_all_that_start_at_once_one_gets_the_path_and_keeps_it() {
    const STARTERS: usize = 8;
    let (_folder, path) = folder();
    for _ in 0..100 {
        leave_stale(&path);
        let barrier = Barrier::new(STARTERS);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                UnixSocket::bind(&path, BACKLOG)
            };
            let threads: Vec<_> = (0..STARTERS).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let mut winners = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(socket) => winners.push(socket),
                Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse),
            }
        }
        assert_eq!(winners.len(), 1);
        UnixStream::connect(&path).expect("it is the one at the path");
    }
}

#[test]
fn paths_that_no_socket_can_have() {
    let (folder, _) = folder();
    for path in [PathBuf::new(), "a\0b".into(), "\0abstract".into(), folder.path().join("x".repeat(108))] {
        assert_eq!(refused(&path), ErrorKind::InvalidInput, "{path:?}");
        assert_eq!(Endpoint::unix(&path).expect_err("neither").kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(refused(&folder.path().join("missing/broker")), ErrorKind::NotFound);
    assert_eq!(Endpoint::unix("x").expect("fine").to_string(), "unix:x");
}

#[test]
fn a_loop_that_is_stopped_removes_its_file() {
    let (_folder, path) = folder();
    let mut broker = BrokerLoop::new(BrokerConfig::default(), 1).expect("a broker");
    broker.bind(Endpoint::Unix(path.clone())).expect("bound");
    broker.stopper().stop().expect("woken");
    assert!(path.exists());
    broker.run().expect("ran to its end");
    assert!(!path.exists());
}

#[test]
fn one_broker_serves_tcp_and_unix_alike() {
    let (_folder, path) = folder();
    let mut world = World::new(BrokerConfig::default(), super::any_port());
    let unix = Endpoint::Unix(path);
    world.broker.as_mut().expect("a broker").bind(unix.clone()).expect("bound");
    let (alice, bob) = (world.join(), world.add_client(unix.clone()));
    world.until_told(alice, "established");
    world.until_told(bob, "established");
    world.send(alice, &super::everyone_else(), b"to unix");
    world.send(bob, &super::everyone_else(), b"to tcp");
    world.until_told(alice, "to tcp");
    world.until_told(bob, "to unix");
    assert_eq!(world.clients[bob].connected_to(), Some(&unix));
}

/// A name that fills all of `sockaddr_un` has no NUL at its end, and the kernel tells of more bytes than there are.
#[test]
#[cfg(target_os = "linux")]
fn a_peer_with_a_name_of_full_length_is_one_like_any_other() {
    use socket2::{Domain, SockAddr, Socket, Type};

    let (folder, path) = folder();
    let mut name = folder.path().join("x").into_os_string().into_encoded_bytes();
    name.resize(108, b'x');
    let fill = |storage: *mut socket2::SockAddrStorage, length: *mut _| {
        let family = 1_u16.to_ne_bytes();
        let bytes: Vec<u8> = family.iter().chain(&name).copied().collect();
        // SAFETY: the storage has 128 bytes, zeroed, and these are the 110 of a `sockaddr_un`.
        #[expect(unsafe_code)]
        unsafe {
            storage.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            *length = 110;
        }
        Ok(())
    };
    // SAFETY: `fill` writes an address and its length.
    #[expect(unsafe_code)]
    let ((), address) = unsafe { SockAddr::try_init(fill) }.expect("an address");

    let mut world = World::new(BrokerConfig::default(), Endpoint::Unix(path.clone()));
    let odd = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    odd.bind(&address).expect("a name of 108 bytes");
    odd.connect(&SockAddr::unix(&path).expect("a path")).expect("accepted");
    world.until("it is a link", |world| world.broker.as_ref().expect("a broker").stats().links == 1);
}
