//! What is special about Unix sockets: files that go with the broker, and peers with odd names.

use std::path::PathBuf;

use e_pigeon_core::BrokerConfig;
use tempfile::TempDir;

use super::world::World;
use crate::{BrokerLoop, Endpoint};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("broker");
    (folder, path)
}

#[test]
fn a_loop_that_is_stopped_removes_its_file() {
    let (_folder, path) = folder();
    let mut broker = BrokerLoop::new(BrokerConfig::new(0), 1).expect("a broker");
    broker.bind(Endpoint::Unix(path.clone())).expect("bound");
    broker.shutdown_handle().stop().expect("woken");
    assert!(path.exists());
    broker.run().expect("ran to its end");
    assert!(!path.exists());
}

#[test]
fn one_broker_serves_tcp_and_unix_alike() {
    let (_folder, path) = folder();
    let mut world = World::new(BrokerConfig::new(0), super::any_port());
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

    let mut world = World::new(BrokerConfig::new(0), Endpoint::Unix(path.clone()));
    let odd = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    odd.bind(&address).expect("a name of 108 bytes");
    odd.connect(&SockAddr::unix(&path).expect("a path")).expect("accepted");
    world.until("it is a link", |world| world.broker.as_ref().expect("a broker").stats().links == 1);
}
