//! `bench`, as people and scripts run it. What it finds is not looked at, only that it finds it.

mod support;

use std::fs;
use std::path::Path;

use support::broker::Broker;
use support::deadline::Deadline;
use support::program::{Input, Program};
use support::stage::Stage;

/// Waits for its broker, until that has had a fifth of a second of processor time, and returns its process id.
fn broker_of(bench: &Program, by: &Deadline) -> String {
    let id = bench.id();
    by.wait("a broker that works", || {
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let Some(child) = children.split_whitespace().next() else { return Err("no child".to_owned()) };
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let fields: Vec<u64> = stat.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let ticks: u64 = fields.iter().skip(13).take(2).sum();
        if ticks >= 20 { Ok(child.to_owned()) } else { Err(stat) }
    })
}

/// Runs it to its end, and returns its stdout.
fn run(stage: &Stage, by: &Deadline, arguments: &[&str]) -> String {
    let mut all = vec!["bench"];
    all.extend_from_slice(arguments);
    let mut bench = Program::start(stage, "bench", &all, Input::Nothing);
    bench.expect_exit(by, 0);
    assert_eq!(bench.stderr(), "", "it has nothing to complain about");
    bench.stdout_text()
}

#[test]
fn streams_and_ping_pong_are_measured_over_each_transport() {
    let (stage, by) = (Stage::new(), Deadline::within(120));
    for transport in ["mio", "smol"] {
        let options =
            ["--transport", transport, "--clients-transport", transport, "--seconds", "0.3", "--json"];
        let text = run(&stage, &by, &[&["W1", "w2", "W3", "W4", "W5"][..], &options].concat());
        assert_eq!(text.lines().count(), 1, "{text}");
        for (workload, figure) in [
            ("W1", "deliveries_per_second"),
            ("W2", "broker_cpu_seconds_per_million"),
            ("W3", "deliveries_per_second"),
            ("W4", "megabytes_per_second"),
            ("W5", "p99_microseconds"),
        ] {
            let result =
                text.split("\"about\"").find(|part| part.contains(&format!("\"workload\":\"{workload}\"")));
            let result = result.unwrap_or_else(|| panic!("no {workload} in {text}"));
            assert!(result.contains(figure), "{result}");
            assert!(result.contains("\"faults\":[]"), "{result}");
            assert!(!result.contains("\"checked\":0,"), "{result}");
        }
        assert!(text.contains(&format!("\"clients_transport\":\"{transport}\"")), "{text}");
    }
}

#[test]
fn so_many_messages_are_sent_and_no_more() {
    let (stage, by) = (Stage::new(), Deadline::within(60));
    let text = run(&stage, &by, &["W1", "W2", "--messages", "50", "--window", "7", "--payload", "300"]);
    assert!(text.contains("W1  stream: one sender, one recipient, 300 bytes\n"), "{text}");
    assert!(text.contains("              50  deliveries checked: once, in order, receipted\n"), "{text}");
    assert!(text.contains("           5,000  deliveries checked: once, in order, receipted\n"), "{text}");
}

#[test]
fn clients_that_come_back_at_once_get_everything() {
    let (stage, by) = (Stage::new(), Deadline::within(120));
    let text = run(&stage, &by, &["W8"]);
    assert!(text.contains("         200,000  deliveries checked: once, in order, receipted\n"), "{text}");
    assert!(text.contains("  s until all was delivered and receipted\n"), "{text}");
}

#[test]
fn a_broker_of_somebody_elses_is_left_as_it_was() {
    let (stage, by) = (Stage::new(), Deadline::within(60));
    let broker = Broker::start(&stage, &by, &[]);
    let address = broker.address().to_string();
    let text = run(&stage, &by, &["W1", "W2", "--messages", "50", "--connect", &address]);
    assert!(text.contains("deliveries a second"), "{text}");
    assert!(!text.contains("CPU"), "nothing is known about its time: {text}");
    let mut peers = Program::client(&stage, "peers", "peers", &address, &[], Input::Nothing);
    peers.expect_exit(&by, 0);
    assert_eq!(peers.stdout_text(), "", "no session is left");
    broker.stop(&by);
}

#[test]
fn what_cannot_work_is_told_before_anything_is_measured() {
    let (stage, by) = (Stage::new(), Deadline::within(30));
    let nowhere = stage.path("no/such/growth.svg").display().to_string();
    for (arguments, word) in [
        (["bench", "--plot", &nowhere], "growth.svg"),
        (["bench", "W1", "--connect=127.0.0.1:1"], "is there a broker"),
    ] {
        let mut bench = Program::start(&stage, "bench", &arguments, Input::Nothing);
        bench.expect_exit(&by, 1);
        assert!(bench.stderr().contains(word) && bench.stdout_text().is_empty(), "{}", bench.stderr());
    }
}

#[test]
fn an_interruption_ends_it_with_what_there_is() {
    let (stage, by) = (Stage::new(), Deadline::within(60));
    let arguments = ["bench", "W1", "W5", "--seconds", "3000"];
    let mut bench = Program::start(&stage, "bench", &arguments, Input::Nothing);
    let child = broker_of(&bench, &by);
    bench.expect_exit_on(&by, "INT", 130);
    let text = bench.stdout_text();
    assert!(text.contains("deliveries checked: once, in order, receipted\n"), "{text}");
    assert!(text.ends_with("           ended  before its time\n") && !text.contains("W5"), "{text}");
    assert!(!Path::new(&format!("/proc/{child}")).exists(), "its broker has ended too");
}

#[test]
fn its_broker_does_not_outlive_it() {
    let (stage, by) = (Stage::new(), Deadline::within(60));
    let mut bench = Program::start(&stage, "bench", &["bench", "W1", "--seconds", "3000"], Input::Nothing);
    let child = broker_of(&bench, &by);
    bench.kill();
    by.wait("the end of the broker", || {
        let status = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        // One that nobody waits for stays as a zombie.
        if status.is_empty() || status.contains(") Z ") { Ok(()) } else { Err(status) }
    });
}
