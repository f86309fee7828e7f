//! Queues in which messages have ended, gone through over several calls.

use super::*;

/// Sends so many messages to a client, and lets their time pass.
fn end_in_queue(raw: &mut Raw, from: LinkId, count: u64) {
    let to = Destination::from(uuid(1));
    for n in 0..count {
        raw.put_all(from, &message_for((n == 0).then_some(&to), 1, None, 1_000, &n.to_le_bytes()));
        if n % 1_000 == 999 {
            raw.swallow(from);
        }
    }
    raw.now = raw.now + Duration::from_secs(1);
}

#[test]
fn one_queue_is_searched_over_several_calls_and_goes_on_where_it_stopped() {
    const COUNT: u64 = 16_000;
    const BUDGET: u32 = 1_000;
    let config = BrokerConfig::new(0).settle(Duration::ZERO).sender_queue(u32::MAX).session_ttl(HOUR);
    let mut raw = Raw::new(config);
    raw.away(1, AttributesRef::EMPTY);
    let from = raw.up(0, 1);
    end_in_queue(&mut raw, from, COUNT);
    raw.broker.set_budget(BUDGET);
    let mut began = 0;
    for calls in 0.. {
        assert!(calls < 10_000, "it comes to an end");
        let kept = raw.broker.stats().kept;
        raw.broker.handle_timeout(raw.now);
        let (work, stats) = (raw.broker.work_of_last_call(), raw.broker.stats());
        // A part of a queue more than that: its entries are looked at, and leave.
        assert!(work < BUDGET + 1_024 * 3 + 100, "{work} units");
        assert!(kept - stats.kept <= 2 * 1_024, "{} at once", kept - stats.kept);
        began += u64::from(kept > stats.kept);
        if stats.open == 0 && raw.broker.poll_timeout().is_none_or(|at| at > raw.now) {
            break;
        }
    }
    assert!(began >= COUNT / 2_048, "{began} calls");
    assert!(raw.broker.stats().kept <= 1_024, "{} are left", raw.broker.stats().kept);
}

/// The client acknowledges and gets more while its queue is gone through: what it reads has all numbers, and no message that has
/// ended after it was searched for.
#[test]
fn a_queue_that_is_searched_over_several_calls_serves_its_client_meanwhile() {
    let mut random = Random(11);
    for round in 0..20 {
        let config = BrokerConfig::new(0).settle(Duration::ZERO).sender_queue(u32::MAX);
        let mut raw = Raw::new(config);
        let (link, from) = (raw.up(1, 1), raw.up(0, 1));
        let to = Destination::from(uuid(1));
        let (mut unacknowledged, mut sent, mut lives) = (0, 0, BTreeSet::new());
        let mut is_first = true;
        let mut put = |raw: &mut Raw, random: &mut Random, count: u64, lives: &mut BTreeSet<u64>| {
            for _ in 0..count {
                let ms = if random.percent(10) { 3_600_000 } else { 1_000 };
                if ms > 1_000 {
                    lives.insert(sent);
                }
                let define = core::mem::take(&mut is_first).then_some(&to);
                raw.put_all(from, &message_for(define, 1, None, ms, &sent.to_le_bytes()));
                sent += 1;
            }
            raw.swallow(from);
        };
        put(&mut raw, &mut random, 4_000, &mut lives);
        // Some are written, the others wait for the window.
        let mut got = BTreeSet::new();
        let mut read = |raw: &mut Raw, unacknowledged: &mut u64| {
            let bytes = raw.swallow(link);
            got.extend(numbers(&bytes));
            let counts = items(&bytes, |item| match item {
                DownItem::Void(count) => Some(u64::from(*count)),
                _ => Some(1),
            });
            *unacknowledged += counts.iter().sum::<u64>();
        };
        read(&mut raw, &mut unacknowledged);
        raw.put(link, &frame(|w| Control::Window(Window { messages: 0, bytes: 0 }).write(w)));
        put(&mut raw, &mut random, 4_000, &mut lives);
        raw.now = raw.now + Duration::from_secs(1);
        raw.broker.set_budget(random.pick(&[100, 400, 2_000]));
        for _ in 0..10_000 {
            raw.broker.handle_timeout(raw.now);
            if random.percent(10) && unacknowledged > 0 {
                let more = random.between(1, 50).min(unacknowledged);
                raw.put_all(link, &frame(|w| Control::Ack(more).write(w)));
                unacknowledged -= more;
            }
            if random.percent(2) {
                raw.put_all(link, &frame(|w| Control::Window(WIDE).write(w)));
                read(&mut raw, &mut unacknowledged);
            }
            if raw.broker.poll_timeout().is_none_or(|at| at > raw.now) {
                break;
            }
        }
        raw.put_all(link, &frame(|w| Control::Window(WIDE).write(w)));
        raw.settle();
        read(&mut raw, &mut unacknowledged);
        raw.put_all(link, &frame(|w| Control::Ack(unacknowledged).write(w)));
        raw.settle();
        let stats = raw.broker.stats();
        assert_eq!(
            (stats.connected, stats.open, stats.kept),
            (2, 0, 0),
            "round {round}: all is acknowledged"
        );
        assert!(lives.is_subset(&got), "round {round}");
        assert!(stats.is_balanced());
    }
}

