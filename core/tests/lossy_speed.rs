//! How fast items get over lossy lines, in virtual time: a round trip of 100 ms, with jitter, damage, loss, and a line that
//! carries few bytes. `cargo test -p e-pigeon-core --test lossy_speed -- --nocapture` prints the figures.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

mod support;

use core::time::Duration;
use e_pigeon_core::{Broker, BrokerConfig, Framing};
use support::lossy::{FRAMINGS, Faults, Lab, NONE, Way, ms};
use support::uuid;

/// The slow line's client, and the one that is near.
const FAR: usize = 0;
const NEAR: usize = 1;

/// Items that may be under way.
const SPAN: f64 = 64.0;
/// 95 to 105 ms for a round trip: each frame has a jitter of its own.
const LONG: Way = Way {
    delay: Duration::from_micros(47_500),
    jitter: Duration::from_micros(5_000),
    steady: Duration::ZERO,
    rate: 0,
    faults: NONE,
    one_in: 0,
};
/// The same, but the jitter stays for a second each: long enough for the estimate to take the line for steady.
const STEADY: Way = Way { steady: Duration::from_secs(1), ..LONG };

const fn losing(percent: u64) -> Way {
    Way { faults: Faults { lost: percent, twice: 0, late: 0 }, ..LONG }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Up,
    Down,
    Both,
}
const DIRECTIONS: [Direction; 3] = [Direction::Up, Direction::Down, Direction::Both];

/// What became of a run.
#[derive(Debug)]
struct Run {
    /// Items in each direction that is used, per round trip of 100 ms.
    rate: f64,
    took: Duration,
    /// The longest time in which nothing arrived.
    pause: Duration,
    /// The longest time that the slow line needed for what waited on it.
    backlog: Duration,
    /// What both ends of both lines wrote, for each item.
    frames: f64,
}

fn lab(seed: u64, framing: Framing, way: Way) -> Lab {
    let mut lab = Lab::with(seed, framing, 2, NONE, |config| {
        (config.outbox_messages, config.inbox_messages) = (2_048, 2_048);
        (config.outbox_bytes, config.inbox_bytes) = (1 << 20, 1 << 20);
    });
    let config = BrokerConfig::new(0).settle(ms(0));
    lab.broker = Broker::new(config, 1).unwrap();
    lab.delay = ms(1);
    lab.peers[FAR].way = Some(way);
    lab.all_here();
    // Its round trip is known.
    lab.pass(ms(1_000));
    lab
}

/// So many messages with `length` bytes of payload, over the slow line of one client to or from another that is near.
fn run(lab: &mut Lab, direction: Direction, count: usize, length: usize) -> Run {
    let pairs: &[(usize, usize)] = match direction {
        Direction::Up => &[(FAR, NEAR)],
        Direction::Down => &[(NEAR, FAR)],
        Direction::Both => &[(FAR, NEAR), (NEAR, FAR)],
    };
    let (start, frames) = (lab.now, lab.frames);
    let mut sent = [0; 2];
    let (mut arrived, mut last, mut pause, mut backlog) = (0, start, ms(0), ms(0));
    let got = |lab: &Lab| pairs.iter().map(|&(_, to)| lab.peers[to].got.len()).sum::<usize>();
    let limit = start + ms(3_600_000);
    let before = got(lab);
    while arrived < count * pairs.len() {
        assert!(lab.now < limit, "{arrived} of {count} in an hour");
        for &(from, to) in pairs {
            while sent[from] < count {
                let text = format!("{:0length$}", sent[from]);
                if !lab.send(from, &uuid(to).into(), &text) {
                    break;
                }
                sent[from] += 1;
            }
        }
        step(lab);
        for (free, _) in lab.peers[FAR].busy {
            backlog = backlog.max(free.saturating_duration_since(lab.now));
        }
        let so_far = got(lab) - before;
        if so_far > arrived {
            (pause, last) = (pause.max(lab.now.saturating_duration_since(last)), lab.now);
            arrived = so_far;
        }
    }
    for &(_, to) in pairs {
        let numbers: Vec<usize> = lab.peers[to].got.iter().map(|text| text.parse().unwrap()).collect();
        assert!(numbers.ends_with(&(0..count).collect::<Vec<_>>()), "in order, each once");
    }
    let took = lab.now.saturating_duration_since(start);
    let run = Run {
        rate: count as f64 * 0.1 / took.as_secs_f64(),
        took,
        pause,
        backlog,
        frames: (lab.frames - frames) as f64 / (count * pairs.len()) as f64,
    };
    assert!(run.frames < 12.0, "a storm: {run:?}");
    println!("{:?} {direction:?} {:?}: {run:.1?}", lab.framing, lab.peers[FAR].way);
    run
}

