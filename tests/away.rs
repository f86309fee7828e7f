//! Members that are away while messages are sent, and identities: what waits for whom, and who may be whom.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use support::broker::Broker;
use support::deadline::Deadline;
use support::pairing::{Pairing, in_all_pairings};
use support::program::{Input, Program};
use support::receipts;
use support::stage::{Stage, text_of};
use support::text::assert_same;

/// A UUID that nobody in these tests has.
const NOBODY: &str = "6f1c1d0e-8a52-4f0e-9d0a-3b7c5e2f1a90";

/// So many numbered lines.
fn lines(batch: &str, count: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for number in 0..count {
        text.extend_from_slice(format!("{batch} {number}\n").as_bytes());
    }
    text
}

/// Runs a `send --until accepted` to its end: when this returns, the broker has the messages for one recipient.
fn leave_with_the_broker(stage: &Stage, by: &Deadline, broker: &Broker, to: &str, text: Vec<u8>) {
    let count = text.iter().filter(|&&byte| byte == b'\n').count();
    let arguments = ["--to", to, "--until", "accepted", "--json"];
    let mut sender = Program::send(stage, "send-accepted", broker.address(), &arguments, Input::Bytes(text));
    sender.expect_exit(by, 0);
    let receipts = receipts::of(&sender);
    assert_eq!(receipts.len(), count, "one receipt per line. {}", sender.describe());
    for receipt in &receipts {
        assert!(receipt.status == "accepted" && receipt.recipients == 1, "{receipt:?}");
    }
}

fn what_is_sent_to_a_program_that_was_ended_waits_for_its_next_start_with_the_same_identity(
    pairing: Pairing,
) {
    let by = Deadline::within(40);
    let stage = Stage::of(pairing);
    let broker = Broker::start(&stage, &by, &[]);
    let identity = stage.path("identity");
    let arguments = ["--identity", text_of(&identity), "--set", "room=lobby"];

    let mut first = Program::listen(&stage, &by, "first", broker.address(), &arguments);
    let uuid = first.wait_connected(&by);
    let mode = fs::metadata(&identity).expect("the identity's file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may read the secret");
    leave_with_the_broker(&stage, &by, &broker, &uuid, lines("here", 10));
    first.wait_stdout_line(&by, "here 9");
    first.expect_exit_on(&by, "TERM", 0);

    // Both by its UUID and by the attributes that its session keeps.
    leave_with_the_broker(&stage, &by, &broker, &uuid, lines("uuid", 100));
    leave_with_the_broker(&stage, &by, &broker, "room=lobby", lines("room", 100));
    let waiting = Input::Bytes(lines("held", 100));
    let mut sender = Program::send(&stage, "send", broker.address(), &["--to", &uuid, "--json"], waiting);
    sender.wait_connected(&by);

    let mut second = Program::listen(&stage, &by, "second", broker.address(), &arguments);
    assert_eq!(second.wait_connected(&by), uuid, "the same identity");
    sender.expect_exit(&by, 0);
    receipts::assert_all_delivered(&receipts::of(&sender), 100, 1);
    second.expect_exit_on(&by, "TERM", 0);
    assert_same("the first run", &first.stdout(), &lines("here", 10));
    let expected = [lines("uuid", 100), lines("room", 100), lines("held", 100)].concat();
    assert_same("the second run", &second.stdout(), &expected);
    broker.stop(&by);
}

fn what_is_sent_to_a_stopped_program_comes_once_when_it_goes_on(pairing: Pairing) {
    let by = Deadline::within(40);
    let stage = Stage::of(pairing);
    let mut broker = Broker::start(&stage, &by, &["--keep-alive", "500ms"]);
    let mut listener = Program::listen(&stage, &by, "listen", broker.address(), &["--set", "room=lobby"]);
    leave_with_the_broker(&stage, &by, &broker, "room=lobby", lines("before", 10));
    listener.wait_stdout_line(&by, "before 9");

    listener.signal("STOP");
    leave_with_the_broker(&stage, &by, &broker, "room=lobby", lines("early", 200));
    // The keep-alive has found out that nobody answers.
    broker.wait_ledger(&by, "connected", 0);
    leave_with_the_broker(&stage, &by, &broker, "room=lobby", lines("late", 200));
    let held = Input::Bytes(lines("held", 200));
    let arguments = ["--to", "room=lobby", "--json"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, held);
    sender.wait_connected(&by);
    assert_eq!(sender.ended(), None, "nobody has taken it yet. {}", sender.describe());

    listener.signal("CONT");
    sender.expect_exit(&by, 0);
    receipts::assert_all_delivered(&receipts::of(&sender), 200, 1);
    listener.expect_exit_on(&by, "TERM", 0);
    let expected =
        [lines("before", 10), lines("early", 200), lines("late", 200), lines("held", 200)].concat();
    assert_same("the output", &listener.stdout(), &expected);
    broker.stop(&by);
}

