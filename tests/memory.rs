//! A broker at all its limits stays within the memory that it was given: it refuses, and lives.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e_pigeon_core::wire::item::{MessageItem, UpItem};
use e_pigeon_core::{AttributesRef, Destination, Filter, Uuid};
use e_pigeon_sim::frames::frame;

/// What the broker may take for its state, and what the whole process may take: the program, and what its threads reserve.
const MEMORY: &str = "64MiB";
const ADDRESS_SPACE: u64 = 64 << 20 | 256 << 20;

struct Broker {
    child: Child,
    address: String,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Broker {
    fn start() -> Self {
        let mut child = Command::new("prlimit")
            .arg(format!("--as={ADDRESS_SPACE}"))
            .arg(env!("CARGO_BIN_EXE_e-pigeon"))
            .args(["serve", "--listen", "127.0.0.1:0", "--memory", MEMORY, "--settle", "1ms"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().trim_start_matches("tcp:").to_owned();
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

fn hello(n: u128, link: u64) -> Vec<u8> {
    support::hello::hello(n, link, AttributesRef::EMPTY)
}

fn message(to: Option<&Destination>, payload: &[u8]) -> Vec<u8> {
    let message = MessageItem {
        slot: 0,
        define: to.map(Destination::as_ref),
        id_step: 1,
        time_to_live_ms: 3_600_000,
        retry: None,
        until_accepted: false,
        payload,
    };
    frame(|w| UpItem::Message(message).write(w))
}

/// Writes as much as the broker takes, and reads what it says.
fn say(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    // One that was refused is closed.
    let _ = stream.write_all(bytes);
    let (mut said, mut piece) = (Vec::new(), [0; 65_536]);
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        said.extend_from_slice(&piece[..count]);
    }
    said
}

#[test]
fn field_s9_and_attack_a5_a_broker_at_all_its_limits_refuses_and_lives() {
    let mut broker = Broker::start();
    // Sessions that are away, until there is no place for more.
    let mut refused = 0;
    for n in 1..2_000 {
        let mut stream = broker.connect();
        stream.write_all(&hello(n, 1)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut kind = [0; 2];
        stream.read_exact(&mut kind).unwrap();
        assert!([2, 3].contains(&kind[1]), "WELCOME or ABORT: {kind:?}");
        refused += u32::from(kind[1] == 3);
    }
    assert!((1_000..1_999).contains(&refused), "{refused} of 1,999 were refused");
    assert!(broker.is_alive());
    // Messages to everyone, parked ones, and large ones, from those that have places, which read nothing of it.
    let everyone = Destination::from(Filter::everyone());
    let nobody = Destination::from(Uuid::from_u128(1 << 100));
    let mut streams = Vec::new();
    for n in 1..60 {
        let mut stream = broker.connect();
        say(&mut stream, &hello(n, 2));
        for (to, size) in [(&everyone, 0), (&nobody, 0), (&nobody, 5_000)] {
            let payload = vec![7; size];
            let mut bytes = message(Some(to), &payload);
            for _ in 0..12 {
                bytes.extend(message(None, &payload));
            }
            for _ in 0..8 {
                say(&mut stream, &bytes);
            }
        }
        streams.push(stream);
        assert!(broker.is_alive(), "after {n} clients");
    }
    std::thread::sleep(Duration::from_millis(500));
    assert!(broker.is_alive());
    drop(streams);
    // A HELLO still gets its answer.
    let mut stream = broker.connect();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&hello(1 << 90, 1)).unwrap();
    let mut kind = [0; 2];
    stream.read_exact(&mut kind).unwrap();
    assert!([2, 3].contains(&kind[1]), "WELCOME or ABORT: {kind:?}");
    assert!(broker.is_alive());
}
