//! A line behind a socket that flips bits and loses and inserts bytes: nothing of it may show, but the time that it takes.

mod support;

use std::thread;
use std::time::Duration;

use support::broker::Broker;
use support::deadline::Deadline;
use support::feed;
use support::pairing::{Pairing, in_all_pairings};
use support::program::{Input, Program};
use support::proxy::Proxy;
use support::receipts;
use support::stage::Stage;
use support::text::{Text, assert_same};

const SIGN_OF_LIFE: [&str; 2] = ["--keep-alive", "300ms"];

fn line_of(proxy: &Proxy) -> String {
    format!("cobs:{}", proxy.address())
}

/// Two listeners in the lobby, each of which ends when it has all lines.
fn start_listeners(stage: &Stage, by: &Deadline, line: &str, lines: usize) -> Vec<Program> {
    let count = lines.to_string();
    let arguments = ["--set", "room=lobby", "--count", &count];
    ["anna", "bert"].map(|name| Program::listen(stage, by, name, line, &arguments)).into()
}

fn start_sender(stage: &Stage, line: &str, input: Input) -> Program {
    Program::send(stage, "send", line, &["--to", "room=lobby", "--json"], input)
}

/// Everything must have arrived, once and in order, and the sender must know.
fn expect_all(by: &Deadline, text: &Text, listeners: &mut [Program], sender: &mut Program) {
    for listener in listeners {
        listener.expect_exit(by, 0);
        assert_same("a listener's output", &listener.stdout(), text.bytes());
    }
    sender.expect_exit(by, 0);
    receipts::assert_all_delivered(&receipts::of(sender), text.lines(), 2);
}

fn stream_over_damage(pairing: Pairing, seed: u64, one_in: u64, lines: usize, damages: u64) {
    let by = Deadline::within(90);
    let stage = Stage::of(pairing);
    let text = Text::uneven(seed, lines);
    let broker = Broker::start_on_line(&stage, &by, &[]);
    let proxy = Proxy::start_damaging(broker.address(), seed, one_in);
    let line = line_of(&proxy);
    let mut listeners = start_listeners(&stage, &by, &line, lines);
    let mut sender = start_sender(&stage, &line, Input::Bytes(text.bytes().to_vec()));
    expect_all(&by, &text, &mut listeners, &mut sender);
    let counts = proxy.damages();
    println!("{:?} for {} bytes: {counts:?}", by.elapsed(), text.len());
    counts.expect(damages);
    broker.stop(&by);
}

fn lines_arrive_once_and_in_order_where_one_frame_in_a_hundred_is_damaged(pairing: Pairing) {
    stream_over_damage(pairing, 11, 100, 4_000, 60);
}

fn lines_arrive_once_and_in_order_where_one_frame_in_ten_is_damaged(pairing: Pairing) {
    stream_over_damage(pairing, 12, 10, 400, 60);
}

fn a_line_that_is_mute_for_a_while_and_then_gone_for_a_while_goes_on(pairing: Pairing) {
    let by = Deadline::within(90);
    let stage = Stage::of(pairing);
    let text = Text::uneven(13, 3_000);
    let broker = Broker::start_on_line(&stage, &by, &SIGN_OF_LIFE);
    let proxy = Proxy::start_damaging(broker.address(), 13, 100);
    let line = line_of(&proxy);
    let mut listeners = start_listeners(&stage, &by, &line, text.lines());
    let mut sender = start_sender(&stage, &line, Input::Piped);
    feed::throttled(sender.take_stdin(), text.bytes().to_vec(), 2 * 1024, Duration::from_millis(10));

    listeners[0].wait_stdout_len(&by, text.len_of(500));
    // So short that nobody takes the other end for dead.
    proxy.be_mute();
    thread::sleep(Duration::from_millis(300));
    proxy.be_faulty();
    listeners[0].wait_stdout_len(&by, text.len_of(1_000));
    assert_eq!(sender.said("waiting for "), 0, "{}", sender.describe());

    // So long that everybody does.
    proxy.be_mute();
    sender.wait_said(&by, "waiting for ", 1);
    thread::sleep(Duration::from_millis(500));
    proxy.be_faulty();
    // The broker may have had enough lines for the listener before that.
    sender.wait_said(&by, "connected to ", 2);
    listeners[0].wait_stdout_len(&by, text.len_of(1_500));

    proxy.refuse();
    sender.wait_said(&by, "waiting for ", 2);
    proxy.be_faulty();
    expect_all(&by, &text, &mut listeners, &mut sender);
    println!("{:?}: {:?}", by.elapsed(), proxy.damages());
    proxy.damages().expect(20);
    broker.stop(&by);
}

fn a_stream_over_a_damaging_line_survives_kills_of_the_broker(pairing: Pairing) {
    let by = Deadline::within(90);
    let stage = Stage::of(pairing);
    let text = Text::uneven(14, 3_000);
    let options = [&SIGN_OF_LIFE[..], &["--settle", "2s"]].concat();
    let mut broker = Broker::start_on_line(&stage, &by, &options);
    let proxy = Proxy::start_damaging(broker.address(), 14, 100);
    let line = line_of(&proxy);
    let mut listeners = start_listeners(&stage, &by, &line, text.lines());
    let mut sender = start_sender(&stage, &line, Input::Piped);
    feed::throttled(sender.take_stdin(), text.bytes().to_vec(), 2 * 1024, Duration::from_millis(10));
    for kill in 1..=2 {
        for listener in &mut listeners {
            listener.wait_stdout_len(&by, text.len_of(kill * 800));
        }
        broker.kill();
        assert!(listeners[0].stdout_len() < text.len(), "kill {kill} came too late to be in mid-stream");
        broker.restart(&by);
    }
    expect_all(&by, &text, &mut listeners, &mut sender);
    println!("{:?}: {:?}", by.elapsed(), proxy.damages());
    proxy.damages().expect(20);
    broker.stop(&by);
}

in_all_pairings! {
    over tcp
    lines_arrive_once_and_in_order_where_one_frame_in_a_hundred_is_damaged,
    lines_arrive_once_and_in_order_where_one_frame_in_ten_is_damaged,
    a_line_that_is_mute_for_a_while_and_then_gone_for_a_while_goes_on,
    a_stream_over_a_damaging_line_survives_kills_of_the_broker,
}
