//! Clients and a broker over lines that lose, repeat, reorder and damage frames.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod support;

use e_pigeon_core::{Close, Framing, Receipt, Value};
use std::collections::VecDeque;
use support::lossy::{DEAD, FRAMINGS, Faults, LOSSY, Lab, NONE, broker, ms};
use support::{client_config, group, make, uuid};

/// Everybody sends to everybody, and all of it arrives once, in order, answered.
fn conversation(seed: u64, framing: Framing, faults: Faults) -> u64 {
    let mut lab = Lab::new(seed, framing, 3, faults);
    let everyone = group("a");
    lab.all_here();
    let count = 120;
    let mut waiting: VecDeque<(usize, u64)> = (0..count).flat_map(|k| (0..3).map(move |n| (n, k))).collect();
    let mut turns = 0;
    while let Some((n, k)) = waiting.pop_front() {
        let length = lab.random.below(60) as usize;
        if !lab.send(n, &everyone, &format!("{n} {k} {}", "x".repeat(length))) {
            waiting.push_front((n, k));
        }
        turns += 1;
        assert!(turns < 1_000_000);
        if turns % 7 == 0 {
            lab.pass(ms(3));
        }
    }
    lab.until("all are answered", ms(1_200_000), |lab| {
        lab.peers.iter().all(|peer| peer.finals.len() == count as usize)
    });
    for peer in &lab.peers {
        for receipt in &peer.finals {
            assert!(matches!(receipt, Receipt::Final { delivered: 3, recipients: 3, .. }), "{receipt:?}");
        }
        for from in 0..3 {
            let prefix = format!("{from} ");
            let got = peer.got.iter().filter_map(|text| text.strip_prefix(&prefix));
            let numbers: Vec<u64> =
                got.map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect();
            assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "from {from}");
        }
    }
    lab.frames
}

#[test]
fn everything_arrives_once_and_in_order_whatever_the_line_does() {
    let kinds = [
        NONE,
        Faults { lost: 1, twice: 0, late: 0 },
        Faults { lost: 10, twice: 0, late: 0 },
        Faults { lost: 0, twice: 30, late: 50 },
        Faults { lost: 20, twice: 20, late: 20 },
    ];
    for framing in FRAMINGS {
        let quiet = conversation(1, framing, NONE);
        for faults in kinds {
            for seed in 1..=6 {
                let frames = conversation(seed, framing, faults);
                assert!(
                    frames < 5 * quiet,
                    "{framing:?} {faults:?}: a storm of {frames} frames, {quiet} without faults"
                );
            }
        }
    }
}

#[test]
fn an_idle_line_carries_signs_of_life_and_nothing_else() {
    for framing in FRAMINGS {
        let mut lab = Lab::new(1, framing, 1, NONE);
        lab.all_here();
        assert!(lab.send(0, &uuid(0).into(), "to myself"));
        lab.until("answered", ms(1_000), |lab| lab.peers[0].finals.len() == 1);
        lab.pass(ms(1_000));
        // The keep-alive interval is 10 s, and each end says its own.
        let frames = lab.frames_in(ms(100_000));
        assert!((18..=22).contains(&frames), "{framing:?}: {frames} frames in ten intervals");
    }
}

