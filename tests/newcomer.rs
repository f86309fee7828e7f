//! What somebody stumbles over who uses the program for the first time: hints, help, waiting, and what a terminal shows.

mod support;

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use support::broker::Broker;
use support::deadline::Deadline;
use support::pairing::Pairing;
use support::program::{Input, Program, program_path};
use support::receipts;
use support::stage::{Stage, free_address, text_of};

/// What a short run prints on stdout.
fn output(arguments: &[&str], code: i32) -> String {
    let output =
        Command::new(program_path()).args(arguments).stdin(Stdio::null()).output().expect("run the program");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A terminal: the end that shows it, and the one for a program.
fn terminal() -> (File, File) {
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&near).expect("granted");
    unlockpt(&near).expect("unlocked");
    let path = ptsname(&near, Vec::new()).expect("a name").into_string().expect("text");
    let far = OpenOptions::new().read(true).write(true).open(path).expect("the other end");
    (near.into(), far)
}

/// Reads a terminal until it shows this.
fn read_until(screen: &mut File, wanted: &str) -> String {
    let mut shown = String::new();
    let mut chunk = [0; 1024];
    while !shown.contains(wanted) {
        let count = screen.read(&mut chunk).expect("the terminal is open");
        shown.push_str(&String::from_utf8_lossy(&chunk[..count]));
    }
    shown
}

#[test]
fn newcomer_1_and_15_help_names_exit_codes_and_is_a_command() {
    for command in ["serve", "listen", "send", "peers"] {
        let help = output(&[command, "--help"], 0);
        assert!(help.contains("Exit codes:\n  0 "), "{help}");
        assert_eq!(output(&["help", command], 0), help);
        assert_eq!(help.contains("--give-up-after"), command != "serve");
    }
    assert!(output(&["help"], 0).contains("serve"));
    // Newcomer 3.
    assert!(output(&["serve", "--help"], 0).contains("SIGUSR1"));
}

#[test]
fn newcomer_8_clients_give_up_with_3_without_a_broker_and_with_1_without_an_end() {
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(30);
        let stage = Stage::of(pairing);
        let nobody = free_address();
        for (command, arguments) in [
            ("listen", &[][..]),
            ("send", &["--to", "everyone", "x"]),
            ("peers", &[]),
            ("peers", &["--watch"]),
        ] {
            let arguments = [arguments, &["--give-up-after", "300ms"]].concat();
            let mut client = Program::client(&stage, command, command, nobody, &arguments, Input::Nothing);
            client.expect_exit(&by, 3);
            let complaints = client.complaints();
            let error = format!("error: no broker at {nobody} within 300ms (--give-up-after)");
            assert_eq!(complaints.last(), Some(&error), "{complaints:?}");
        }
        let broker = Broker::start(&stage, &by, &[]);
        for (command, arguments) in
            [("listen", &["--count", "1"][..]), ("send", &["--to", "room=empty", "x"])]
        {
            let arguments = [arguments, &["--give-up-after", "2s"]].concat();
            let address = broker.address();
            let mut client = Program::client(&stage, command, command, address, &arguments, Input::Nothing);
            client.expect_exit(&by, 1);
            let complaints = client.complaints();
            let error = "error: not done within 2s (--give-up-after)";
            assert_eq!(complaints.last().map(String::as_str), Some(error), "{complaints:?}");
        }
        // They have said goodbye all the same.
        let mut peers = Program::client(&stage, "peers", "peers", broker.address(), &[], Input::Nothing);
        peers.expect_exit(&by, 0);
        assert_eq!(peers.stdout_text(), "");
        // What has no end of its own goes on once there is a broker.
        let arguments = ["--set", "room=lobby", "--give-up-after", "2s"];
        let mut listener = Program::listen(&stage, &by, "listen", broker.address(), &arguments);
        let before = Instant::now();
        while before.elapsed() < Duration::from_millis(2200) {
            assert_eq!(listener.ended(), None, "{}", listener.describe());
            std::thread::sleep(Duration::from_millis(50));
        }
        listener.expect_exit_on(&by, "TERM", 0);
        broker.stop(&by);
    }
}