/// Runs in all directions, with several seeds each.
fn runs(framing: Framing, way: Way, count: usize, seeds: u64, check: impl Fn(&Run)) {
    for direction in DIRECTIONS {
        for seed in 1..=seeds {
            check(&run(&mut lab(seed, framing, way), direction, count, 30));
        }
    }
}

/// To the next moment at which something happens.
fn step(lab: &mut Lab) {
    lab.moment();
    if let Some(next) = lab.next() {
        lab.now = lab.now.max(next).max(lab.now + Duration::from_micros(1));
    }
}

#[test]
fn field_f6_a_line_without_loss_carries_most_of_its_span_in_each_round_trip() {
    for way in [LONG, STEADY] {
        runs(Framing::Cobs, way, 2_000, 3, |run| assert!(run.rate >= 0.8 * SPAN, "{run:?}"));
    }
}

#[test]
fn field_f6_a_timer_that_ends_too_early_does_not_make_the_flight_small() {
    for framing in FRAMINGS {
        for direction in DIRECTIONS {
            let mut lab = lab(1, framing, STEADY);
            run(&mut lab, direction, 1_000, 30);
            // The next answers come after the timer has ended, and nothing is lost.
            lab.peers[FAR].way = Some(Way { delay: ms(97), ..STEADY });
            let run = run(&mut lab, direction, 1_000, 30);
            assert!(run.rate >= 0.5 * 0.8 * SPAN, "of 200 ms: {run:?}");
        }
    }
}

#[test]
fn field_f6_five_damaged_frames_in_a_hundred_cost_less_than_half() {
    runs(Framing::Cobs, losing(5), 2_000, 5, |run| assert!(run.rate >= 0.4 * SPAN, "{run:?}"));
}

#[test]
fn field_f6_forty_lost_frames_in_a_hundred_leave_steady_progress() {
    for framing in FRAMINGS {
        runs(framing, losing(40), 300, 10, |run| {
            assert!(run.took < ms(45_000) && run.pause < ms(10_000), "{run:?}");
        });
    }
}

#[test]
fn field_f6_a_damaged_byte_in_a_hundred_and_twenty_leaves_progress() {
    runs(Framing::Cobs, Way { one_in: 120, ..LONG }, 300, 5, |run| {
        assert!(run.took < ms(45_000) && run.pause < ms(10_000), "{run:?}");
    });
    runs(Framing::Cobs, Way { one_in: 400, ..LONG }, 1_000, 3, |run| assert!(run.rate >= 12.0, "{run:?}"));
}

#[test]
fn field_f6_a_network_on_which_frames_overtake_each_other_is_not_taken_for_one_that_loses_them() {
    runs(Framing::Datagram, LONG, 2_000, 3, |run| assert!(run.rate >= 0.6 * SPAN, "{run:?}"));
}

#[test]
fn field_f6_a_line_of_few_bytes_per_second_is_not_flooded() {
    // 9,600 bits per second, so that a frame takes 70, 350 and 2,100 ms; 16 go out before anything is known of that.
    for (length, backlog) in [(30, 6_000), (300, 15_000), (2_000, 80_000)] {
        let way = Way { delay: ms(1), jitter: ms(0), rate: 960, ..LONG };
        for direction in DIRECTIONS {
            let run = run(&mut lab(1, Framing::Cobs, way), direction, 200, length);
            assert!(run.backlog < ms(backlog), "{length} bytes {direction:?}: {run:?}");
            assert!(run.took < ms(300 * (length as u64 + 70)), "{length} bytes {direction:?}: {run:?}");
        }
    }
}