fn a_sender_that_was_stopped_goes_on_where_it_was(pairing: Pairing) {
    let by = Deadline::within(40);
    let stage = Stage::of(pairing);
    let mut broker = Broker::start(&stage, &by, &["--keep-alive", "500ms"]);
    let mut listener = Program::listen(&stage, &by, "listen", broker.address(), &["--set", "room=lobby"]);
    let text = lines("a line of some length, so that not all of it is on its way at once", 50_000);
    let arguments = ["--to", "room=lobby", "--json"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Bytes(text.clone()));
    listener.wait_stdout_len(&by, 1000);
    sender.signal("STOP");
    let when_stopped = listener.stdout_len();
    assert_eq!(sender.ended(), None, "stopped too late. {}", sender.describe());
    // The keep-alive has found out that nobody answers: only the listener is left.
    broker.wait_ledger(&by, "connected", 1);
    sender.signal("CONT");
    sender.expect_exit(&by, 0);
    assert!(when_stopped < listener.stdout_len(), "nothing was left to send after the stop");
    receipts::assert_all_delivered(&receipts::of(&sender), 50_000, 1);
    listener.expect_exit_on(&by, "TERM", 0);
    assert_same("the output", &listener.stdout(), &text);
    broker.stop(&by);
}

fn a_message_that_nobody_matches_waits_until_somebody_does(pairing: Pairing) {
    let by = Deadline::within(30);
    let stage = Stage::of(pairing);
    let mut broker = Broker::start(&stage, &by, &[]);
    let other = Program::listen(&stage, &by, "other", broker.address(), &["--set", "room=kitchen"]);
    let arguments = ["--to", "room=lobby", "--json", "patience"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
    broker.wait_ledger(&by, "parked or held", 1);
    assert_eq!(sender.ended(), None, "nobody matches yet. {}", sender.describe());
    assert_eq!(sender.stdout_text(), "", "a receipt although nobody matches");

    let arguments = ["--set", "room=lobby", "--count", "1"];
    let mut listener = Program::listen(&stage, &by, "listen", broker.address(), &arguments);
    listener.expect_exit(&by, 0);
    sender.expect_exit(&by, 0);
    assert_eq!(listener.stdout_text(), "patience\n");
    receipts::assert_all_delivered(&receipts::of(&sender), 1, 1);
    assert_eq!(other.stdout_text(), "", "it was not for the kitchen");
    broker.stop(&by);
}

fn a_message_to_somebody_who_never_comes_expires_and_the_sender_is_told(pairing: Pairing) {
    let by = Deadline::within(20);
    let stage = Stage::of(pairing);
    let broker = Broker::start(&stage, &by, &[]);
    let arguments = ["--to", NOBODY, "--expire", "1s", "--json", "hello?"];
    let mut sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Nothing);
    let connected = {
        sender.wait_connected(&by);
        by.elapsed()
    };
    sender.expect_exit(&by, 1);
    let took = by.elapsed() - connected;
    let receipts = receipts::of(&sender);
    assert_eq!(receipts.len(), 1, "{}", sender.describe());
    assert!(receipts[0].status == "expired" && receipts[0].delivered == 0, "{:?}", receipts[0]);
    let plausible = Duration::from_millis(700)..Duration::from_secs(5);
    assert!(plausible.contains(&took), "`--expire 1s` took {took:?}");
    broker.stop(&by);
}