#[test]
fn program_11_a_message_that_not_all_get_ends_send_with_1() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let mut anna = Program::listen(&stage, &by, "anna", broker.address(), &["--set", "room=lobby"]);
    let stopped = Program::listen(&stage, &by, "stopped", broker.address(), &["--set", "room=lobby"]);
    stopped.signal("STOP");
    let arguments = ["--to", "room=lobby", "--expire", "500ms", "--json", "x"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
    sender.expect_exit(&by, 1);
    let receipt = &receipts::of(&sender)[0];
    assert_eq!((receipt.status.as_str(), receipt.delivered, receipt.recipients), ("partly", 1, 2));
    stopped.signal("CONT");
    anna.expect_exit_on(&by, "TERM", 0);
    broker.stop(&by);
}

#[test]
fn newcomer_4_one_set_sets_two_attributes() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let arguments = ["--set", "room=lobby,name=anna", "--count", "1"];
    let mut listener = Program::listen(&stage, &by, "listen", broker.address(), &arguments);
    let arguments = ["--to", "room=lobby,name=anna", "x"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
    sender.expect_exit(&by, 0);
    listener.expect_exit(&by, 0);
    broker.stop(&by);
}

#[test]
fn newcomer_5_an_address_may_be_a_url() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let mut peers =
        Program::client(&stage, "peers", "peers", format!("tcp://{}", broker.address()), &[], Input::Nothing);
    peers.expect_exit(&by, 0);
    broker.stop(&by);
}

#[test]
fn newcomer_7_a_client_that_meets_other_frames_says_what_the_address_may_be() {
    let by = Deadline::within(40);
    let stage = Stage::new();
    // A server that speaks first, and nothing that a broker says.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut socket, &[0xff; 64]);
            let _ = socket.read_to_end(&mut Vec::new());
        }
    });
    let mut client = Program::client(&stage, "listen", "listen", address, &[], Input::Nothing);
    client.wait_said(&by, &format!("waiting for {address}: "), 1);
    assert!(client.stderr().contains("this may be a cobs: address"), "{}", client.stderr());
}

#[test]
fn newcomer_12_a_terminal_is_not_commanded_by_payloads() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let (mut screen, far) = terminal();
    let mut command = Command::new(program_path());
    command.args(["listen", "--connect", &broker.address().to_string(), "--set", "room=lobby"]);
    let mut listener = Program::spawn_with(&stage, "listen", command, Input::Nothing, |line| {
        line.stdout(far);
    });
    listener.wait_connected(&by);
    let arguments = ["--to", "room=lobby", "\u{1b}[31mred \u{9b}1m", "end"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
    sender.expect_exit(&by, 0);
    let shown = read_until(&mut screen, "end");
    assert!(shown.contains(r"\u{1b}[31mred \u{9b}1m"), "{shown:?}");
    assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown:?}");
    listener.expect_exit_on(&by, "TERM", 0);
    broker.stop(&by);
}

#[test]
fn newcomer_13_send_says_on_a_terminal_what_it_reads() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let (mut screen, far) = terminal();
    let mut command = Command::new(program_path());
    command.args([
        "send",
        "--connect",
        &broker.address().to_string(),
        "--to",
        "everyone",
        "--only-connected",
    ]);
    let mut sender = Program::spawn_with(&stage, "send", command, Input::Nothing, |line| {
        line.stdin(far.try_clone().expect("a second")).stderr(far);
    });
    let shown = read_until(&mut screen, "connected to");
    assert!(shown.contains("each line is a message; Ctrl-D ends"), "{shown:?}");
    std::io::Write::write_all(&mut screen, b"hello\n\x04").expect("typed");
    // Nobody is there to get it.
    let shown = shown + &read_until(&mut screen, "1 message: 1 refused");
    assert!(!shown.contains('\u{1b}'), "a spinner: {shown:?}");
    sender.expect_exit(&by, 1);
    broker.stop(&by);
}

