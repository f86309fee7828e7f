//! One long stream to a group, over a network that cuts, stalls, splits and goes half-open: nothing of it may show.

mod support;

use support::broker::Broker;
use support::deadline::Deadline;
use support::pairing::{Pairing, in_all_pairings};
use support::program::{Input, Program};
use support::proxy::{Plan, Proxy};
use support::receipts;
use support::stage::Stage;
use support::text::{Text, assert_same};

const LINES: usize = 50_000;

fn fifty_thousand_lines_reach_three_listeners_unharmed_through_a_network_of_cuts_and_silence(
    pairing: Pairing,
) {
    let by = Deadline::within(120);
    let stage = Stage::of(pairing);
    let text = Text::uneven(1, LINES);
    assert!(text.lines() == LINES && text.len() < 20_000_000, "the text is what the test is about");
    let broker = Broker::start(&stage, &by, &["--keep-alive", "500ms"]);
    let plan = Plan { seed: 0x5eed, mean_bytes: 64 * 1024, half_opens: 5 };
    let proxy = Proxy::start(broker.address(), plan);

    let count = LINES.to_string();
    let mut listeners = Vec::new();
    for name in ["anna", "bert", "cleo"] {
        let arguments = ["--set", "room=lobby", "--count", &count];
        listeners.push(Program::listen(&stage, &by, name, proxy.address(), &arguments));
    }
    let input = Input::Bytes(text.bytes().to_vec());
    let mut sender = Program::send(&stage, "send", proxy.address(), &["--to", "room=lobby", "--json"], input);

    for listener in &mut listeners {
        listener.expect_exit(&by, 0);
        assert_same("a listener's output", &listener.stdout(), text.bytes());
    }
    sender.expect_exit(&by, 0);
    receipts::assert_all_delivered(&receipts::of(&sender), LINES, 3);

    proxy.be_clean();
    let counts = proxy.wait_half_open_over(&by);
    println!("{:?} for {} bytes: {counts:?}", by.elapsed(), text.len());
    assert!(counts.cuts() >= 200, "too few cuts for this test: {counts:?}");
    assert!(counts.cuts_to_broker >= 30, "too few cuts on the way to the broker: {counts:?}");
    assert!(counts.cuts_to_client >= 30, "too few cuts on the way to a client: {counts:?}");
    assert!(counts.resets >= 20, "too few cuts by reset: {counts:?}");
    assert!(counts.orderly >= 20, "too few cuts by an orderly end: {counts:?}");
    assert!(counts.stalls >= 5, "too few stalls: {counts:?}");
    assert!(counts.stretches >= 10, "too few stretches of single bytes: {counts:?}");
    assert!(counts.half_opens >= 3, "too few half-open connections: {counts:?}");
    assert_eq!(counts.half_opens_noticed, counts.half_opens, "the keep-alive finds them all: {counts:?}");
    broker.stop(&by);
}

in_all_pairings! {
    fifty_thousand_lines_reach_three_listeners_unharmed_through_a_network_of_cuts_and_silence,
}
