//! The program at its edges: outputs that fail, that nobody reads, or whose reader goes; and signals meanwhile.

mod support;

use std::fs::OpenOptions;
use std::io::{PipeReader, Read, pipe};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::broker::Broker;
use support::deadline::Deadline;
use support::pairing::Pairing;
use support::program::{self, Input, Program, program_path};
use support::receipts;
use support::stage::{Stage, free_address, text_of};

/// "Within a second", on a machine that has other things to do.
const SECOND: Duration = Duration::from_millis(2500);

/// A disk without room.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("a disk that is full").into()
}

/// The command line of a client, on the transport of the stage.
fn client(stage: &Stage, command: &str, address: impl ToString, arguments: &[&str]) -> Command {
    let mut line = program::command();
    let transport = stage.pairing.transport(command).unwrap_or("mio");
    line.args([command, "--transport", transport, "--connect", &address.to_string()]).args(arguments);
    line
}

/// Starts a broker whose stderr goes there.
fn serve_with(stage: &Stage, by: &Deadline, level: &str, stderr: impl Into<Stdio>) -> (Program, String) {
    let address = free_address().to_string();
    let transport = stage.pairing.transport("serve").unwrap_or("mio");
    let mut command = Command::new(program_path());
    command.args(["serve", level, "--transport", transport, "--listen", &address]);
    let mut program = Program::spawn_with(stage, "serve", command, Input::Nothing, |line| {
        line.stderr(stderr);
    });
    program.wait_stdout_line(by, &format!("listening on {address}"));
    (program, address)
}

/// Sends so many short lines to a listener, each of which must arrive.
fn converse(stage: &Stage, by: &Deadline, address: &str, lines: usize) {
    let mut listener = Program::listen(stage, by, "listen", address, &["--set", "room=lobby"]);
    let text: Vec<u8> = (0..lines).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    let arguments = ["--to", "room=lobby", "--json"];
    let mut sender = Program::send(stage, "send", address, &arguments, Input::Bytes(text));
    sender.expect_exit(by, 0);
    receipts::assert_all_delivered(&receipts::of(&sender), lines, 1);
    listener.expect_exit_on(by, "TERM", 0);
}

/// Sends a signal, after which the program must end with this code within a second.
fn expect_prompt_exit(program: &mut Program, by: &Deadline, signal: &str, code: i32) {
    let before = Instant::now();
    program.expect_exit_on(by, signal, code);
    assert!(before.elapsed() < SECOND, "SIG{signal} took {:?}", before.elapsed());
}

#[test]
fn field_f1_a_log_line_that_cannot_be_written_ends_neither_broker_nor_client() {
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(40);
        let stage = Stage::of(pairing);
        let (reader, closed) = pipe().expect("a pipe");
        drop(reader);
        for stderr in [full(), closed.into()] {
            let (mut serve, address) = serve_with(&stage, &by, "-vv", stderr);
            converse(&stage, &by, &address, 3);
            let command =
                client(&stage, "send", &address, &["-vv", "--to", "everyone", "--only-connected", "x"]);
            let mut sender = Program::spawn_with(&stage, "send", command, Input::Nothing, |line| {
                line.stderr(full());
            });
            // Nobody is there to get it.
            sender.expect_exit(&by, 1);
            serve.expect_exit_on(&by, "TERM", 0);
        }
    }
}

#[test]
fn field_f2_a_broker_whose_log_nobody_reads_goes_on_and_says_later_what_it_dropped() {
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(60);
        let stage = Stage::of(pairing);
        let (mut reader, stderr) = pipe().expect("a pipe");
        let (mut serve, address) = serve_with(&stage, &by, "-vvv", stderr);
        // Far more than a pipe and the program itself keep.
        converse(&stage, &by, &address, 4_000);
        let reading = std::thread::spawn(move || {
            let mut log = String::new();
            let mut chunk = [0; 4096];
            while !log.contains("dropped here, because stderr did not take them") {
                match reader.read(&mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => log.push_str(&String::from_utf8_lossy(&chunk[..count])),
                }
            }
            (log, reader)
        });
        let (log, reader): (String, PipeReader) = {
            by.wait("the count of what was dropped", || {
                if reading.is_finished() { Ok(()) } else { Err("none".into()) }
            });
            reading.join().expect("read")
        };
        let end: String = log.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
        assert!(log.contains("dropped here"), "{end}");
        // Full again, and still a signal ends it.
        converse(&stage, &by, &address, 4_000);
        serve.expect_exit_on(&by, "TERM", 0);
        drop(reader);
    }
}

