//! Files of Unix sockets: stale ones, live ones, and what is none.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use tempfile::TempDir;

use super::{accept, bind, connect};
use crate::Endpoint;

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
    bind(path, BACKLOG).map(drop).expect_err("must not be bound").kind()
}

#[test]
fn a_stale_file_is_replaced_and_the_new_one_removed_at_the_end() {
    let (_folder, path) = folder();
    leave_stale(&path);
    let socket = bind(&path, BACKLOG).expect("replaced");
    let _peer = UnixStream::connect(&path).expect("somebody listens now");
    accept(&socket.0).expect("the peer");
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
    let busy = bind(&path, 0).expect("bound");
    let mut waiting = Vec::new();
    let full = loop {
        match connect(&path) {
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
    let socket = bind(&path, BACKLOG).expect("bound");
    fs::remove_file(&path).expect("somebody cleans up");
    let _other = UnixListener::bind(&path).expect("and takes the place");
    drop(socket);
    UnixStream::connect(&path).expect("it can still be found");

    fs::remove_file(&path).expect("there");
    let socket = bind(&path, BACKLOG).expect("bound");
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
                bind(&path, BACKLOG)
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
