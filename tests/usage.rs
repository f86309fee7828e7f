//! What scripts rely on: exit codes, one-line errors, and the formats on stdout.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use support::broker::Broker;
use support::deadline::Deadline;
use support::json::{self, Object, Value};
use support::pairing::Pairing;
use support::program::{Input, Program, program_path};
use support::receipts;
use support::stage::{Stage, free_address, text_of};

/// A UUID that nobody in these tests has.
const NOBODY: &str = "6f1c1d0e-8a52-4f0e-9d0a-3b7c5e2f1a90";

/// Runs a command line that must fail as wrong usage, before anything is connected to; returns what it complains about.
fn expect_usage_error(stage: &Stage, by: &Deadline, arguments: &[&str]) -> Vec<String> {
    let mut program = Program::start(stage, "wrong-usage", arguments, Input::Nothing);
    let code = program.wait_exit(by);
    assert_eq!(code, 2, "exit code of {arguments:?}. {}", program.describe());
    assert_eq!(program.stdout_text(), "", "stdout is for data only: {arguments:?}");
    let complaints = program.complaints();
    assert!(!complaints.is_empty(), "{arguments:?} fails without a word");
    complaints
}

#[test]
fn a_wrong_destination_is_a_usage_error_that_shows_an_example() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let wrong = [
        "",
        "room",
        "Everyone",
        "=lobby",
        "any:",
        "any:room",
        "room=lobby,",
        "Room=lobby",
        "room=\"lobby",
        "room=a=b",
        "6f1c1d0e-8a52-4f0e-9d0a",
        "room=lobby,,level=3",
    ];
    for destination in wrong {
        let complaints = expect_usage_error(&stage, &by, &["send", "--to", destination, "hello"]);
        let all = complaints.join("\n");
        assert!(
            all.contains("room=lobby") || all.contains("for example"),
            "{destination:?}: no example in {all:?}"
        );
        assert!(!all.contains("panicked"), "{destination:?}: {all:?}");
        assert_eq!(complaints.len(), 1, "an error is one line: {complaints:?}");
    }
}

#[test]
fn serve_picks_a_free_port_for_port_0_and_says_which_as_json() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--json"];
    let mut serve = Program::start(&stage, "serve", &arguments, Input::Nothing);
    let lines = by.wait("two lines of `serve --json`", || {
        let output = serve.stdout_text();
        if output.matches('\n').count() == 2 { Ok(json::read_lines(&output)) } else { Err(serve.describe()) }
    });
    let mut addresses = Vec::new();
    for line in &lines {
        assert_eq!(line.text("event"), "listening");
        let address: std::net::SocketAddr = line.text("address").parse().expect("an address");
        assert!(address.port() != 0 && address.ip().is_loopback(), "{address}");
        addresses.push(address);
    }
    assert_ne!(addresses[0], addresses[1]);

    // Both belong to one broker.
    let mut listener = Program::listen(&stage, &by, "listen", addresses[0], &["--count", "1"]);
    let mut sender =
        Program::send(&stage, "send", addresses[1], &["--to", "everyone", "hello"], Input::Nothing);
    sender.expect_exit(&by, 0);
    listener.expect_exit(&by, 0);
    assert_eq!(listener.stdout_text(), "hello\n");
    serve.expect_exit_on(&by, "INT", 0);
}

#[test]
fn signals_end_serve_and_listen_with_0_and_sigint_ends_send_with_130() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    for signal in ["INT", "TERM"] {
        let mut listener = Program::listen(&stage, &by, "listen", broker.address(), &[]);
        listener.expect_exit_on(&by, signal, 0);
        assert_eq!(listener.complaints(), Vec::<String>::new(), "quietly");
    }
    let arguments = ["--to", NOBODY, "hello?"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
    sender.wait_connected(&by);
    assert_eq!(sender.ended(), None, "nobody is there to take it. {}", sender.describe());
    sender.expect_exit_on(&by, "INT", 130);
    broker.stop(&by);

    let address = free_address().to_string();
    let mut serve = Program::start(&stage, "serve", &["serve", "--listen", &address], Input::Nothing);
    serve.wait_stdout_line(&by, &format!("listening on {address}"));
    serve.expect_exit_on(&by, "INT", 0);
}

#[test]
fn signals_end_clients_that_wait_for_a_broker() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let nobody = free_address();
    let mut listener = Program::client(&stage, "listen", "listen", nobody, &[], Input::Nothing);
    let mut sender = Program::send(&stage, "send", nobody, &["--to", "everyone", "hello"], Input::Nothing);
    for program in [&listener, &sender] {
        by.wait("`waiting for ADDRESS`", || {
            let errors = program.stderr();
            if errors.contains(&format!("waiting for {nobody}")) { Ok(()) } else { Err(errors) }
        });
    }
    listener.expect_exit_on(&by, "TERM", 0);
    sender.expect_exit_on(&by, "INT", 130);
}

