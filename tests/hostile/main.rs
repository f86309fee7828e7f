//! Peers that break every rule, on the port on which a normal stream goes on: the stream must not notice, the broker must stay up.

mod crowds;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use e_pigeon_core::{Client, ClientConfig, Destination, Message, Secret, Uuid};
use socket2::Socket;
use support::address::Address;
use support::broker::Broker;
use support::deadline::Deadline;
use support::pairing::{Pairing, in_all_pairings};
use support::program::{Input, Program, program_path};
use support::random::Random;
use support::receipts;
use support::recorder::{self, Recording};
use support::stage::Stage;
use support::steady::Steady;
use support::wire::{self, code};

/// A UUID that nobody in these tests has, for what is recorded: it must not get into the normal stream.
const NOBODY: &str = "6f1c1d0e-8a52-4f0e-9d0a-3b7c5e2f1a90";

/// A peer without manners.
struct Peer {
    socket: Socket,
    heard: Vec<u8>,
    since: Instant,
}

impl Peer {
    fn connect(broker: Address) -> Self {
        let socket = broker.connect().expect("the broker accepts");
        socket.set_nonblocking(true).expect("set the socket's mode");
        Self { socket, heard: Vec::new(), since: Instant::now() }
    }

    /// Writes what goes; the broker may have closed.
    fn say(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// Takes what has come; true where the broker has closed the connection.
    fn is_closed(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return true,
                Ok(read) => self.heard.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
    }

    /// Waits until the broker closes the connection.
    fn wait_closed(&mut self, by: &Deadline, what: &str) {
        by.wait(&format!("the broker to close after {what}"), || {
            if self.is_closed() {
                Ok(())
            } else {
                Err(format!("{} bytes heard, still open", self.heard.len()))
            }
        });
    }

    /// Waits until the broker closes the connection, which must be soon, and must be told why.
    fn expect_rejected(&mut self, by: &Deadline, what: &str, codes: &[u8]) {
        self.wait_closed(by, what);
        let took = self.since.elapsed();
        assert!(took < Duration::from_secs(5), "{what}: closed only after {took:?}");
        let told = wire::abort_code(&self.heard);
        let is_right = told.is_some_and(|told| codes.contains(&told));
        assert!(is_right, "{what}: told {told:?}, not one of {codes:?}; heard {:02x?}", self.heard);
    }
}

/// A `send` from its hello to its goodbye. It may be played again: its client and its session are gone.
fn record_a_send(stage: &Stage, by: &Deadline, broker: Address) -> Recording {
    let arguments = ["--to", NOBODY, "--until", "accepted", "--expire", "1s", "one", "two", "three"];
    let recording = recorder::conversation_of(stage, by, broker, "send", &arguments);
    assert!(recording.hello.len() > 40, "a hello holds a UUID and a secret: {recording:02x?}");
    assert!(recording.rest.len() > 11, "three messages were recorded: {recording:02x?}");
    recording
}

fn a_stream_does_not_notice_a_thousand_connections_that_say_nothing_and_close(pairing: Pairing) {
    let by = Deadline::within(40);
    let stage = Stage::of(pairing);
    let broker = Broker::start(&stage, &by, &[]);
    let mut stream = Steady::start(&stage, &by, broker.address(), "lobby");
    for number in 0..1000 {
        drop(Peer::connect(broker.address()));
        if number % 250 == 0 {
            stream.wait_progress(&by);
        }
    }
    stream.finish(&by);
    broker.stop(&by);
}

fn a_stream_does_not_notice_random_bytes_and_damaged_or_broken_off_conversations(pairing: Pairing) {
    let by = Deadline::within(60);
    let stage = Stage::of(pairing);
    let broker = Broker::start(&stage, &by, &["--handshake-timeout", "2s"]);
    let recording = record_a_send(&stage, &by, broker.address());
    let whole = [recording.hello.clone(), recording.rest.clone()].concat();
    let stream = Steady::start(&stage, &by, broker.address(), "lobby");
    let mut random = Random::new(4);

    let mut left_open = Vec::new();
    for _ in 0..200 {
        let mut peer = Peer::connect(broker.address());
        let len = random.index(2048);
        peer.say(&random.bytes(len));
        // Half of them go at once, half wait for the broker to end it.
        if random.one_in(2) {
            left_open.push(peer);
        }
    }
    for _ in 0..200 {
        let mut damaged = recording.hello.clone();
        for _ in 0..=random.index(3) {
            let at = random.index(damaged.len());
            damaged[at] ^= 1 << random.below(8);
        }
        Peer::connect(broker.address()).say(&damaged);
    }
    for _ in 0..200 {
        let len = random.index(whole.len());
        Peer::connect(broker.address()).say(&whole[..len]);
    }
    // In one piece, without ever waiting for an answer; then in single bytes.
    Peer::connect(broker.address()).say(&whole);
    let mut peer = Peer::connect(broker.address());
    for byte in whole.chunks(1) {
        peer.say(byte);
        thread::yield_now();
    }

    for peer in &mut left_open {
        peer.wait_closed(&by, "random bytes");
    }
    stream.finish(&by);
    broker.stop(&by);
}

fn whoever_breaks_the_protocol_is_told_why_and_loses_only_its_own_connection(pairing: Pairing) {
    let by = Deadline::within(60);
    let stage = Stage::of(pairing);
    // Long enough for it not to be the deadline that closes.
    let broker = Broker::start(&stage, &by, &["--handshake-timeout", "30s"]);
    let recording = record_a_send(&stage, &by, broker.address());
    let fresh = || recorder::hello_of(&stage, &by, "send", &["--to", NOBODY, "x"]);
    let hello = fresh();
    let body = wire::bodies(&hello).pop().expect("a hello is one frame");
    assert_eq!(wire::frame(&body), hello, "a hello is one frame");
    let (start, fields) = body.split_at(5);
    assert!(start == b"\x01EPGN" && fields[0] == 1, "a hello begins with magic and version: {body:02x?}");
    let items = recording.rest.as_slice();

    // A header whose varint is longer than it need be; the same for the version inside; a byte too many.
    let mut long_header = hello.clone();
    let header = hello.len() - body.len();
    long_header[header - 1] |= 0x80;
    long_header.insert(header, 0);
    let long_version = wire::frame(&[start, &[0x81, 0x00], &fields[1..]].concat());
    let trailing = wire::frame(&[body.as_slice(), &[0]].concat());
    let future = wire::frame(&[start, &[99], &fields[1..]].concat());

    // Kinds of frames that never belong where they are: a broker may not even know them there.
    let wrong_kind: &[u8] = &[code::UNEXPECTED_FRAME, code::MALFORMED];
    let cases: &[(&str, Vec<u8>, &[u8])] = &[
        ("an item before the hello", items.to_vec(), wrong_kind),
        ("a sign of life before the hello", wire::frame(&[0x08]), &[code::UNEXPECTED_FRAME]),
        ("two hellos", [fresh(), fresh()].concat(), &[code::UNEXPECTED_FRAME]),
        ("a welcome from a client", [fresh(), welcome()].concat(), &[code::UNEXPECTED_FRAME]),
        ("a receipt from a client", [fresh(), receipt()].concat(), wrong_kind),
        ("a header in too many bytes", long_header, &[code::MALFORMED]),
        ("a version in too many bytes", long_version, &[code::MALFORMED]),
        ("a byte too many in a hello", trailing, &[code::MALFORMED]),
        ("a frame of no bytes", vec![0], &[code::MALFORMED]),
        ("an unknown kind of frame", [fresh(), wire::frame(&[0xee])].concat(), wrong_kind),
        ("a version of the future", future, &[code::VERSION]),
        (
            "an acknowledgement of what was not sent",
            [fresh(), wire::frame(&[6, 5])].concat(),
            &[code::BAD_ACKNOWLEDGEMENT],
        ),
        ("a header of 4 GiB", vec![0x80, 0x80, 0x80, 0x80, 0x10], &[code::FRAME_TOO_LARGE]),
        ("a header of 4 GiB after a hello", [fresh(), vec![0xff; 8]].concat(), &[code::FRAME_TOO_LARGE]),
    ];
    let stream = Steady::start(&stage, &by, broker.address(), "lobby");
    for (what, bytes, codes) in cases {
        let mut peer = Peer::connect(broker.address());
        peer.say(bytes);
        peer.expect_rejected(&by, what, codes);
    }
    stream.finish(&by);
    broker.stop(&by);
}

/// A welcome as a broker would write it: epoch, session, not resumed, window, payload, slots, keep-alive, time to live.
fn welcome() -> Vec<u8> {
    wire::frame(&[&[0x02][..], &[7; 8], &[1, 0, 1, 1, 1, 1, 1, 1]].concat())
}

/// A final receipt as a broker would write it: id 1, one message, delivered to one of one.
fn receipt() -> Vec<u8> {
    wire::frame(&[0x31, 1, 1, 1, 1])
}

fn a_hello_that_claims_a_uuid_with_another_secret_is_refused_on_the_wire(pairing: Pairing) {
    let by = Deadline::within(30);
    let stage = Stage::of(pairing);
    let broker = Broker::start(&stage, &by, &[]);
    let stream = Steady::start(&stage, &by, broker.address(), "lobby");
    let hello = recorder::hello_of(&stage, &by, "listen", &[]);
    let mut owner = Peer::connect(broker.address());
    owner.say(&hello);
    by.wait("the welcome of the owner", || {
        let closed = owner.is_closed();
        if owner.heard.is_empty() { Err(format!("closed: {closed}")) } else { Ok(()) }
    });

    // Behind header, kind, magic, version and UUID stands the secret.
    let mut forged = hello.clone();
    let secret = hello.len() - wire::bodies(&hello)[0].len() + 1 + 4 + 1 + 16;
    forged[secret] ^= 1;
    let mut thief = Peer::connect(broker.address());
    thief.say(&forged);
    thief.expect_rejected(&by, "a wrong secret", &[code::WRONG_SECRET]);
    assert!(!owner.is_closed(), "the owner's connection stands");
    stream.finish(&by);
    broker.stop(&by);
}

fn a_hello_that_comes_a_byte_a_second_misses_its_deadline(pairing: Pairing) {
    let by = Deadline::within(30);
    let stage = Stage::of(pairing);
    let broker = Broker::start(&stage, &by, &["--handshake-timeout", "2s"]);
    let hello = recorder::hello_of(&stage, &by, "send", &["--to", NOBODY, "x"]);
    let stream = Steady::start(&stage, &by, broker.address(), "lobby");

    let mut slow = Peer::connect(broker.address());
    let mut mute = Peer::connect(broker.address());
    let mut said = 0;
    while !slow.is_closed() {
        let seconds = usize::try_from(slow.since.elapsed().as_secs()).expect("a few");
        assert!(seconds < 10, "a byte a second keeps the connection open");
        if said <= seconds {
            slow.say(&hello[said..=said]);
            said += 1;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let took = slow.since.elapsed();
    let plausible = Duration::from_millis(1500)..Duration::from_secs(6);
    assert!(plausible.contains(&took) && said >= 2, "closed after {took:?} and {said} bytes");
    let told = wire::abort_code(&slow.heard);
    assert_eq!(told, Some(code::HANDSHAKE_TIMEOUT), "the slow one is told why: {:02x?}", slow.heard);
    mute.expect_rejected(&by, "silence", &[code::HANDSHAKE_TIMEOUT]);
    stream.finish(&by);
    broker.stop(&by);
}

fn a_reader_that_never_reads_costs_only_those_who_write_to_it(pairing: Pairing) {
    let by = Deadline::within(40);
    let stage = Stage::of(pairing);
    let broker = Broker::start(&stage, &by, &[]);
    let stream = Steady::start(&stage, &by, broker.address(), "lobby");
    let hello = recorder::hello_of(&stage, &by, "listen", &["--set", "room=trap"]);
    let mut trap = Peer::connect(broker.address());
    trap.say(&hello);
    by.wait("the trap to be welcomed", || {
        trap.is_closed();
        if trap.heard.is_empty() { Err("nothing heard".to_owned()) } else { Ok(()) }
    });

    // More than fits into the sockets' buffers.
    let mut text = Vec::new();
    for _ in 0..60 {
        text.resize(text.len() + 60_000, b'x');
        text.push(b'\n');
    }
    let arguments = ["--to", "room=trap", "--expire", "3s", "--json"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Bytes(text));
    sender.expect_exit(&by, 1);
    let receipts = receipts::of(&sender);
    assert_eq!(receipts.len(), 60, "one final receipt per line. {}", sender.describe());
    for receipt in receipts {
        assert!(receipt.delivered == 0 && receipt.status == "expired", "{receipt:?}");
    }
    stream.finish(&by);
    drop(trap);
    broker.stop(&by);
}

fn a_broker_at_its_limit_of_descriptors_waits_and_accepts_again(pairing: Pairing) {
    let by = Deadline::within(40);
    let stage = Stage::of(pairing);
    let address = stage.address();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", program_path()]);
    let [option, place] = address.serve_option();
    command.args(["serve", &option, &place, "--handshake-timeout", "60s"]);
    let mut serve = Program::spawn(&stage, "serve", command, Input::Nothing);
    serve.wait_stdout_line(&by, &format!("listening on {address}"));
    let hello = recorder::hello_of(&stage, &by, "listen", &["--set", "room=hall"]);
    let mut stream = Steady::start(&stage, &by, address, "lobby");

    let peers: Vec<Peer> = (0..100).map(|_| Peer::connect(address)).collect();
    by.wait("the broker to reach its limit", || {
        let open = open_descriptors(serve.id());
        if open >= 60 { Ok(()) } else { Err(format!("{open} descriptors of 64")) }
    });
    // Those who are in go on; and the broker does not turn round and round on what it cannot accept.
    stream.wait_progress(&by);
    stream.finish(&by);
    thread::sleep(Duration::from_millis(200));
    let before = cpu_ticks(serve.id());
    thread::sleep(Duration::from_secs(1));
    let spent = cpu_ticks(serve.id()) - before;
    assert!(spent < 30, "{spent} of 100 ticks of a second spent with nothing to do");

    // Descriptors become free, and nobody new comes: the broker has to look by itself for those who wait.
    let (mut inside, mut waiting): (Vec<Peer>, Vec<Peer>) = (Vec::new(), Vec::new());
    for mut peer in peers {
        peer.say(&hello_of_another(&hello, inside.len() + waiting.len()));
        thread::sleep(Duration::from_millis(1));
        if inside.len() < 40 { inside.push(peer) } else { waiting.push(peer) }
    }
    by.wait("those who are in to be welcomed", || {
        for peer in &mut inside {
            peer.is_closed();
        }
        let welcome = inside.iter().filter(|peer| !peer.heard.is_empty()).count();
        if welcome == inside.len() { Ok(()) } else { Err(format!("{welcome} of {}", inside.len())) }
    });
    let heard = |waiting: &mut Vec<Peer>| {
        for peer in &mut *waiting {
            peer.is_closed();
        }
        waiting.iter().filter(|peer| !peer.heard.is_empty()).count()
    };
    let before = heard(&mut waiting);
    assert!(before < waiting.len(), "all have a place, so nothing is shown");
    drop(inside);
    by.wait("those who waited to be welcomed", || {
        let welcome = heard(&mut waiting);
        if welcome >= waiting.len().min(before + 30) {
            Ok(())
        } else {
            Err(format!("{welcome} of {}, {before} of them before", waiting.len()))
        }
    });
    assert_eq!(serve.ended(), None, "the broker died. {}", serve.describe());
    serve.expect_exit_on(&by, "TERM", 0);
}

/// How many files and sockets a process has open.
fn open_descriptors(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).expect("the process runs").count()
}

/// The processor time of a process, in hundredths of a second.
fn cpu_ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // The name, in parentheses, is the second field and may contain spaces; user and system time are the 14th and 15th.
    let (_, after_name) = stat.rsplit_once(')').expect("the name is in parentheses");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
    ticks(11) + ticks(12)
}

in_all_pairings! {
    a_stream_does_not_notice_a_thousand_connections_that_say_nothing_and_close,
    a_stream_does_not_notice_random_bytes_and_damaged_or_broken_off_conversations,
    whoever_breaks_the_protocol_is_told_why_and_loses_only_its_own_connection,
    a_hello_that_claims_a_uuid_with_another_secret_is_refused_on_the_wire,
    a_hello_that_comes_a_byte_a_second_misses_its_deadline,
    a_reader_that_never_reads_costs_only_those_who_write_to_it,
    a_broker_at_its_limit_of_descriptors_waits_and_accepts_again,
}

/// The HELLO of a client with another UUID. It stands behind header, kind, magic and version.
fn hello_of_another(hello: &[u8], number: usize) -> Vec<u8> {
    let mut other = hello.to_vec();
    let uuid = hello.len() - wire::bodies(hello)[0].len() + 1 + 4 + 1;
    other[uuid..uuid + 16].copy_from_slice(&(number as u128 + 1).to_be_bytes());
    other
}
