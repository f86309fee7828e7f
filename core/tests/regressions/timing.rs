//! What happens in time, and ends in time.

use super::*;

#[test]
fn the_broker_says_something_in_every_keep_alive_interval() {
    let config = BrokerConfig::new(0);
    let interval = config.keep_alive;
    let mut world = World::with(1, config);
    let link = world.peers[0].link.unwrap();
    let (mut spoke, mut longest) = (world.now, Duration::ZERO);
    let end = world.now + interval * 30;
    let mut out = [0; 4096];
    while world.now < end {
        world.now = world.now + Duration::from_millis(100);
        // The client is a little ahead of the broker's clock, as any latency makes it.
        world.peers[0].client.handle_timeout(world.now);
        world.up(0, MAX);
        world.broker.handle_timeout(world.now);
        let written = world.broker.poll_transmit(world.now, link, &mut out).unwrap();
        if written > 0 {
            longest = longest.max(world.now.saturating_duration_since(spoke));
            spoke = world.now;
            world.peers[0].client.handle_input(world.now, &out[..written]);
        }
    }
    assert!(longest <= interval * 3 / 2, "silent for {longest:?}");
}

#[test]
fn an_idle_link_survives_some_jitter() {
    // The broker's bytes need 0 or 300 ms, in turns.
    let config = BrokerConfig::new(0);
    let end = Instant::from_micros(0) + config.keep_alive * 60;
    let mut world = World::with(1, config);
    world.peers[0].log.notes.clear();
    let link = world.peers[0].link.unwrap();
    let mut out = [0; 4096];
    let mut under_way: Vec<(Instant, Vec<u8>)> = vec![];
    let mut turn = 0;
    while world.now < end {
        world.now = world.now + Duration::from_millis(100);
        if world.peers[0].client.is_established() {
            world.peers[0].client.handle_timeout(world.now);
            world.up(0, MAX);
        }
        world.broker.handle_timeout(world.now);
        if let Ok(n @ 1..) = world.broker.poll_transmit(world.now, link, &mut out) {
            turn += 1;
            let delay = Duration::from_millis(if turn % 2 == 0 { 300 } else { 0 });
            under_way.push((world.now + delay, out[..n].to_vec()));
        }
        while under_way.first().is_some_and(|(at, _)| *at <= world.now) {
            let (_, bytes) = under_way.remove(0);
            world.peers[0].client.handle_input(world.now, &bytes);
        }
        world.poll(0);
    }
    assert_eq!(world.peers[0].log.notes, [""; 0]);
}

#[test]
fn any_accept_delay_that_is_taken_works() {
    let config = BrokerConfig::new(0).accept_delay(Duration::MAX);
    if Broker::new(config.clone(), 1).is_err() {
        return;
    }
    let mut world = World::with(2, config);
    let id = world.send(0, &uuid(1).into(), "x");
    world.settle();
    assert_eq!(world.outcome(0, id), Some((1, 1)));
}

#[test]
fn close_ends_though_the_inbox_was_not_read() {
    let config = BrokerConfig::new(0).receipt_backlog(4).window_messages(4);
    let mut world = World::with(2, config);
    world.peers[0].sleeps = true;
    world.send(1, &uuid(0).into(), "unread");
    world.flow();
    for k in 0..40 {
        world.send(0, &uuid(1).into(), &k.to_string());
        world.flow();
    }
    world.close(0, Close::KeepSession);
    world.peers[0].sleeps = false;
    world.pass(Duration::from_secs(60));
    assert!(world.peers[0].client.is_closed(), "unanswered: {}", world.peers[0].client.unanswered().count());
}

#[test]
fn a_session_is_forgotten_though_the_timeout_was_not_handled_first() {
    let mut world = World::new(2);
    world.cut(0);
    let epoch_session = world.config.session_ttl;
    world.now = world.now + epoch_session + Duration::from_secs(60);
    // The machine slept: the adapter's connect is ready before its timer.
    let now = world.now;
    let client = &mut world.peers[0].client;
    client.handle_connected(now);
    let mut out = [0; 4096];
    let written = client.poll_transmit(now, &mut out).unwrap();
    let mut reader = e_pigeon_core::codec::Reader::new(&out[..written]);
    let length = reader.u64().unwrap();
    assert_eq!(length as usize, reader.remaining());
    let kind = reader.u8().unwrap();
    let Ok(Control::Hello(hello, _)) = Control::read(kind, &mut reader) else { panic!() };
    assert_eq!(hello.known, None);
}
