//! What stands in the way is told in one line that says what to do, with the right exit code, by every command.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use support::broker::Broker;
use support::deadline::Deadline;
use support::program::{Input, Program};
use support::stage::{Stage, free_address, text_of};
use support::wire::{self, code};

/// The clients, each with what it needs to have something to do.
const CLIENTS: [(&str, &[&str]); 3] =
    [("listen", &[]), ("send", &["--to", "everyone", "x"]), ("peers", &["--watch"])];

/// Runs a command line to its end, which must come with this exit code and one line; returns the line.
fn complaint(stage: &Stage, by: &Deadline, arguments: &[&str], code: i32) -> String {
    let mut program = Program::start(stage, "wrong", arguments, Input::Nothing);
    let seen = program.wait_exit(by);
    assert_eq!(seen, code, "exit code of {arguments:?}. {}", program.describe());
    assert_eq!(program.stdout_text(), "", "stdout is for data only: {arguments:?}");
    let mut complaints = program.complaints();
    assert_eq!(complaints.len(), 1, "{arguments:?}: {complaints:?}");
    let line = complaints.remove(0);
    assert!(line.starts_with("error: ") && !line.contains("panicked"), "{arguments:?}: {line}");
    line
}

#[test]
fn wrong_arguments_are_told_in_one_line_that_shows_what_is_right() {
    let by = Deadline::within(30);
    let stage = Stage::new();
    // What the line has to name besides the help.
    let wrong: &[(&[&str], &str)] = &[
        (&[], "choose one of serve, listen, send, peers, demo"),
        (&["fly"], "choose one of serve, listen, send, peers, demo"),
        (&["serve", "--listen", "nonsense"], "127.0.0.1:9999"),
        (&["serve", "--listen", "127.0.0.1"], "the port is missing"),
        (&["serve", "--listen", "127.0.0.1:99999"], "port 99999 is above 65535"),
        (&["serve", "--listen", "http://127.0.0.1:80"], "choose tcp, cobs, unix or serial"),
        (&["serve", "--listen", "unix:"], "/run/e-pigeon.sock"),
        (&["serve", "--unix", ""], "--unix <PATH>"),
        (&["serve", "--keep-alive", "often"], "500ms"),
        (&["serve", "--max-payload", "much"], "64KiB"),
        (&["serve", "--max-links", "0"], "--max-links is too small"),
        (&["serve", "--transport", "pigeon"], "mio"),
        (&["serve", "--transport", "mio", "--transport", "smol"], "--transport"),
        (&["serve", "everything"], "everything"),
        (&["listen", "--set", "room"], "name=alice"),
        (&["listen", "--set", "Room=lobby"], "name=alice"),
        (&["listen", "--count", "many"], "for example 3"),
        (&["listen", "--count", "0"], "for example 3"),
        (&["listen", "--connect", "nonsense"], "127.0.0.1:9999"),
        (&["listen", "--connect", "127.0.0.1:0"], "127.0.0.1:9999"),
        (&["listen", "hello"], "hello"),
        (&["listen", "--identity", "/nowhere/alice"], "choose a writable directory"),
        (&["listen", "--identity", "/"], "name a file that you may read"),
        (&["send", "hello"], "--to"),
        (&["send", "--to", "bob", "hello"], "name=alice"),
        (&["send", "--to", "everyone", "--until", "maybe", "hello"], "accepted"),
        (&["send", "--to", "everyone", "--expire", "soon", "hello"], "500ms"),
        (&["send", "--to", "everyone", "--expire", "0", "hello"], "give at least 1ms"),
        (&["send", "--to", "everyone", "--expire", "0s", "hello"], "give at least 1ms"),
        (&["send", "--to", "everyone", "--give-up-after", "never", "hello"], "500ms"),
        (&["send", "--to", "everyone", "--transport", "", "hello"], "mio"),
        // The first of two is not forgotten: it might have been meant as well.
        (
            &["send", "--to", "room=a", "--to", "room=b", "hello"],
            "'--to <DEST>' cannot be used multiple times",
        ),
        (&["peers", "--connect", "serial:/dev/ttyS0"], "/dev/ttyUSB0@115200"),
        (&["peers", "--connect", "serial:/dev/ttyS0@0"], "no rate of 0 baud"),
        (&["peers", "--connect", "cobs:localhost"], "cobs:127.0.0.1:9999"),
        (&["serve", "--listen", "serial:/dev/ttyS0"], "/dev/ttyUSB0@115200"),
        (&["serve", "--listen", "cobs:localhost"], "cobs:127.0.0.1:9999"),
        (&["serve", "--serial", "/dev/ttyS0"], "/dev/ttyUSB0@115200"),
        (&["serve", "--serial", "/dev/ttyS0@123456789"], "no rate of 123456789 baud"),
        (&["peers", "--set", "=1"], "name=alice"),
        (&["peers", "everyone"], "everyone"),
        (&["demo", "--seed", "lucky"], "from 0 to 18446744073709551615"),
        (&["demo", "--connect", "127.0.0.1:1"], "--connect"),
        (&["demo", "quickly"], "quickly"),
    ];
    for (arguments, named) in wrong {
        let code = if arguments.contains(&"--identity") { 1 } else { 2 };
        let line = complaint(&stage, &by, arguments, code);
        assert!(line.contains(named), "{arguments:?}: no {named:?} in {line:?}");
        // An option whose value is missing.
        let last_is_option = arguments.len() > 2 && arguments[arguments.len() - 2].starts_with("--");
        if last_is_option {
            let line = complaint(&stage, &by, &arguments[..arguments.len() - 1], 2);
            assert!(line.contains(arguments[arguments.len() - 2]), "{line:?}");
        }
    }
}

