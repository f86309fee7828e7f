//! Messages that are sent again, and recipients that decline them.

use super::*;

#[test]
fn only_connected_never_waits_also_where_all_decline() {
    let mut world = World::new(0);
    world.join(client_config(0), "s");
    world.join(client_config(1), "elsewhere");
    world.settle();
    world.peers[0].sleeps = true;
    let id = world.send(0, &group("g").only_connected(), "m1");
    world.send(0, &uuid(1).into(), "m2");
    world.up(0, MAX);
    world.down(1, MAX);
    world.poll(1);
    assert_eq!(world.messages(1), ["m2"]);
    let now = world.now;
    world.peers[1].client.set(now, "room", Value::Str("g")).unwrap();
    world.kill_broker();
    world.peers[0].sleeps = false;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.broker.stats().waiting, 0, "it waits for somebody");
    assert!(world.outcome(0, id).is_some());
}

/// m1 is for B, who is away. A, who was connected then but did not match, joins the group later; by then m1 lies below
/// its window. After a crash A answers "had it": the sender reads "1 of 1", and B never gets it.
#[test]
fn who_was_here_but_not_meant_does_not_confirm_what_lies_below_its_window() {
    let mut world = World::new(0);
    world.join(client_config(0), "s");
    let mut config = client_config(1);
    config.seen_window = 64;
    world.join(config, "a");
    world.join(client_config(2), "b");
    world.settle();
    world.cut(2);
    world.peers[2].reachable = false;
    let m1 = world.send(0, &group("b"), "m1");
    world.settle();
    for n in 0..100 {
        world.send(0, &uuid(1).into(), &n.to_string());
    }
    world.settle();
    let now = world.now;
    world.peers[1].client.set(now, "room", Value::Str("b")).unwrap();
    world.settle();
    world.kill_broker();
    world.pass(Duration::from_secs(10));
    assert_eq!(world.outcome(0, m1), None, "nobody has had it");
    world.peers[2].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.messages(2), ["m1"]);
    assert_eq!(world.outcome(0, m1), Some((1, 1)));
}

/// The client may not acknowledge past what it has declined before the broker has taken the decline; the broker
/// acknowledges nothing while receipts pile up behind that.
#[test]
fn a_decline_and_a_backlog_of_receipts_do_not_wait_for_each_other() {
    let config = BrokerConfig::new(0).receipt_backlog(2).window_messages(8).settle(Duration::from_secs(1));
    let mut world = World::with(2, config);
    world.cut(1);
    world.peers[1].reachable = false;
    world.send(0, &group("a").exclude_self(), "for one");
    world.settle();
    world.kill_broker();
    world.peers[0].reachable = false;
    let newcomer = world.join(client_config(2), "a");
    world.pass(Duration::from_secs(5));
    // What the newcomer will decline is on its way to it, and so are receipts for it.
    let mut ids = vec![];
    for n in 0..6 {
        ids.push(world.send_for(
            newcomer,
            &uuid(90 + n).into(),
            "x",
            Duration::from_millis(10 + 20 * n as u64),
        ));
    }
    world.up(newcomer, MAX);
    world.peers[0].reachable = true;
    world.connect(0);
    for _ in 0..3 {
        world.up(0, MAX);
        world.down(0, MAX);
    }
    for _ in 0..20 {
        world.now = world.now + Duration::from_millis(10);
        world.broker.handle_timeout(world.now);
        world.down(newcomer, MAX);
    }
    world.pass(Duration::from_secs(60));
    assert_eq!(world.broker.stats().declined, 1);
    for n in 0..20 {
        ids.push(world.send(newcomer, &uuid(0).into(), &n.to_string()));
    }
    let after = world.send(0, &uuid(2).into(), "after");
    world.pass(Duration::from_secs(60));
    let open = ids.iter().filter(|&&id| world.outcome(newcomer, id).is_none()).count();
    assert_eq!((open, world.outcome(0, after)), (0, Some((1, 1))));
}

/// A recipient that cannot prove that it had a message declines it; parked again, it must not come unmarked.
#[test]
fn what_is_parked_again_after_a_decline_is_not_handed_twice() {
    let mut world = World::new(1);
    let mut config = client_config(1);
    config.seen_window = 64;
    let n = world.join(config, "a");
    world.settle();
    world.peers[n].sleeps = true;
    for k in 0..100 {
        world.send(0, &uuid(1).into(), &k.to_string());
    }
    world.flow();
    // The client gives its session up a moment before the broker does, which has noticed later: it is renewed.
    world.half_open(n);
    world.peers[n].reachable = false;
    world.pass(world.config.session_ttl + Duration::from_secs(5));
    world.peers[n].reachable = true;
    world.pass(Duration::from_secs(6));
    assert!(world.peers[n].client.is_established());
    assert!(
        world.broker.stats().declined > 0 && world.broker.stats().waiting > 0,
        "{:?}",
        world.broker.stats()
    );
    let now = world.now;
    world.peers[n].client.set(now, "mood", Value::Int(1)).unwrap();
    world.settle();
    world.peers[n].sleeps = false;
    world.settle();
    let expected: Vec<String> = (0..100).map(|k| k.to_string()).collect();
    assert_eq!(world.messages(n), expected);
}

/// A message of an earlier session ends in this one before its repetition comes: the next session that matches must not get it too.
#[test]
fn a_repetition_that_crosses_the_receipt_of_an_earlier_session_comes_to_nobody_else() {
    let mut raw = Raw::new(BrokerConfig::new(0));
    let room = group("a");
    let from = raw.up(0, 1);
    raw.put(from, &message(Some(&room), 1, None, b"parked"));
    raw.broker.handle_disconnected(raw.now, from);
    raw.now = raw.now + raw.broker.config().session_ttl;
    raw.broker.handle_timeout(raw.now);
    assert_eq!((raw.broker.stats().sessions, raw.broker.stats().waiting), (0, 1));
    let from = raw.up(0, 2);
    let member = |raw: &mut Raw, n: usize| {
        let link = raw.link();
        let mut attributes = e_pigeon_core::Attributes::new();
        attributes.set("room", Value::Str("a")).unwrap();
        raw.put(link, &hello(n, 1, None, attributes.as_ref()));
        (link, raw.swallow(link))
    };
    let (first, down) = member(&mut raw, 1);
    assert!(down.ends_with(b"parked"));
    raw.put(first, &frame(|w| Control::Ack(1).write(w)));
    raw.put(from, &message(Some(&room), 1, Some(Past::Parked), b"parked"));
    raw.broker.handle_disconnected(raw.now, first);
    raw.now = raw.now + raw.broker.config().session_ttl;
    raw.broker.handle_timeout(raw.now);
    let (_, down) = member(&mut raw, 2);
    assert!(!down.ends_with(b"parked"), "its sender was told that one of one has it");
    let stats = raw.broker.stats();
    assert_eq!((stats.repeated, stats.waiting, stats.open), (1, 0, 0));
}
