//! The real program over Unix sockets: the same promises as over TCP, and care for the file of the socket.

#![cfg(unix)]

mod support;

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use support::deadline::Deadline;
use support::json;
use support::pairing::{Pairing, in_all_pairings};
use support::program::{Input, Program};
use support::receipts;
use support::stage::{Stage, free_address, text_of};
use support::text::{Text, assert_same};

const LINES: usize = 9_000;
const KILLS: usize = 2;

/// Starts a broker on a Unix socket, and waits until it accepts.
fn serve(stage: &Stage, by: &Deadline, path: &Path, options: &[&str]) -> Program {
    let mut arguments = vec!["serve", "--unix", text_of(path)];
    arguments.extend_from_slice(options);
    let mut program = Program::start(stage, "serve", &arguments, Input::Nothing);
    program.wait_stdout_line(by, &format!("listening on {}", address_of(path)));
    program
}

fn address_of(path: &Path) -> String {
    format!("unix:{}", text_of(path))
}

/// The number of the socket's file.
fn inode(path: &Path) -> u64 {
    let found = fs::symlink_metadata(path).expect("the file of the socket");
    assert!(found.file_type().is_socket(), "{found:?}");
    found.ino()
}

/// Writes what it is given, slowly, on a thread of its own; dropping the sender ends the input.
fn feed_in_parts(mut pipe: ChildStdin) -> mpsc::Sender<Vec<u8>> {
    let (feeder, parts) = mpsc::channel::<Vec<u8>>();
    thread::spawn(move || {
        for part in parts {
            for chunk in part.chunks(8 * 1024) {
                if pipe.write_all(chunk).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    });
    feeder
}

fn index(position: u64) -> usize {
    usize::try_from(position).expect("a short text")
}

/// Runs a broker that cannot listen, and returns its complaint: one line, and nothing on stdout.
fn expect_refusal(stage: &Stage, by: &Deadline, path: &str, code: i32) -> String {
    let mut program = Program::start(stage, "refused", &["serve", "--unix", path], Input::Nothing);
    program.expect_exit(by, code);
    let complaints = program.complaints();
    assert!(complaints.len() == 1 && complaints[0].contains(path), "one line: {complaints:?}");
    assert_eq!(program.stdout_text(), "", "it never listened");
    complaints.concat()
}

fn a_stream_to_two_listeners_survives_kills_of_the_broker_and_the_file_it_leaves(pairing: Pairing) {
    let by = Deadline::within(100);
    let stage = Stage::of(pairing);
    let text = Text::uneven(3, LINES);
    let path = stage.path("broker");
    let options = ["--settle", "3s", "--keep-alive", "500ms"];
    let mut broker = serve(&stage, &by, &path, &options);

    let address = address_of(&path);
    let count = LINES.to_string();
    let mut listeners = Vec::new();
    for name in ["anna", "bert"] {
        let arguments = ["--set", "room=lobby", "--count", &count];
        listeners.push(Program::listen(&stage, &by, name, &address, &arguments));
    }
    let arguments = ["--to", "room=lobby", "--json"];
    let mut sender = Program::send(&stage, "send", &address, &arguments, Input::Piped);
    let feeder = feed_in_parts(sender.take_stdin());

    // One part for each life of the broker, which ends in the middle of it.
    let end_of = |part: usize| text.len_of(part * LINES / (KILLS + 1));
    let mut in_mid_stream = 0;
    for kill in 1..=KILLS {
        let (from, to) = (end_of(kill - 1), end_of(kill));
        feeder.send(text.bytes()[index(from)..index(to)].to_vec()).expect("the feeder waits");
        for listener in &mut listeners {
            listener.wait_stdout_len(&by, from + (to - from) / 3);
        }
        assert_eq!(broker.ended(), None, "the broker died by itself. {}", broker.describe());
        broker.kill();
        for listener in &mut listeners {
            listener.wait_said(&by, &format!("waiting for {address}: "), kill);
            in_mid_stream += usize::from(listener.stdout_len() < to);
        }
        let nobody = UnixStream::connect(&path).expect_err("the file is there, the broker is not");
        assert_eq!(nobody.kind(), ErrorKind::ConnectionRefused);
        broker = serve(&stage, &by, &path, &options);
    }
    // On a starved machine a kill may come when its part is through.
    assert!(in_mid_stream > 0, "no kill came in mid-stream");
    feeder.send(text.bytes()[index(end_of(KILLS))..].to_vec()).expect("the feeder waits");
    drop(feeder);

    for listener in &mut listeners {
        listener.expect_exit(&by, 0);
        assert_same("a listener's output", &listener.stdout(), text.bytes());
        let connected = listener.said(&format!("connected to {address} as "));
        assert_eq!(connected, KILLS + 1, "{}", listener.stderr());
    }
    sender.expect_exit(&by, 0);
    receipts::assert_all_delivered(&receipts::of(&sender), LINES, 2);
    broker.expect_exit_on(&by, "TERM", 0);
    assert!(!path.exists(), "a broker that ends in order takes its file along");
}

fn a_path_that_cannot_be_had_is_said_in_one_line_and_left_alone(pairing: Pairing) {
    let by = Deadline::within(30);
    let stage = Stage::of(pairing);
    let path = stage.path("broker");
    let mut broker = serve(&stage, &by, &path, &[]);
    let before = inode(&path);
    let told = expect_refusal(&stage, &by, text_of(&path), 1);
    assert!(told.contains("in use; stop the program"), "{told}");
    assert_eq!(inode(&path), before, "the file of the living is not touched");
    // Whom it can be found by, it still serves.
    let address = address_of(&path);
    let mut listener = Program::listen(&stage, &by, "listen", &address, &["--count", "1"]);
    let mut sender = Program::send(&stage, "send", &address, &["--to", "everyone", "hello"], Input::Nothing);
    sender.expect_exit(&by, 0);
    listener.expect_exit(&by, 0);
    assert_eq!(listener.stdout_text(), "hello\n");
    broker.expect_exit_on(&by, "INT", 0);
    assert!(!path.exists());

    let plain = stage.path("plain");
    fs::write(&plain, "precious").expect("written");
    let told = expect_refusal(&stage, &by, text_of(&plain), 1);
    assert!(told.contains("not a socket; move it away"), "{told}");
    assert_eq!(fs::read_to_string(&plain).expect("still there"), "precious");

    let told = expect_refusal(&stage, &by, text_of(&stage.path("missing/broker")), 1);
    assert!(told.contains("create its directory"), "{told}");
    let long = stage.path(&"x".repeat(108));
    let told = expect_refusal(&stage, &by, text_of(&long), 2);
    assert!(told.contains("a socket has room for 10"), "{told}");

    // It gives back what it had got already.
    let arguments = ["serve", "--unix", text_of(&path), "--unix", text_of(&plain)];
    let mut halfway = Program::start(&stage, "halfway", &arguments, Input::Nothing);
    halfway.expect_exit(&by, 1);
    assert!(!path.exists(), "{}", halfway.describe());
}

fn one_broker_serves_clients_over_tcp_and_over_unix_sockets(pairing: Pairing) {
    let by = Deadline::within(60);
    let stage = Stage::of(pairing);
    let (first, second): (PathBuf, PathBuf) = (stage.path("first"), stage.path("a \"second\" one"));
    let tcp = free_address().to_string();
    let arguments =
        ["serve", "--listen", &tcp, "--unix", text_of(&first), "--json", "--unix", text_of(&second)];
    let mut broker = Program::start(&stage, "serve", &arguments, Input::Nothing);
    let addresses = [tcp, address_of(&first), address_of(&second)];
    let lines = by.wait("three lines of `serve --json`", || {
        let output = broker.stdout_text();
        if output.matches('\n').count() == 3 { Ok(json::read_lines(&output)) } else { Err(broker.describe()) }
    });
    for (line, address) in lines.iter().zip(&addresses) {
        assert_eq!((line.text("event"), line.text("address")), ("listening", address.as_str()));
    }

    // One after the other, so that the order is known; each is for all three.
    let texts: Vec<Text> = (0..3).map(|seed| Text::uneven(seed, 1_000)).collect();
    let expected: Vec<u8> = texts.iter().flat_map(|text| text.bytes().to_vec()).collect();
    let mut listeners = Vec::new();
    for (name, address) in ["anna", "bert", "cleo"].into_iter().zip(&addresses) {
        let arguments = ["--set", "room=lobby", "--count", "3000"];
        listeners.push(Program::listen(&stage, &by, name, address, &arguments));
    }
    for (text, address) in texts.iter().zip(&addresses) {
        let arguments = ["--to", "room=lobby", "--json"];
        let input = Input::Bytes(text.bytes().to_vec());
        let mut sender = Program::send(&stage, "send", address, &arguments, input);
        sender.expect_exit(&by, 0);
        assert_eq!(sender.said(&format!("connected to {address} as ")), 1, "{}", sender.stderr());
        receipts::assert_all_delivered(&receipts::of(&sender), 1_000, 3);
    }
    for listener in &mut listeners {
        listener.expect_exit(&by, 0);
        assert_same("a listener's output", &listener.stdout(), &expected);
    }
    broker.expect_exit_on(&by, "TERM", 0);
    assert!(!first.exists() && !second.exists());
}

fn a_client_waits_for_a_broker_that_is_not_there_yet_and_a_path_alone_opens_no_port(pairing: Pairing) {
    let by = Deadline::within(20);
    let stage = Stage::of(pairing);
    let path = stage.path("broker");
    let address = address_of(&path);
    let mut listener =
        Program::client(&stage, "listen", "listen", &address, &["--count", "1"], Input::Nothing);
    listener.wait_said(&by, &format!("waiting for {address}: no such file or directory"), 1);
    let mut broker = serve(&stage, &by, &path, &[]);
    assert_eq!(broker.stdout_text(), format!("listening on {address}\n"), "and nowhere else");
    let mut sender = Program::send(&stage, "send", &address, &["--to", "everyone", "hello"], Input::Nothing);
    sender.expect_exit(&by, 0);
    listener.expect_exit(&by, 0);
    assert_eq!(listener.stdout_text(), "hello\n");
    broker.expect_exit_on(&by, "TERM", 0);
}

in_all_pairings! { over tcp
    a_stream_to_two_listeners_survives_kills_of_the_broker_and_the_file_it_leaves,
    a_path_that_cannot_be_had_is_said_in_one_line_and_left_alone,
    one_broker_serves_clients_over_tcp_and_over_unix_sockets,
    a_client_waits_for_a_broker_that_is_not_there_yet_and_a_path_alone_opens_no_port,
}