#[test]
fn field_f4_signals_end_clients_whose_output_nobody_reads() {
    let text: Vec<u8> = (0..4000).flat_map(|number| format!("{number:0100}\n").into_bytes()).collect();
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(60);
        let stage = Stage::of(pairing);
        let mut broker = Broker::start(&stage, &by, &["--keep-alive", "200ms"]);
        let address = broker.address();
        let (reader, writer) = pipe().expect("a pipe");
        let start = |name: &str, arguments: &[&str], input: Input| {
            let writer = writer.try_clone().expect("a second end");
            let command = client(&stage, name, address, arguments);
            let mut program = Program::spawn_with(&stage, name, command, input, |line| {
                line.stdout(writer);
            });
            program.wait_connected(&by);
            program
        };
        let mut listener = start("listen", &["--set", "room=lobby"], Input::Nothing);
        let mut watcher = start("peers", &["--watch", "--json"], Input::Nothing);
        let arguments = ["--to", "room=lobby", "--expire", "2s"];
        let mut sender = Program::send(&stage, "fill", address, &arguments, Input::Bytes(text.clone()));
        // What was not written is not acknowledged.
        sender.expect_exit(&by, 1);
        assert!(sender.stderr().contains("expired"), "{}", sender.describe());
        // Ten keep-alives have passed by now.
        let seen = sessions(&stage, &by, address);
        assert!(seen.contains(" connected room=lobby"), "keep-alive goes on: {seen}");
        for program in [&listener, &watcher] {
            assert_eq!(program.said("waiting for "), 0, "keep-alive goes on. {}", program.describe());
        }
        let mut json =
            start("send", &["--to", "everyone", "--only-connected", "--json"], Input::Bytes(text.clone()));
        // Its receipts are there when the broker has nothing more in hand.
        json.wait_connected(&by);
        expect_prompt_exit(&mut listener, &by, "TERM", 0);
        expect_prompt_exit(&mut watcher, &by, "HUP", 0);
        expect_prompt_exit(&mut json, &by, "INT", 130);
        drop(reader);
        assert_eq!(broker.program().ended(), None);
        broker.stop(&by);
    }
}

#[test]
fn program_4_a_reader_that_pauses_loses_nothing_and_costs_no_connection() {
    const LINES: usize = 20_000;
    let text: Vec<u8> = (0..LINES).flat_map(|number| format!("{number:060}\n").into_bytes()).collect();
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(60);
        let stage = Stage::of(pairing);
        let broker = Broker::start(&stage, &by, &["--keep-alive", "200ms"]);
        let (mut reader, writer) = pipe().expect("a pipe");
        let command =
            client(&stage, "listen", broker.address(), &["--set", "room=lobby", "--count", "20000"]);
        let mut listener = Program::spawn_with(&stage, "listen", command, Input::Nothing, |line| {
            line.stdout(writer);
        });
        listener.wait_connected(&by);
        let arguments = ["--to", "room=lobby", "--json"];
        let mut sender =
            Program::send(&stage, "send", broker.address(), &arguments, Input::Bytes(text.clone()));
        // As long as it takes until some are delivered, and then several keep-alives without a look.
        sender.wait_stdout_len(&by, 100);
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(sender.ended(), None, "all of it in a pipe? {}", sender.describe());
        let mut printed = Vec::new();
        reader.read_to_end(&mut printed).expect("read");
        listener.expect_exit(&by, 0);
        sender.expect_exit(&by, 0);
        receipts::assert_all_delivered(&receipts::of(&sender), LINES, 1);
        assert!(printed == text, "{} bytes of {}", printed.len(), text.len());
        assert_eq!(listener.stderr().lines().count(), 1, "{}", listener.stderr());
        broker.stop(&by);
    }
}

#[test]
fn field_s2_listen_ends_with_its_reader_and_leaves_no_message_to_refuse() {
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(30);
        let stage = Stage::of(pairing);
        let broker = Broker::start(&stage, &by, &[]);
        let (mut reader, writer) = pipe().expect("a pipe");
        let command = client(&stage, "listen", broker.address(), &["--set", "room=lobby"]);
        let mut listener = Program::spawn_with(&stage, "listen", command, Input::Nothing, |line| {
            line.stdout(writer);
        });
        listener.wait_connected(&by);
        let arguments = ["--to", "room=lobby", "first"];
        let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
        sender.expect_exit(&by, 0);
        let mut line = [0; 6];
        reader.read_exact(&mut line).expect("read");
        assert_eq!(&line, b"first\n");
        drop(reader);
        // No message is needed for that.
        listener.expect_exit(&by, 0);
        assert_eq!(listener.complaints(), Vec::<String>::new(), "quietly");
        let arguments = ["--to", "room=lobby", "--expire", "300ms", "--json", "second"];
        let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
        sender.expect_exit(&by, 1);
        assert_eq!(receipts::of(&sender)[0].status, "expired", "its session is gone. {}", sender.describe());
        broker.stop(&by);
    }
}

