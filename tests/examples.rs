//! The examples, against the real broker, and the broker of an example against the real clients.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::broker::Broker;
use support::deadline::Deadline;
use support::program::{Input, Program, program_path};
use support::stage::{Stage, free_address};

/// The program of an example; `cargo test` has built it beside the real one.
fn example(name: &str) -> PathBuf {
    let folder = Path::new(program_path()).parent().expect("the program is in a folder");
    let path = folder.join("examples").join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --examples`", path.display());
    path
}

fn start(stage: &Stage, name: &str, arguments: &[&str]) -> Program {
    let mut command = Command::new(example(name));
    command.args(arguments);
    Program::spawn(stage, name, command, Input::Nothing)
}

#[test]
fn the_adapter_of_an_afternoon_passes_the_kit() {
    let by = Deadline::within(60);
    let stage = Stage::new();
    let mut adapter = start(&stage, "adapter", &[]);
    adapter.expect_exit(&by, 0);
    assert!(adapter.stdout_text().lines().count() >= 28, "a line for each check: {}", adapter.stdout_text());
}

#[test]
fn the_smallest_embedding_has_fewer_than_sixty_lines() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/blocking.rs");
    let lines = std::fs::read_to_string(source).expect("the example").lines().count();
    assert!(lines < 60, "{lines}");
}

#[test]
fn each_client_is_heard_by_the_others_also_across_a_broker_s_death() {
    let by = Deadline::within(60);
    let stage = Stage::new();
    let mut broker = Broker::start(&stage, &by, &["--settle", "200ms"]);
    let address = broker.address().to_string();
    let mut listener = Program::listen(&stage, &by, "listen", &address, &["--set", "room=lobby"]);
    for name in ["blocking", "mio", "smol"] {
        let text = format!("this is {name}");
        let mut client = start(&stage, name, &[&address, &text]);
        client.expect_exit(&by, 0);
        listener.wait_stdout_line(&by, &text);
        if name != "blocking" {
            assert_eq!(client.stdout_text(), "heard by 1 of 1\n");
        }
    }
    let mut client = start(&stage, "hello", &[&address]);
    client.expect_exit(&by, 0);
    assert_eq!(client.stdout_text(), "delivered to 1 of 1\n");
    listener.wait_stdout_line(&by, "hello, lobby");
    listener.expect_exit_on(&by, "INT", 0);
    // Nobody is there to hear it; the broker dies; somebody comes.
    for name in ["blocking", "mio", "smol"] {
        let mut client = start(&stage, name, &[&address, name]);
        by.wait("the client in the lobby", || match here(&broker) {
            1 => Ok(()),
            n => Err(format!("{n} are here")),
        });
        broker.kill();
        broker.restart(&by);
        let mut late = Program::listen(&stage, &by, "late", &address, &["--set", "room=lobby"]);
        client.expect_exit(&by, 0);
        late.expect_exit_on(&by, "INT", 0);
        assert_eq!(late.stdout_text(), format!("{name}\n"));
    }
    broker.stop(&by);
}

/// How many others would get a message to everyone.
fn here(broker: &Broker<'_>) -> usize {
    let by = Deadline::within(20);
    let stage = Stage::new();
    let mut peers = Program::client(&stage, "peers", "peers", broker.address(), &[], Input::Nothing);
    peers.expect_exit(&by, 0);
    peers.stdout_text().lines().count()
}

#[test]
fn the_broker_with_a_policy_denies_by_attribute() {
    let by = Deadline::within(40);
    let stage = Stage::new();
    let identity = stage.fresh_path("admin").display().to_string();
    let address = free_address().to_string();
    // The identity has to be known before the broker is.
    let give_up = ["--identity", &identity, "--to", "everyone", "--give-up-after", "10ms", "x"];
    let mut nobody = Program::send(&stage, "make-identity", &address, &give_up, Input::Nothing);
    nobody.expect_exit(&by, 3);
    let id = std::fs::read_to_string(&identity).expect("the identity");
    let id = id.split_whitespace().find(|word| word.len() == 36).expect("a UUID").to_owned();

    let mut broker = start(&stage, "policy", &[&address, &id]);
    broker.wait_stdout_line(&by, &format!("listening on {address}"));
    let mut listener = Program::listen(&stage, &by, "listen", &address, &[]);
    let mut stranger =
        Program::send(&stage, "stranger", &address, &["--to", "everyone", "--json", "x"], Input::Nothing);
    stranger.expect_exit(&by, 1);
    assert!(stranger.stdout_text().contains("not allowed"), "{}", stranger.stdout_text());
    let pretend = ["--set", "role=admin", "--to", "everyone", "x"];
    let mut pretender = Program::send(&stage, "pretender", &address, &pretend, Input::Nothing);
    pretender.expect_exit(&by, 1);
    assert!(pretender.stderr().contains("does not allow these attributes"), "{}", pretender.stderr());
    let right = ["--identity", &identity, "--set", "role=admin", "--to", "everyone", "hear"];
    let mut admin = Program::send(&stage, "admin", &address, &right, Input::Nothing);
    admin.expect_exit(&by, 0);
    listener.wait_stdout_line(&by, "hear");
    broker.kill();
    listener.kill();
}
