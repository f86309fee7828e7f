//! A fault of the Node.js original that needs time and real sockets: over a slow link it sent everything again and again.
//!
//! Its other faults are in `core/tests/original.rs`; what its server did not survive is in `hostile.rs`, and what a restart of it
//! forgot in `kills.rs`.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use support::address::Address;
use support::broker::Broker;
use support::deadline::Deadline;
use support::pairing::Pairing;
use support::program::{Input, Program};
use support::receipts;
use support::stage::Stage;
use support::text::{Text, assert_same};

/// How long each byte needs, in either direction. The original sent again after two seconds.
const DELAY: Duration = Duration::from_millis(2_200);
const LINES: usize = 300;

/// One connection to the broker, on which everything takes its time.
struct SlowLink {
    address: SocketAddr,
    /// Bytes to the broker, and from it.
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
}

impl SlowLink {
    fn to(broker: Address) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind the slow link");
        let address = listener.local_addr().expect("its address");
        let link = Self { address, up: Arc::default(), down: Arc::default() };
        let (up, down) = (link.up.clone(), link.down.clone());
        // It takes one connection: a second one would be a fault, and finds nobody.
        thread::spawn(move || {
            let (client, _) = listener.accept().expect("the client connects");
            let broker: TcpStream = broker.connect().expect("the broker accepts").into();
            let pairs = [(&client, &broker, up), (&broker, &client, down)];
            for (from, to, count) in pairs {
                let (from, to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
                delay(from, to, count);
            }
        });
        link
    }

    fn bytes(&self) -> (u64, u64) {
        (self.up.load(Ordering::SeqCst), self.down.load(Ordering::SeqCst))
    }
}

/// Carries bytes, and the end of them, in two threads: one that always reads, and one that waits.
fn delay(mut from: TcpStream, to: TcpStream, count: Arc<AtomicU64>) {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            count.fetch_add(read as u64, Ordering::SeqCst);
            if sender.send((Instant::now() + DELAY, buffer[..read].to_vec())).is_err() {
                return;
            }
        }
        let _ = sender.send((Instant::now() + DELAY, Vec::new()));
    });
    thread::spawn(move || deliver(&receiver, to));
}

fn deliver(receiver: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (at, bytes) in receiver {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        let is_over = bytes.is_empty() && to.shutdown(Shutdown::Write).is_ok();
        if is_over || to.write_all(&bytes).is_err() {
            return;
        }
    }
}

fn slow_links_make_no_duplicates_and_no_resend_storm(pairing: Pairing) {
    let by = Deadline::within(60);
    let stage = Stage::of(pairing);
    let broker = Broker::start(&stage, &by, &[]);
    let text = Text::uneven(5, LINES);
    let (to_listener, to_sender) = (SlowLink::to(broker.address()), SlowLink::to(broker.address()));
    let arguments = ["--set", "room=lobby", "--count", &LINES.to_string()];
    let mut listener =
        Program::client(&stage, "listen", "listen", to_listener.address, &arguments, Input::Nothing);
    let lines = Input::Bytes(text.bytes().to_vec());
    let mut sender =
        Program::send(&stage, "send", to_sender.address, &["--to", "room=lobby", "--json"], lines);
    sender.expect_exit(&by, 0);
    listener.expect_exit(&by, 0);
    assert_same("the listener's output", &listener.stdout(), text.bytes());
    receipts::assert_all_delivered(&receipts::of(&sender), LINES, 1);

    // The payloads once each way, some ten bytes around each, and what links say to each other.
    let most = text.len() + 20 * LINES as u64 + 2_000;
    let (heard, sent) = (to_listener.bytes(), to_sender.bytes());
    println!(
        "{} bytes of payload; {sent:?} up and down at the sender, {heard:?} at the listener",
        text.len()
    );
    assert!(sent.0 < most && heard.1 < most, "{sent:?} and {heard:?} bytes for {}", text.len());
    assert!(sent.1 < 20 * LINES as u64 + 2_000 && heard.0 < 2_000, "{sent:?} and {heard:?} bytes");
    broker.stop(&by);
}

#[test]
fn slow_links_make_no_duplicates_and_no_resend_storm_on_mio() {
    slow_links_make_no_duplicates_and_no_resend_storm(Pairing::MIO_MIO);
}

#[test]
fn slow_links_make_no_duplicates_and_no_resend_storm_on_smol() {
    slow_links_make_no_duplicates_and_no_resend_storm(Pairing::SMOL_SMOL);
}
