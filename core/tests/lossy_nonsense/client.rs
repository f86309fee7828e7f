//! A client, to which a hostile broker writes.

use super::*;

fn settle(client: &mut Client<Vec<u8>>, enemy: &mut Enemy, now: Instant) {
    let mut out = vec![0; 9_000];
    for _ in 0..1_000 {
        let wanted = client.wants_transmit();
        let written = client.poll_transmit(now, &mut out).unwrap_or(0);
        assert_eq!(wanted, written > 0, "it says {wanted} and writes {written}");
        if written == 0 {
            return;
        }
        enemy.hears(&out[..written]);
    }
    panic!("it does not end");
}

#[test]
fn a_client_bears_whatever_comes_and_serves_an_honest_broker_then() {
    for seed in 0..seeds(60) {
        let mut r = Random(seed);
        let framing = FRAMINGS[seed as usize % 2];
        let mut config = client_config(0);
        (config.framing, config.max_payload, config.watches) = (framing, 64, 2);
        (config.inbox_messages, config.inbox_bytes, config.reorder_bytes) = (8, 300, 300);
        let boot = config.boot;
        let mut client = make(config);
        let (mut enemy, mut now, mut link) = (Enemy::new(framing), Instant::from_micros(1), 0);
        for _ in 0..2_000 {
            if client.wants_connection() {
                client.handle_connected(now);
                link += 1;
                enemy.starts(tag(boot, link));
            }
            let bytes = enemy.down(&mut r, 1 + link / 2);
            let cut = if framing == Framing::Cobs { r.below(bytes.len() as u64 + 1) as usize } else { 0 };
            for piece in [&bytes[..cut], &bytes[cut..]] {
                client.handle_input(now, piece);
            }
            match r.below(8) {
                0 => drop(client.send(now, &Message::new(&uuid(1).into(), b"mine"))),
                1 => drop(client.set(now, "room", Value::Int(r.below(3) as i64))),
                2 => drop(client.watch(now, &Filter::everyone())),
                _ => {}
            }
            settle(&mut client, &mut enemy, now);
            while r.percent(80) && client.poll_event().is_some() {}
            if client.wants_disconnect() || r.percent(1) {
                client.handle_disconnected(now);
            }
            now = now + ms(r.below(60));
            client.handle_timeout(now);
            assert!(client.is_closed() || client.poll_timeout().is_none_or(|at| at > now), "seed {seed}");
            if client.is_closed() {
                break;
            }
        }
        if !client.is_closed() {
            serve(&mut client, framing, now);
        }
    }
}

/// An honest broker gets what the client has for it.
fn serve(client: &mut Client<Vec<u8>>, framing: Framing, mut now: Instant) {
    let mut broker = Broker::new(BrokerConfig::new(0).settle(ms(0)), 77).unwrap();
    let link = broker.handle_connected_over(now, 0, framing).unwrap();
    client.handle_disconnected(now);
    let mut out = vec![0; 9_000];
    for _ in 0..4_000 {
        if client.wants_connection() {
            client.handle_connected(now);
        }
        while let Ok(written @ 1..) = client.poll_transmit(now, &mut out) {
            broker.handle_input(now, link, &out[..written]).unwrap();
        }
        while let Ok(written @ 1..) = broker.poll_transmit(now, link, &mut out) {
            client.handle_input(now, &out[..written]);
        }
        while client.poll_event().is_some() {}
        if client.wants_disconnect() {
            client.handle_disconnected(now);
        }
        now = now + ms(5);
        client.handle_timeout(now);
        broker.handle_timeout(now);
    }
    assert!(client.is_established());
    assert_eq!(client.unanswered().count(), broker.stats().open as usize);
}