/// The sessions that `peers` lists, one a line.
fn sessions(stage: &Stage, by: &Deadline, address: impl ToString) -> String {
    let address = address.to_string();
    let mut peers = Program::client(stage, "peers", "peers", address, &[], Input::Nothing);
    peers.expect_exit(by, 0);
    peers.stdout_text()
}

#[test]
fn field_s3_a_full_disk_ends_listen_and_its_session() {
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(30);
        let stage = Stage::of(pairing);
        let broker = Broker::start(&stage, &by, &[]);
        let command = client(&stage, "listen", broker.address(), &["--set", "room=lobby"]);
        let mut listener = Program::spawn_with(&stage, "listen", command, Input::Nothing, |line| {
            line.stdout(full());
        });
        listener.wait_connected(&by);
        let arguments = ["--to", "room=lobby", "--expire", "5s", "--json", "x"];
        let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
        listener.expect_exit(&by, 1);
        assert_eq!(listener.complaints(), ["error: cannot write to stdout: no space left on device"]);
        sender.expect_exit(&by, 1);
        let receipt = &receipts::of(&sender)[0];
        assert_eq!(
            (receipt.delivered, receipt.recipients),
            (0, 1),
            "not printed, not delivered: {receipt:?}"
        );
        assert_eq!(sessions(&stage, &by, broker.address()), "", "no ghost");
        broker.stop(&by);
    }
}

#[test]
fn newcomer_2_and_program_15_a_hangup_leaves_neither_session_nor_socket_file() {
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(30);
        let stage = Stage::of(pairing);
        let socket = stage.path("socket");
        let address = format!("unix:{}", text_of(&socket));
        let arguments = ["serve", "--listen", &address];
        let mut serve = Program::start(&stage, "serve", &arguments, Input::Nothing);
        serve.wait_stdout_line(&by, &format!("listening on {address}"));
        let mut listener = Program::listen(&stage, &by, "listen", &address, &["--set", "room=lobby"]);
        assert!(sessions(&stage, &by, &address).contains("room=lobby"));
        listener.expect_exit_on(&by, "HUP", 0);
        assert_eq!(sessions(&stage, &by, &address), "", "no ghost");
        let arguments = ["--to", "room=lobby", "hello?"];
        let mut sender = Program::send(&stage, "send", &address, &arguments, Input::Nothing);
        sender.wait_connected(&by);
        sender.expect_exit_on(&by, "HUP", 129);
        assert!(socket.exists());
        serve.expect_exit_on(&by, "HUP", 0);
        assert!(!socket.exists(), "the socket file is left");
    }
}

#[test]
fn program_15_nohup_is_respected() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let address = free_address().to_string();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" serve --listen \"$1\"", program_path(), &address]);
    let mut serve = Program::spawn(&stage, "serve", command, Input::Nothing);
    serve.wait_stdout_line(&by, &format!("listening on {address}"));
    serve.signal("HUP");
    converse(&stage, &by, &address, 3);
    serve.expect_exit_on(&by, "TERM", 0);
}

#[test]
fn field_s8_a_broker_that_cannot_say_where_it_listens_ends() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let mut command = Command::new(program_path());
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let mut serve = Program::spawn_with(&stage, "serve", command, Input::Nothing, |line| {
        line.stdout(full());
    });
    serve.expect_exit(&by, 1);
    assert_eq!(serve.complaints(), ["error: cannot write to stdout: no space left on device"]);
}

#[test]
fn help_that_cannot_be_printed_is_an_error() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let mut command = Command::new(program_path());
    command.arg("--help");
    let mut help = Program::spawn_with(&stage, "help", command, Input::Nothing, |line| {
        line.stdout(full());
    });
    help.expect_exit(&by, 1);
    assert_eq!(help.complaints(), ["error: cannot write to stdout: no space left on device"]);
}

#[test]
fn the_second_signal_ends_a_broker_that_still_says_goodbye() {
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(30);
        let stage = Stage::of(pairing);
        let mut broker = Broker::start(&stage, &by, &[]);
        let listener = Program::listen(&stage, &by, "listen", broker.address(), &[]);
        // It cannot close its end, so the broker waits for it, for a second and more.
        listener.signal("STOP");
        let before = Instant::now();
        broker.program().signal("TERM");
        broker.program().signal("INT");
        let mut times = 0;
        let code = by.wait("the end of the broker", || {
            // Two that come at once may count as one.
            if before.elapsed() > Duration::from_millis(100) && times == 0 {
                times += 1;
                broker.program().signal("TERM");
            }
            broker.program().ended().ok_or_else(|| "running".into())
        });
        assert_eq!(code, 0);
        assert!(before.elapsed() < Duration::from_millis(900), "{:?}", before.elapsed());
        listener.signal("CONT");
    }
}