#[test]
fn newcomer_14_a_message_can_be_for_connected_sessions_only() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let identity = stage.path("identity");
    let away = ["--identity", text_of(&identity), "--set", "room=lobby"];
    let mut bob = Program::listen(&stage, &by, "bob", broker.address(), &away);
    let mode = std::fs::metadata(&identity).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    bob.expect_exit_on(&by, "TERM", 0);
    let mut anna = Program::listen(&stage, &by, "anna", broker.address(), &["--set", "room=lobby"]);
    let arguments = ["--to", "room=lobby", "--only-connected", "--exclude-self", "--json", "x"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
    sender.expect_exit(&by, 0);
    receipts::assert_all_delivered(&receipts::of(&sender), 1, 1);

    // Without that it waits for him, and says so.
    let mut sender =
        Program::send(&stage, "send", broker.address(), &["--to", "room=lobby", "y"], Input::Nothing);
    sender.wait_said(&by, "waiting for some of 2 recipients that are away", 1);
    anna.expect_exit_on(&by, "TERM", 0);
    let mut alone =
        Program::send(&stage, "send", broker.address(), &["--to", "room=lobby", "z"], Input::Nothing);
    alone.wait_said(&by, "waiting for 1 recipient that is away", 1);
    for program in [&mut sender, &mut alone] {
        program.expect_exit_on(&by, "INT", 130);
    }
    broker.stop(&by);
}

#[test]
fn newcomer_16_the_log_begins_with_what_runs() {
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(20);
        let stage = Stage::of(pairing);
        let mut broker = Broker::start(&stage, &by, &["-v", "--max-links", "123"]);
        let id = broker.program().id();
        let wanted = [
            format!("version=\"{}\"", env!("CARGO_PKG_VERSION")),
            format!("pid={id}"),
            format!("transport=\"{}\"", pairing.broker),
            "max_links=123".to_owned(),
            format!("listening on {}", broker.address()),
        ];
        by.wait("the first lines of the log", || {
            let log = broker.program().stderr();
            if wanted.iter().all(|part| log.contains(part)) { Ok(()) } else { Err(log) }
        });
        broker.stop(&by);
    }
}

#[test]
fn newcomer_18_a_workload_without_a_broker_is_refused_one() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let arguments = ["bench", "W7", "--connect", "127.0.0.1:1"];
    let mut bench = Program::start(&stage, "bench", &arguments, Input::Nothing);
    bench.expect_exit(&by, 2);
    assert!(bench.stderr().starts_with("error: W7 measures"), "{}", bench.stderr());
}

#[test]
fn field_s10_a_star_is_said_to_be_no_wildcard() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let arguments = ["--to", "room=*", "--expire", "2s", "x"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
    sender.wait_said(&by, "note: * in --to matches only itself", 1);
    sender.wait_said(&by, "waiting for a session that matches --to", 1);
    sender.expect_exit(&by, 1);
    broker.stop(&by);
}

#[test]
fn program_14_an_identity_that_others_can_read_is_refused() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let identity = stage.path("identity");
    let id = text_of(&identity);
    let line = ["listen", "--connect", "127.0.0.1:1", "--give-up-after", "100ms", "--identity", id];
    let mut first = Program::start(&stage, "first", &line, Input::Nothing);
    first.expect_exit(&by, 3);
    std::fs::set_permissions(&identity, std::fs::Permissions::from_mode(0o644)).expect("its owner may");
    let mut second = Program::start(&stage, "second", &line, Input::Nothing);
    second.expect_exit(&by, 1);
    assert!(second.stderr().contains(&format!("chmod 600 {id}")), "{}", second.stderr());
}

#[test]
fn attack_a18_wrong_secrets_leave_one_line_in_the_log() {
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(30);
        let stage = Stage::of(pairing);
        let mut broker = Broker::start(&stage, &by, &[]);
        let identity = stage.path("identity");
        let arguments = ["--identity", text_of(&identity)];
        let mut owner = Program::listen(&stage, &by, "owner", broker.address(), &arguments);
        let content = std::fs::read_to_string(&identity).expect("an identity is text");
        let (uuid, _) = content.split_once("secret").expect("it has a secret");
        std::fs::write(&identity, format!("{uuid}secret = {}\n", "0".repeat(32))).expect("written");
        for _ in 0..5 {
            let mut thief =
                Program::client(&stage, "thief", "listen", broker.address(), &arguments, Input::Nothing);
            thief.expect_exit(&by, 1);
        }
        let log = broker.program().stderr();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("refused: ")).collect();
        // The first at once, and the others after ten seconds.
        assert!(lines.len() == 1 && lines[0].contains("WARN") && lines[0].contains(": 1 ("), "{log}");
        owner.expect_exit_on(&by, "TERM", 0);
        broker.stop(&by);
    }
}