#[test]
fn a_client_waits_for_a_broker_that_is_not_there_and_says_so_once() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let address = free_address();
    let mut listener =
        Program::client(&stage, "listen", "listen", address, &["--count", "1"], Input::Nothing);
    let mut sender = Program::send(&stage, "send", address, &["--to", "everyone", "at last"], Input::Nothing);
    // Several attempts long.
    thread::sleep(Duration::from_millis(1500));
    let waiting = format!("waiting for {address}: ");
    for program in [&listener, &sender] {
        let errors = program.stderr();
        assert_eq!(errors.lines().count(), 1, "once per change of state: {errors:?}");
        let reason = errors.trim_end().strip_prefix(&waiting).unwrap_or_default();
        assert!(!reason.is_empty(), "with a reason: {errors:?}");
    }
    let arguments = ["serve", "--listen", &address.to_string()];
    let mut serve = Program::start(&stage, "serve", &arguments, Input::Nothing);
    listener.expect_exit(&by, 0);
    sender.expect_exit(&by, 0);
    assert_eq!(listener.stdout_text(), "at last\n");
    serve.expect_exit_on(&by, "TERM", 0);
}

#[test]
fn send_gives_up_when_it_is_told_to_and_says_so_for_each_message() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let nobody = free_address();
    let arguments = ["--to", "everyone", "--give-up-after", "1s", "--json", "one", "two"];
    let mut sender = Program::send(&stage, "send", nobody, &arguments, Input::Nothing);
    sender.expect_exit(&by, 3);
    let took = by.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(6)).contains(&took), "1s took {took:?}");
    let receipts = receipts::of(&sender);
    assert_eq!(receipts.len(), 2, "one for each message: {}", sender.describe());
    for receipt in receipts {
        assert!(receipt.status == "unanswered" && receipt.delivered == 0, "{receipt:?}");
    }
}

#[test]
fn listen_ends_after_the_count_and_the_acknowledgements_are_there() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let arguments = ["--set", "room=lobby", "--count", "3"];
    let mut listener = Program::listen(&stage, &by, "listen", broker.address(), &arguments);
    let arguments = ["--to", "room=lobby", "--json", "first", "second and", ""];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
    listener.expect_exit(&by, 0);
    sender.expect_exit(&by, 0);
    assert_eq!(listener.stdout_text(), "first\nsecond and\n\n");
    receipts::assert_all_delivered(&receipts::of(&sender), 3, 1);

    // Not one more than the count, and its session is gone with it: the next message finds nobody.
    let arguments = ["--to", "room=lobby", "--expire", "300ms", "--json", "too late"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
    sender.expect_exit(&by, 1);
    assert_eq!(receipts::of(&sender)[0].status, "expired", "{}", sender.describe());
    broker.stop(&by);
}

#[test]
fn a_message_a_line_even_if_it_is_empty_or_the_last_without_newline() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    for (text, printed, count) in [
        (&b"one\n\n\ntwo\r\nlast"[..], &b"one\n\n\ntwo\r\nlast\n"[..], 5),
        (b"\n", b"\n", 1),
        (b"closed\n", b"closed\n", 1),
    ] {
        let arguments = ["--set", "room=lobby"];
        let mut listener = Program::listen(&stage, &by, "listen", broker.address(), &arguments);
        let input = Input::Bytes(text.to_vec());
        let arguments = ["--to", "room=lobby", "--json"];
        let mut sender = Program::send(&stage, "send", broker.address(), &arguments, input);
        sender.expect_exit(&by, 0);
        listener.expect_exit_on(&by, "TERM", 0);
        assert_eq!(listener.stdout(), printed, "for the input {text:?}");
        receipts::assert_all_delivered(&receipts::of(&sender), count, 1);
    }

    let mut sender = Program::send(&stage, "send", broker.address(), &["--to", NOBODY], Input::Nothing);
    sender.expect_exit(&by, 0);
    assert_eq!(sender.stdout_text(), "", "no input is no message");
    broker.stop(&by);
}