#[test]
fn an_address_that_cannot_be_had_is_told_with_what_to_do_instead() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let taken = broker.address().to_string();
    let missing = stage.path("no-such-folder").join("socket");
    for (arguments, named) in [
        (&["serve", "--listen", &taken][..], "choose another port with --listen"),
        // An address of documentation, which no machine has.
        (&["serve", "--listen", "192.0.2.1:9999"], "choose an address of this machine with --listen"),
        (&["serve", "--unix", text_of(&missing)], "create its directory"),
        (&["serve", "--serial", "/dev/no-such-line@9600"], "connect it"),
        (&["serve", "--serial", "/dev/null@9600"], "this is not a serial line"),
    ] {
        let line = complaint(&stage, &by, arguments, 1);
        assert!(line.contains(named) && line.contains(arguments[2]), "{line:?}");
    }
    broker.stop(&by);
}

#[test]
fn a_broker_that_is_not_there_is_waited_for_after_one_line_that_says_what_to_do() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let nobody = free_address();
    for (command, arguments) in CLIENTS {
        let mut client = Program::client(&stage, command, command, nobody, arguments, Input::Nothing);
        client.wait_said(&by, &format!("waiting for {nobody}: "), 1);
        let errors = client.stderr();
        assert!(
            errors.trim_end().ends_with("start a broker there, or name another with --connect"),
            "{errors}"
        );
        assert_eq!(errors.lines().count(), 1, "{errors}");
        client.expect_exit_on(&by, "INT", if command == "send" { 130 } else { 0 });
    }
    let arguments = ["--to", "everyone", "--give-up-after", "200ms", "x"];
    let mut sender = Program::send(&stage, "send", nobody, &arguments, Input::Nothing);
    sender.expect_exit(&by, 3);
    let error = format!("error: no broker at {nobody} within 200ms (--give-up-after)");
    assert_eq!(sender.complaints(), ["1 message: 1 unanswered".to_owned(), error]);
}

/// A broker that speaks no version but 9, whatever it is told.
fn broker_of_another_version() -> SocketAddr {
    const ABORT: u8 = 0x03;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let _ = socket.read(&mut [0; 1024]);
            let _ = socket.write_all(&wire::frame(&[ABORT, code::VERSION, 9]));
            // The client closes when it has read that.
            let _ = socket.read_to_end(&mut Vec::new());
        }
    });
    address
}

#[test]
fn a_broker_of_another_protocol_version_ends_every_client_with_one_line() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = broker_of_another_version();
    for (command, arguments) in CLIENTS {
        let mut client = Program::client(&stage, command, command, broker, arguments, Input::Nothing);
        client.expect_exit(&by, 1);
        let complaints = client.complaints();
        let errors: Vec<_> = complaints.iter().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{command}: {complaints:?}");
        assert!(errors[0].contains("version 9"), "{command}: {errors:?}");
        assert!(errors[0].contains("use a client of that version"), "{command}: {errors:?}");
        assert_eq!(client.said("waiting for "), 0, "there is nothing to wait for. {}", client.describe());
        assert_eq!(client.stdout_text(), "");
    }
}