fn of_two_programs_with_one_identity_the_later_one_goes_on(pairing: Pairing) {
    let by = Deadline::within(30);
    let stage = Stage::of(pairing);
    let broker = Broker::start(&stage, &by, &[]);
    let identity = stage.path("identity");
    let arguments = ["--identity", text_of(&identity), "--set", "room=lobby"];
    let mut first = Program::listen(&stage, &by, "first", broker.address(), &arguments);
    let uuid = first.wait_connected(&by);
    leave_with_the_broker(&stage, &by, &broker, &uuid, lines("first", 5));
    first.wait_stdout_line(&by, "first 4");

    let mut second = Program::listen(&stage, &by, "second", broker.address(), &arguments);
    assert_eq!(second.wait_connected(&by), uuid, "the same identity");
    first.expect_exit(&by, 1);
    let complaints = first.complaints();
    assert_eq!(complaints.len(), 1, "one line says why: {complaints:?}");

    let to_second = Input::Bytes(lines("second", 5));
    let mut sender = Program::send(&stage, "send", broker.address(), &["--to", &uuid, "--json"], to_second);
    sender.expect_exit(&by, 0);
    receipts::assert_all_delivered(&receipts::of(&sender), 5, 1);
    // The first one has ended, so it cannot take the session back.
    assert_eq!(second.ended(), None, "the second goes on. {}", second.describe());
    second.expect_exit_on(&by, "INT", 0);
    assert_same("the first's output", &first.stdout(), &lines("first", 5));
    assert_same("the second's output", &second.stdout(), &lines("second", 5));
    broker.stop(&by);
}

/// Writes a copy of an identity that has the same UUID and another secret, whatever the file's format is: a fresh identity's file in which
/// the UUID is exchanged.
fn forge(stage: &Stage, by: &Deadline, broker: &Broker, uuid: &str, forged: &Path) {
    let fresh = stage.path("fresh-identity");
    let arguments = ["--identity", text_of(&fresh)];
    let mut somebody = Program::listen(stage, by, "somebody", broker.address(), &arguments);
    let fresh_uuid = somebody.wait_connected(by);
    somebody.expect_exit_on(by, "TERM", 0);
    let content = fs::read_to_string(&fresh).expect("an identity is text");
    assert!(content.contains(&fresh_uuid), "an identity's file shows its UUID");
    fs::write(forged, content.replace(&fresh_uuid, uuid)).expect("write the forged identity");
    fs::set_permissions(forged, fs::Permissions::from_mode(0o600)).expect("set its mode");
}

fn a_uuid_is_refused_to_whoever_has_not_its_secret(pairing: Pairing) {
    let by = Deadline::within(30);
    let stage = Stage::of(pairing);
    let broker = Broker::start(&stage, &by, &[]);
    let identity = stage.path("identity");
    let arguments = ["--identity", text_of(&identity), "--set", "room=lobby"];
    let mut owner = Program::listen(&stage, &by, "owner", broker.address(), &arguments);
    let uuid = owner.wait_connected(&by);
    let forged = stage.path("forged-identity");
    forge(&stage, &by, &broker, &uuid, &forged);

    // While the owner is connected, and while it is away.
    for owner_is_here in [true, false] {
        if !owner_is_here {
            owner.expect_exit_on(&by, "TERM", 0);
        }
        let claim = ["--identity", text_of(&forged), "--set", "room=lobby"];
        let mut thief = Program::client(&stage, "thief", "listen", broker.address(), &claim, Input::Nothing);
        thief.expect_exit(&by, 1);
        let complaints = thief.complaints();
        assert_eq!(complaints.len(), 1, "one line says why: {complaints:?}");
        let why = complaints[0].to_lowercase();
        assert!(why.contains("secret") || why.contains("identity"), "it says why: {why:?}");
        assert!(!thief.stderr().contains("connected to "), "{}", thief.describe());
        assert_eq!(thief.stdout_text(), "");
        if owner_is_here {
            assert_eq!(owner.ended(), None, "the owner is not disturbed. {}", owner.describe());
        }
    }

    // The session is still the owner's.
    leave_with_the_broker(&stage, &by, &broker, &uuid, lines("yours", 5));
    let mut owner = Program::listen(&stage, &by, "owner", broker.address(), &arguments);
    owner.wait_stdout_line(&by, "yours 4");
    owner.expect_exit_on(&by, "TERM", 0);
    assert_same("the owner's output", &owner.stdout(), &lines("yours", 5));
    broker.stop(&by);
}

in_all_pairings! {
    what_is_sent_to_a_program_that_was_ended_waits_for_its_next_start_with_the_same_identity,
    what_is_sent_to_a_stopped_program_comes_once_when_it_goes_on,
    a_sender_that_was_stopped_goes_on_where_it_was,
    a_message_that_nobody_matches_waits_until_somebody_does,
    a_message_to_somebody_who_never_comes_expires_and_the_sender_is_told,
    of_two_programs_with_one_identity_the_later_one_goes_on,
    a_uuid_is_refused_to_whoever_has_not_its_secret,
}