#[test]
fn with_0_messages_end_with_nul_and_may_hold_newlines() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let arguments = ["--set", "room=lobby", "-0", "--count", "6"];
    let mut listener = Program::listen(&stage, &by, "listen", broker.address(), &arguments);
    let input = Input::Bytes(b"two\nlines\0c\0\0last".to_vec());
    let arguments = ["--to", "room=lobby", "-0", "--json"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, input);
    sender.expect_exit(&by, 0);
    receipts::assert_all_delivered(&receipts::of(&sender), 4, 1);
    // Arguments are messages as they are.
    let arguments = ["--to", "room=lobby", "-0", "--json", "an\nargument", "x"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
    sender.expect_exit(&by, 0);
    receipts::assert_all_delivered(&receipts::of(&sender), 2, 1);
    listener.expect_exit(&by, 0);
    assert_eq!(listener.stdout(), b"two\nlines\0c\0\0last\0an\nargument\0x\0");
    broker.stop(&by);
}

#[test]
fn json_shows_text_as_it_is_and_other_bytes_in_base64() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let arguments = ["--set", "room=lobby", "--json", "--count", "4"];
    let mut listener = Program::listen(&stage, &by, "listen", broker.address(), &arguments);
    let texts = ["naïve \"quotes\" \\ and\ttabs\u{1}", "two\nlines 🕊️", ""];
    let mut input = Vec::new();
    for text in texts {
        input.extend_from_slice(text.as_bytes());
        input.push(0);
    }
    input.extend_from_slice(b"\xff\xfe\x00");
    let arguments = ["--to", "room=lobby", "-0", "--json"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Bytes(input));
    let from = sender.wait_connected(&by);
    sender.expect_exit(&by, 0);
    listener.expect_exit(&by, 0);

    let messages = json::read_lines(&listener.stdout_text());
    let receipts = receipts::of(&sender);
    assert!(messages.len() == 4 && receipts.len() == 4, "{}", listener.describe());
    for (message, receipt) in messages.iter().zip(&receipts) {
        assert_eq!(message.text("from"), from);
        assert_eq!(message.number("id"), receipt.id, "the id of the receipt is the message's");
        assert_eq!(message.get("maybe_repeated"), None, "only where true");
    }
    for (message, text) in messages.iter().zip(texts) {
        assert_eq!(message.text("payload"), text);
        assert_eq!(message.get("payload_base64"), None);
    }
    assert_eq!(messages[3].text("payload_base64"), "//4=");
    assert_eq!(messages[3].get("payload"), None);
    broker.stop(&by);
}

#[test]
fn a_destination_matches_by_type_and_value_and_the_receipt_counts() {
    let by = Deadline::within(30);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let listen = |name, arguments: &[&str]| Program::listen(&stage, &by, name, broker.address(), arguments);
    let mut anna = listen("anna", &["--set", "room=lobby", "--set", "level=3", "--set", "here=true"]);
    let mut bert =
        listen("bert", &["--set", "room=lobby", "--set", "level=\"3\"", "--set", "note=\"a, b=\\\"c\\\"\""]);
    let mut cleo = listen("cleo", &["--set", "room=kitchen", "--set", "level=-1"]);
    let uuid = cleo.wait_connected(&by);

    let cases = [
        ("everyone", 3),
        ("room=lobby", 2),
        ("room=lobby,level=3", 1),
        ("level=\"3\"", 1),
        ("any:level=3,room=kitchen", 2),
        ("here=true", 1),
        ("level=-1", 1),
        ("note=\"a, b=\\\"c\\\"\"", 1),
        (uuid.as_str(), 1),
    ];
    for (to, recipients) in cases {
        let arguments = ["--to", to, "--json", to];
        let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
        sender.expect_exit(&by, 0);
        receipts::assert_all_delivered(&receipts::of(&sender), 1, recipients);
    }
    // A string is no flag, and a number with a leading zero is a string.
    for to in ["here=\"true\"", "level=03", "room=Lobby", "room=lobby,room=kitchen"] {
        let arguments = ["--to", to, "--expire", "200ms", "--json", "nobody"];
        let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
        let code = sender.wait_exit(&by);
        // Two values for one key can never match: to say so at once is as good.
        assert!(code == 1 || (code == 2 && to.contains(',')), "{to} matches. {}", sender.describe());
    }
    let expected: [(&mut Program, &[usize]); 3] =
        [(&mut anna, &[0, 1, 2, 4, 5]), (&mut bert, &[0, 1, 3, 7]), (&mut cleo, &[0, 4, 6, 8])];
    for (program, wanted) in expected {
        program.expect_exit_on(&by, "TERM", 0);
        let wanted: Vec<String> = wanted.iter().map(|&case| cases[case].0.to_owned()).collect();
        let printed: Vec<String> = program.stdout_text().lines().map(str::to_owned).collect();
        assert_eq!(printed, wanted, "{}", program.describe());
    }
    broker.stop(&by);
}

