//! `peers`: who is here, in the formats that scripts rely on, and the changes across the broker's death.

mod support;

use support::broker::Broker;
use support::deadline::Deadline;
use support::json::{self, Object};
use support::program::{Input, Program};
use support::stage::Stage;

/// State and id of each line, of those with an id.
fn told(program: &Program) -> Vec<(String, String)> {
    let lines = json::read_lines(&program.stdout_text());
    let with_id = lines.iter().filter(|line| line.text("event") != "snapshot");
    with_id.map(|line: &Object| (line.text("event").to_owned(), line.text("id").to_owned())).collect()
}

#[test]
fn peers_prints_who_is_here_and_ends() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &[]);
    let mut anna =
        Program::listen(&stage, &by, "anna", broker.address(), &["--set", "room=lobby", "--set", "level=3"]);
    let id = anna.wait_connected(&by);
    let mut peers = Program::client(&stage, "peers", "peers", broker.address(), &[], Input::Nothing);
    peers.expect_exit(&by, 0);
    assert_eq!(peers.stdout_text(), format!("{id} connected room=lobby level=3\n"));
    let mut json = Program::client(&stage, "json", "peers", broker.address(), &["--json"], Input::Nothing);
    json.expect_exit(&by, 0);
    let attributes = r#"{"room":"lobby","level":3}"#;
    let expected = format!(
        "{{\"event\":\"here\",\"id\":\"{id}\",\"state\":\"connected\",\"attributes\":{attributes}}}\n"
    );
    assert_eq!(json.stdout_text(), expected, "and nobody else: programs that do not receive are not there");
    anna.expect_exit_on(&by, "INT", 0);
    broker.stop(&by);
}

#[test]
fn watch_goes_on_with_the_changes_also_after_the_broker_died() {
    let by = Deadline::within(40);
    let stage = Stage::new();
    let mut broker = Broker::start(&stage, &by, &["--settle", "200ms"]);
    let address = broker.address();
    let identity = stage.fresh_path("bob").display().to_string();
    let mut watch =
        Program::client(&stage, "watch", "peers", address, &["--watch", "--json"], Input::Nothing);
    watch.wait_stdout_line(&by, r#"{"event":"snapshot"}"#);
    let mut anna = Program::listen(&stage, &by, "anna", address, &[]);
    let anna_id = anna.wait_connected(&by);
    let mut bob = Program::listen(&stage, &by, "bob", address, &["--identity", &identity]);
    let bob_id = bob.wait_connected(&by);
    let line = |event: &str, id: &str, state: &str| {
        format!(r#"{{"event":"{event}","id":"{id}","state":"{state}","attributes":{{}}}}"#)
    };
    watch.wait_stdout_line(&by, &line("here", &bob_id, "connected"));
    bob.kill();
    watch.wait_stdout_line(&by, &line("changed", &bob_id, "away"));

    broker.kill();
    broker.restart(&by);
    // The new broker never heard of bob.
    watch.wait_stdout_line(&by, &line("gone", &bob_id, "gone"));
    anna.wait_said(&by, "connected", 2);
    anna.expect_exit_on(&by, "INT", 0);
    watch.wait_stdout_line(&by, &line("gone", &anna_id, "gone"));
    watch.expect_exit_on(&by, "TERM", 0);
    assert!(told(&watch).len() >= 4, "{}", watch.stdout_text());
    assert_eq!(watch.stdout_text().matches("snapshot").count(), 1);
    broker.stop(&by);
}

#[test]
fn what_stands_in_the_way_is_one_line() {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let broker = Broker::start(&stage, &by, &["--max-watches", "0"]);
    let mut refused = Program::client(&stage, "refused", "peers", broker.address(), &[], Input::Nothing);
    refused.expect_exit(&by, 1);
    assert!(
        refused
            .stderr()
            .contains("does not list its sessions: broker full; start it with a larger --max-watches"),
        "{}",
        refused.stderr()
    );
    assert_eq!(refused.stdout_text(), "");
    let mut wrong = Program::start(&stage, "wrong", &["peers", "--of", "room=a"], Input::Nothing);
    wrong.expect_exit(&by, 2);
    assert_eq!(wrong.complaints().len(), 1);
    let nowhere = support::stage::free_address();
    let mut waits = Program::client(&stage, "waits", "peers", nowhere, &[], Input::Nothing);
    waits.wait_said(&by, "waiting for", 1);
    waits.expect_exit_on(&by, "INT", 130);
    broker.stop(&by);
}