#[test]
fn a_dead_line_is_tried_less_and_less_often() {
    let mut lab = Lab::new(1, Framing::Datagram, 2, NONE);
    lab.all_here();
    lab.faults = DEAD;
    for k in 0..30 {
        assert!(lab.send(0, &uuid(1).into(), &format!("{k}")));
    }
    lab.pass(ms(5));
    // 16 at first, then three short ones at a time, after 30 ms, 30, 60, 60, 120 ...
    let frames = lab.frames_in(ms(25_000));
    assert!(frames <= 16 + 3 * 17, "{frames} frames before the line counts as dead");
    lab.faults = NONE;
    lab.until("answered", ms(60_000), |lab| lab.peers[0].finals.len() == 30);
    assert_eq!(lab.peers[1].got, (0..30).map(|k| k.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_goodbye_comes_after_all_that_was_said_before_and_is_confirmed() {
    for framing in FRAMINGS {
        for seed in 1..=40 {
            let mut lab = Lab::new(seed, framing, 2, LOSSY);
            lab.all_here();
            for k in 0..20 {
                assert!(lab.send(0, &uuid(1).into(), &format!("{k}")));
            }
            lab.pass(ms(15));
            let now = lab.now;
            lab.peers[0].client.close(now, Close::KeepSession);
            lab.until("closed", ms(120_000), |lab| lab.peers[0].closed);
            assert_eq!(lab.broker.stats().taken, 20, "{framing:?}, seed {seed}");
            // What the other one has taken is known to the broker when it has left too.
            lab.until("delivered", ms(120_000), |lab| lab.peers[1].got.len() == 20);
            let now = lab.now;
            lab.peers[1].client.close(now, Close::EndSession);
            lab.until("closed", ms(120_000), |lab| lab.peers[1].closed);
            assert_eq!(lab.broker.stats().delivered, 20, "{framing:?}, seed {seed}");
        }
    }
}

#[test]
fn a_broker_that_was_replaced_is_noticed_by_what_it_does_not_know() {
    for framing in FRAMINGS {
        let mut lab = Lab::new(1, framing, 2, NONE);
        lab.all_here();
        lab.broker = broker(2);
        lab.peers.iter_mut().for_each(|peer| peer.link = None);
        assert!(lab.send(0, &uuid(1).into(), "after its death"));
        // Who speaks to it is told at once; who does not, finds out by its silence.
        let took = lab.until("answered", ms(60_000), |lab| lab.peers[0].finals.len() == 1);
        assert!(took < ms(31_000), "{took:?}");
        assert_eq!(lab.peers[1].got, ["after its death"]);
    }
}

#[test]
fn a_client_that_starts_again_on_the_same_line_takes_its_session_over() {
    for framing in FRAMINGS {
        let mut lab = Lab::new(1, framing, 2, NONE);
        lab.all_here();
        assert!(lab.send(0, &group("a"), "first"));
        lab.pass(ms(50));
        let mut config = client_config(1);
        (config.framing, config.boot) = (framing, 1_000);
        lab.peers[1].client = make(config);
        let now = lab.now;
        lab.peers[1].client.set(now, "room", Value::Str("a")).unwrap();
        assert!(lab.send(0, &uuid(1).into(), "second"));
        let took = lab.until("answered", ms(60_000), |lab| lab.peers[0].finals.len() == 2);
        assert!(took < ms(1_000), "{took:?}");
        assert_eq!(lab.peers[1].got, ["first", "second"]);
        assert_eq!(lab.broker.stats().links, 2, "it is the same link");
    }
}

#[test]
fn what_is_left_over_of_an_earlier_link_changes_nothing() {
    let mut lab = Lab::new(1, Framing::Datagram, 2, NONE);
    lab.all_here();
    for k in 0..8 {
        assert!(lab.send(0, &uuid(1).into(), &format!("{k}")));
    }
    lab.moment();
    // All that is on its way comes again, after the next handshake, and out of order.
    let left: Vec<_> = lab.peers.iter().map(|peer| peer.line.values().cloned().collect::<Vec<_>>()).collect();
    lab.pass(ms(7));
    let now = lab.now;
    lab.peers.iter_mut().for_each(|peer| peer.client.handle_disconnected(now));
    lab.pass(ms(200));
    lab.all_here();
    for (n, frames) in left.into_iter().enumerate() {
        for (up, bytes) in frames.into_iter().rev() {
            lab.put(n, up, ms(1), bytes);
        }
    }
    lab.until("answered", ms(60_000), |lab| lab.peers[0].finals.len() == 8);
    assert_eq!(lab.peers[1].got, (0..8).map(|k| k.to_string()).collect::<Vec<_>>());
    assert!(lab.peers.iter().all(|peer| peer.client.is_established()));
}

#[test]
fn half_a_frame_that_was_left_on_a_line_does_not_cost_the_handshake() {
    let mut lab = Lab::new(1, Framing::Cobs, 1, NONE);
    for up in [true, false] {
        lab.all_here();
        let now = lab.now;
        lab.peers[0].client.handle_disconnected(now);
        lab.pass(ms(1));
        lab.put(0, up, ms(0), vec![7, 8, 9]);
        let took = lab.until("back", ms(60_000), |lab| lab.peers[0].client.is_established());
        assert!(took < ms(300), "up {up}: {took:?}");
    }
}

#[test]
fn a_window_that_opens_is_heard_of_though_the_word_of_it_is_lost() {
    for seed in 1..=20 {
        let mut lab = Lab::with(seed, Framing::Datagram, 2, NONE, |config| {
            (config.inbox_messages, config.reorder_bytes) = (2, 0);
        });
        lab.all_here();
        lab.peers[1].polls = false;
        for k in 0..10 {
            assert!(lab.send(0, &uuid(1).into(), &format!("{k}")));
        }
        lab.pass(ms(500));
        assert_eq!(lab.peers[1].got.len(), 0);
        lab.peers[1].polls = true;
        lab.faults = Faults { lost: 60, twice: 0, late: 0 };
        lab.pass(ms(100));
        lab.faults = NONE;
        // Far below the keep-alive interval.
        lab.until("answered", ms(3_000), |lab| lab.peers[0].finals.len() == 10);
    }
}

#[test]
fn what_the_ends_tell_each_other_does_not_multiply() {
    for framing in FRAMINGS {
        let mut lab = Lab::new(1, framing, 2, NONE);
        lab.all_here();
        (lab.is_eager, lab.delay) = (true, ms(50));
        let before = lab.frames;
        // Both speak all the time, so what each has to tell changes all the time.
        for k in 0..200 {
            assert!(
                lab.send(0, &uuid(1).into(), &format!("{k}"))
                    && lab.send(1, &uuid(0).into(), &format!("{k}"))
            );
            lab.pass(ms(2));
        }
        lab.until("answered", ms(10_000), |lab| lab.peers.iter().all(|peer| peer.finals.len() == 200));
        // A message, a delivery, a receipt, and a state for each; and an answer to a change now and then.
        let frames = (lab.frames - before) / 400;
        assert!(frames <= 7, "{framing:?}: {frames} frames for each message");
    }
}

#[test]
fn a_welcome_of_a_broker_that_has_died_is_not_taken_for_one_of_its_heir() {
    for framing in FRAMINGS {
        let mut lab = Lab::new(1, framing, 1, NONE);
        assert!(lab.send(0, &uuid(0).into(), "to myself"));
        // The hello has come, and the welcome is under way when the broker dies; its heir gets the hello again.
        lab.moment();
        let hello = lab.peers[0].line.first_key_value().unwrap().1.1.clone();
        lab.pass(ms(6));
        lab.broker = broker(2);
        lab.peers[0].link = None;
        lab.put(0, true, ms(0), hello);
        lab.until("answered", ms(60_000), |lab| lab.peers[0].finals.len() == 1);
        assert!(matches!(lab.peers[0].finals[0], Receipt::Final { delivered: 1, recipients: 1, .. }));
        assert_eq!(lab.peers[0].got, ["to myself"]);
    }
}