#[test]
fn listen_ends_quietly_when_nobody_reads_its_output_any_more() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let status = stage.path("status");
    // What `listen | head -n 1` does, with the exit code of `listen`. Should the test fail, `timeout` ends what is left over.
    let script =
        "{ timeout 30 \"$0\" listen --connect \"$1\" --set room=lobby; echo $? > \"$2\"; } | head -n 1";
    let mut command = Command::new("sh");
    command.args(["-c", script, program_path(), &broker.address().to_string(), text_of(&status)]);
    let mut pipeline = Program::spawn(&stage, "pipeline", command, Input::Nothing);
    pipeline.wait_connected(&by);

    let text: Vec<u8> = (0..200).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    // One for `head`, the others for nobody: sooner or later a write meets the closed pipe.
    let arguments = ["--to", "room=lobby", "--until", "accepted", "--expire", "1s"];
    by.wait("the end of the pipeline", || {
        let input = Input::Bytes(text.clone());
        let mut sender = Program::send(&stage, "send", broker.address(), &arguments, input);
        sender.wait_exit(&by);
        pipeline.ended().ok_or_else(|| pipeline.describe())
    });
    assert_eq!(pipeline.stdout_text(), "line 0\n");
    assert_eq!(pipeline.complaints(), Vec::<String>::new(), "quietly");
    let status = std::fs::read_to_string(&status).expect("the exit code of `listen`");
    assert_eq!(status.trim(), "0");
    broker.stop(&by);
}

#[test]
fn each_message_is_printed_and_answered_without_waiting_for_the_next() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let mut listener = Program::listen(&stage, &by, "listen", broker.address(), &["--set", "room=lobby"]);
    let mut sender =
        Program::send(&stage, "send", broker.address(), &["--to", "room=lobby", "--json"], Input::Piped);
    let mut pipe = sender.take_stdin();
    for number in 1..=3 {
        writeln!(pipe, "line {number}").expect("`send` reads");
        listener.wait_stdout_line(&by, &format!("line {number}"));
        by.wait("the receipt while stdin stays open", || {
            let receipts = receipts::of(&sender);
            if receipts.len() == number { Ok(()) } else { Err(sender.describe()) }
        });
    }
    drop(pipe);
    sender.expect_exit(&by, 0);
    listener.expect_exit_on(&by, "TERM", 0);
    broker.stop(&by);
}

#[test]
fn help_and_version_are_data_and_exit_with_0() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["serve", "--help"],
        &["listen", "--help"],
        &["send", "--help"],
        &["peers", "--help"],
        &["demo", "--help"],
    ] {
        let mut child = Command::new(program_path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the program");
        let mut first = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        output.read_line(&mut first).expect("read stdout");
        output.read_to_string(&mut String::new()).expect("read stdout");
        let status = child.wait().expect("wait for the program");
        assert!(status.success() && !first.trim().is_empty(), "{arguments:?}: {status}, {first:?}");
    }
}

#[test]
fn the_reader_of_these_tests_reads_what_json_allows() {
    let object = Object::read(r#"{"a":"x\"\\\n\u00e4\ud83d\ude00","b":-7,"c":true,"d":{"e":null},"f":{}}"#);
    assert_eq!(object.text("a"), "x\"\\\nä😀");
    assert_eq!(object.number("b"), -7);
    assert_eq!(object.get("c"), Some(&Value::Flag(true)));
    let Some(Value::Object(inner)) = object.get("d") else { panic!("an object inside") };
    assert_eq!(inner.get("e"), Some(&Value::Null));
    assert_eq!(object.get("g"), None);
}

#[test]
fn a_broker_shows_its_ledger_by_reason_on_sigusr1() {
    for pairing in [Pairing::MIO_MIO, Pairing::SMOL_SMOL] {
        let by = Deadline::within(20);
        let stage = Stage::of(pairing);
        let mut broker = Broker::start(&stage, &by, &[]);
        // Long enough to be sent, however busy the machine is.
        let nobody = ["--to", "room=nowhere", "--expire", "500ms", "x", "y"];
        let mut sender = Program::send(&stage, "send", broker.address(), &nobody, Input::Nothing);
        sender.expect_exit(&by, 1);
        for times in 1..=2 {
            broker.program().signal("USR1");
            broker.program().wait_said(&by, "  balanced", times);
        }
        let told = broker.program().stderr();
        let figure = |name: &str| {
            let line = told.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
            line.split_whitespace().last().unwrap_or_default().to_owned()
        };
        assert_eq!(
            (figure("messages accepted"), figure("expired"), figure("open")),
            ("2".into(), "2".into(), "0".into())
        );
        broker.stop(&by);
    }
}