/// All queues that a message to many takes the last place of get new ones over several calls, and until then the next message
/// to many waits, whatever its destination is.
#[test]
fn queues_that_are_full_at_once_get_room_over_several_calls() {
    const SESSIONS: usize = 2_000;
    const BUDGET: u32 = 400;
    let all = Filter::all_of(&[("all", Value::Int(1))]).unwrap();
    let any = Filter::any_of(&[("all", Value::Int(1)), ("own", Value::Int(5))]).unwrap();
    let none = Filter::all_of(&[("all", Value::Int(1)), ("own", Value::Int(5))]).unwrap();
    for (to, waits) in [
        (Destination::from(Filter::everyone()), true),
        (all.into(), true),
        (any.into(), true),
        // One of them has both.
        (none.into(), false),
        (uuid(105).into(), false),
    ] {
        let mut raw = raw();
        many(&mut raw, SESSIONS);
        let (link, other) = (raw.up(0, 1), raw.up(1, 1));
        let everyone = Destination::from(Filter::everyone()).exclude_self();
        raw.put(link, &message(Some(&to), 1, None, &0_u64.to_le_bytes()));
        raw.put(other, &message(Some(&everyone), 1, None, &1_u64.to_le_bytes()));
        raw.settle();
        raw.broker.set_budget(BUDGET);
        // Until one has taken the last of four places of each.
        let mut sent = 2_u64;
        while raw.broker.poll_timeout().is_none_or(|at| at > raw.now) {
            assert!(sent < 5, "no queue is full");
            raw.put(other, &message(None, 1, None, &sent.to_le_bytes()));
            sent += 1;
        }
        let work = raw.broker.work_of_last_call();
        assert!(work < SESSIONS as u32 + BUDGET + 100, "{work} units");
        // By an alias, and by its destination.
        for define in [None, Some(&to)] {
            let bytes = message(define, 1, None, &7_u64.to_le_bytes());
            let taken = raw.broker.handle_input(raw.now, link, &bytes).unwrap();
            assert_eq!(taken == 0, waits, "{to:?}");
            let resumes =
                core::iter::from_fn(|| raw.broker.poll_ready()).any(|ready| ready == Ready::Resume(link));
            assert_eq!(resumes, waits, "{to:?}");
        }
        let (calls, most) = raw.settle();
        assert!(calls > SESSIONS as u32 * 8 / BUDGET / 2, "{calls} calls");
        assert!(most < BUDGET + 100, "{most} units");
        raw.put_all(link, &message(None, 1, None, &8_u64.to_le_bytes()));
        // All that was taken is there, in order.
        let reader = raw.link();
        raw.put_all(reader, &hello(105, 2, None, pairs(&[("all", 1), ("own", 5)]).as_ref()));
        raw.settle();
        let expected: Vec<u64> = (0..sent).chain([7, 7].into_iter().filter(|_| !waits)).chain([8]).collect();
        assert_eq!(numbers(&raw.swallow(reader)), expected, "{to:?}");
    }
}
