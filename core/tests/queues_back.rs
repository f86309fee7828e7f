//! Large queues give back what they have taken. What the allocator keeps of that is not counted: as their messages lie
//! between each other, it depends on which one goes last.
#![allow(clippy::unwrap_used)]

mod support;

use core::time::Duration;
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::{AttributesRef, BrokerConfig, Destination};
use support::counting::{Counting, live};
use support::raw::{Raw, frame, message_for};
use support::uuid;

#[global_allocator]
static COUNTING: Counting = Counting;

const CLIENTS: usize = 64;
const EACH: u64 = 1_000;

/// A client comes and leaves for good; before that it may take what is in its queue.
fn leave(raw: &mut Raw, n: usize, takes: bool) {
    let link = raw.up(n, 2);
    if takes {
        raw.put_with_timeouts(link, &frame(|w| Control::Ack(EACH).write(w)));
    }
    raw.put_with_timeouts(link, &frame(|w| Control::Goodbye(true).write(w)));
    raw.swallow(link);
    raw.broker.handle_disconnected(raw.now, link);
    for _ in 0..5 {
        raw.now = raw.now + Duration::from_secs(1);
        while raw.broker.poll_timeout().is_some_and(|at| at <= raw.now) {
            raw.broker.handle_timeout(raw.now);
        }
    }
    raw.drain();
}

/// Tables whose end was in use try again after a minute.
fn wait(raw: &mut Raw) {
    raw.now = raw.now + Duration::from_secs(61);
    while raw.broker.poll_timeout().is_some_and(|at| at <= raw.now) {
        raw.broker.handle_timeout(raw.now);
    }
    raw.drain();
}

/// 64 clients that are away have 1,000 messages of 4 KiB each in their queues, 250 MiB in all.
#[test]
fn field_s1_large_queues_give_memory_back() {
    for takes in [true, false] {
        let config = BrokerConfig::new(0).settle(Duration::ZERO);
        let mut raw = Raw::new(config.sender_queue(u32::MAX));
        let before = live();
        (0..CLIENTS).for_each(|n| raw.away(n, AttributesRef::EMPTY));
        let from = raw.up(1_000, 1);
        for k in 0..EACH as usize * CLIENTS {
            // By turns, so that the messages of a queue lie between those of others.
            let to = Destination::from(uuid(k % CLIENTS));
            raw.put_with_timeouts(from, &message_for(Some(&to), 1, None, 3_600_000, &[7; 4_096]));
            if k % 1_000 == 999 {
                raw.swallow(from);
            }
        }
        assert_eq!(raw.broker.stats().open, EACH * CLIENTS as u64);
        let full = live() - before;
        assert!(full > 250 << 20, "{full} bytes are no burst");
        (1..CLIENTS).for_each(|n| leave(&mut raw, n, takes));
        assert_eq!(raw.broker.stats().open, EACH);
        let left = (live() - before) >> 20;
        assert!(left < 32, "{left} MiB are in use for one queue");
        leave(&mut raw, 0, takes);
        raw.put_with_timeouts(from, &frame(|w| Control::Goodbye(true).write(w)));
        raw.swallow(from);
        raw.broker.handle_disconnected(raw.now, from);
        wait(&mut raw);
        let left = (live() - before) >> 10;
        println!("{} MiB at the most, {left} KiB left", full >> 20);
        assert!(left < 4 << 10, "{left} KiB of {full} bytes are in use");
    }
}
