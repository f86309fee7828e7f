//! An empty broker has given back what a burst has taken. The memory of the process counts, so this test is alone in it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::{BrokerConfig, Destination};
use support::raw::{Raw, frame, message_for};
use support::uuid;

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let said = std::fs::read_to_string("/proc/self/statm").unwrap();
    said.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

fn pass(raw: &mut Raw, duration: Duration) {
    let end = raw.now + duration;
    while let Some(due) = raw.broker.poll_timeout().filter(|&due| due <= end) {
        raw.now = raw.now.max(due);
        raw.broker.handle_timeout(raw.now);
        raw.drain();
    }
    raw.now = end;
}

/// 70 clients get 14,000 messages each, 980,000 in all, and take them when all are there.
#[test]
fn field_s1_memory_goes_back_after_a_burst() {
    const CLIENTS: usize = 70;
    let mut raw = Raw::new(BrokerConfig::new(0).settle(Duration::ZERO));
    // Two senders, for one takes no more than half of a queue.
    let from = [raw.up(1_000, 1), raw.up(1_001, 1)];
    let before = resident();
    let readers: Vec<_> = (0..CLIENTS).map(|n| raw.up(n, 1)).collect();
    for (n, &reader) in readers.iter().enumerate() {
        let to = Destination::from(uuid(n));
        for from in from {
            for k in 0..7_000 {
                let payload = [7; 32];
                raw.put_all(from, &message_for((k == 0).then_some(&to), 1, None, 3_600_000, &payload));
                if k % 1_000 == 999 {
                    raw.swallow(from);
                }
            }
        }
        raw.swallow(reader);
    }
    let full = resident() - before;
    assert_eq!(raw.broker.stats().open, 980_000);
    for reader in readers {
        raw.put_with_timeouts(reader, &frame(|w| Control::Ack(14_000).write(w)));
        raw.put_with_timeouts(reader, &frame(|w| Control::Goodbye(true).write(w)));
        raw.swallow(reader);
        raw.broker.handle_disconnected(raw.now, reader);
    }
    assert_eq!(raw.broker.stats().delivered, 980_000);
    for from in from {
        raw.put_with_timeouts(from, &frame(|w| Control::Goodbye(true).write(w)));
        raw.swallow(from);
        raw.broker.handle_disconnected(raw.now, from);
    }
    pass(&mut raw, Duration::from_secs(5));
    let left = resident().saturating_sub(before);
    println!("{} MiB at the most, {} MiB left", full >> 20, left >> 20);
    assert!(full > 128 << 20, "{full} bytes are no burst");
    assert!(left < 64 << 20, "{left} bytes of {full} are left");
}
