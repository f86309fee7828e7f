//! Peers, lines and moments that mean ill, on lossy framed transports.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod support;

use e_pigeon_core::codec::Reader;
use e_pigeon_core::wire::control::{Abort, Control, Welcome};
use e_pigeon_core::wire::item::{Deliver, DownItem, Origin, Reply};
use e_pigeon_core::wire::state::{Prefix, StateFrame, tag, welcomed_tag};
use e_pigeon_core::{
    AbortCode, AttributesRef, Broker, Client, ClientConfig, Close, Event, Filter, Framing, Instant, LinkId,
    Message, Ready, RefusalReason,
};
use support::lossy::{Faults, Lab, NONE, broker, ms};
use support::lossy_raw::{WIDE, control, frame, hello_of, state};
use support::{client_config, make, uuid};

/// What comes out of an end, one datagram each, without the prefix.
fn bodies(mut next: impl FnMut(&mut [u8]) -> usize) -> Vec<(Prefix, Vec<u8>)> {
    let (mut all, mut out) = (Vec::new(), vec![0; 9_000]);
    while let length @ 1.. = next(&mut out) {
        let mut reader = Reader::new(&out[..length]);
        let prefix = Prefix::read(&mut reader).unwrap();
        all.push((prefix, reader.rest().to_vec()));
        assert!(all.len() < 1_000, "it does not end");
    }
    all
}

fn from_broker(broker: &mut Broker, now: Instant, link: LinkId) -> Vec<(Prefix, Vec<u8>)> {
    bodies(|out| broker.poll_transmit(now, link, out).unwrap_or(0))
}

fn from_client(client: &mut Client<Vec<u8>>, now: Instant) -> Vec<(Prefix, Vec<u8>)> {
    bodies(|out| client.poll_transmit(now, out).unwrap())
}

fn abort_in(frames: &[(Prefix, Vec<u8>)]) -> Option<Abort> {
    frames.iter().find_map(|(_, body)| {
        let mut reader = Reader::new(body);
        match Control::read(reader.u8().ok()?, &mut reader).ok()? {
            Control::Abort(abort) => Some(abort),
            _ => None,
        }
    })
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(1 + ms * 1_000)
}

/// A client that a raw broker has welcomed, over datagrams, and the tag of its link.
fn welcomed(adjust: impl Fn(&mut ClientConfig)) -> (Client<Vec<u8>>, u32) {
    let mut config = client_config(0);
    config.framing = Framing::Datagram;
    adjust(&mut config);
    let tag = tag(config.boot, 1);
    let mut client = make(config);
    client.handle_connected(at(0));
    assert_eq!(from_client(&mut client, at(0)).len(), 1);
    let welcome = Welcome {
        epoch: [1; 8],
        session: 1,
        resumed: None,
        window: WIDE,
        max_payload: 4_096,
        slots: 1,
        keep_alive_ms: 10_000,
        session_ttl_ms: 60_000,
    };
    client.handle_input(at(1), &control(Framing::Datagram, tag, Control::Welcome(welcome)));
    assert!(client.is_established());
    (client, welcomed_tag(tag, u64::from_le_bytes([1; 8]), 1))
}

#[test]
fn what_comes_after_a_link_has_ended_does_not_end_it_again() {
    let (mut client, tag) = welcomed(|_| {});
    let ping = |serial| control(Framing::Datagram, tag, Control::State(state(serial, 0, 0)));
    // It never sent 5 items.
    client.handle_input(at(2), &control(Framing::Datagram, tag, Control::State(state(1, 0, 5))));
    assert!(!client.is_established());
    while client.poll_event().is_some() {}
    assert_eq!(
        abort_in(&from_client(&mut client, at(2))).map(|abort| abort.code),
        Some(AbortCode::BadAcknowledgement)
    );
    for serial in 2..20 {
        client.handle_input(at(3), &ping(serial));
    }
    assert!(!client.wants_transmit() && !client.has_event(), "the link had ended");
    client.handle_disconnected(at(3));
    let retry = client.poll_timeout().unwrap();
    assert!(retry <= at(200), "the first delay is short: {retry:?}");
}

#[test]
fn a_client_that_has_ended_stays_so_whatever_still_comes() {
    for code in [AbortCode::UnexpectedFrame, AbortCode::TakenOver] {
        let (mut client, tag) = welcomed(|_| {});
        client.close(at(2), Close::EndSession);
        assert_eq!(from_client(&mut client, at(2)).len(), 1);
        client.handle_input(at(3), &control(Framing::Datagram, tag, Control::Farewell));
        assert!(client.is_closed());
        while client.poll_event().is_some() {}
        let abort = Control::Abort(Abort { code, detail: 0 });
        client.handle_input(at(4), &control(Framing::Datagram, tag, abort));
        client.handle_disconnected(at(5));
        assert!(client.is_closed() && !client.has_event() && client.poll_timeout().is_none(), "{code:?}");
    }
}

#[test]
fn a_datagram_beyond_the_limit_is_as_if_it_had_not_come() {
    let (mut client, tag) = welcomed(|_| {});
    let origin = Origin { uuid: [9; 16], boot: 1 };
    let payload = vec![7; 60_000];
    let deliver = Deliver {
        alias: 0,
        define: Some(origin),
        id_step: 1,
        retry: None,
        late: false,
        direct: true,
        payload: &payload,
    };
    client.handle_input(at(2), &frame(Framing::Datagram, tag, 1, |w| DownItem::Deliver(deliver).write(w)));
    assert!(client.is_established());
}

#[test]
fn nothing_is_left_of_a_frame_whose_transport_is_gone() {
    let mut config = client_config(0);
    config.framing = Framing::Cobs;
    let mut client = make(config);
    client.handle_connected(at(0));
    assert_eq!(client.poll_transmit(at(0), &mut [0]).unwrap(), 1);
    client.handle_disconnected(at(1));
    assert!(!client.wants_transmit());
    assert_eq!(client.poll_transmit(at(1), &mut [0; 100]).unwrap(), 0);
}

#[test]
fn two_brokers_that_hear_each_other_fall_silent() {
    let (mut a, mut b) = (broker(1), broker(2));
    let over = |broker: &mut Broker| broker.handle_connected_over(at(0), 0, Framing::Datagram).unwrap();
    let (to_a, to_b) = (over(&mut a), over(&mut b));
    // Somebody pretends to be the other one, once.
    a.handle_input(at(1), to_a, &control(Framing::Datagram, 7, Control::State(state(1, 0, 0)))).unwrap();
    let mut out = [0; 100];
    let mut count = 0;
    for _ in 0..50 {
        while let Ok(length @ 1..) = a.poll_transmit(at(1), to_a, &mut out) {
            b.handle_input(at(1), to_b, &out[..length]).unwrap();
            count += 1;
        }
        while let Ok(length @ 1..) = b.poll_transmit(at(1), to_b, &mut out) {
            a.handle_input(at(1), to_a, &out[..length]).unwrap();
            count += 1;
        }
    }
    assert_eq!(count, 1, "one answer, to one frame");
}

#[test]
fn a_client_that_was_taken_over_is_told_so_on_a_new_link_too() {
    let mut broker = broker(1);
    let hello = |boot, link| {
        let (hello, tag) = (hello_of(0, boot, link), tag(boot, link));
        control(Framing::Datagram, tag, Control::Hello(hello, AttributesRef::EMPTY))
    };
    for (boot, link, expected) in [
        (5, 1, None),
        (6, 1, None),
        // Whether anybody is at the other end of the link that took over is not known yet.
        (5, 2, Some(AbortCode::Superseded)),
        (6, 1, Some(AbortCode::Superseded)),
    ] {
        let id = broker.handle_connected_over(at(0), 0, Framing::Datagram).unwrap();
        broker.handle_input(at(1), id, &hello(boot, link)).unwrap();
        let frames = from_broker(&mut broker, at(1), id);
        assert_eq!(abort_in(&frames).map(|abort| abort.code), expected, "boot {boot}, link {link}");
        assert!(frames.iter().all(|(prefix, _)| prefix.tag == tag(boot, link)));
    }
}

#[test]
fn a_hello_that_is_refused_ends_nobody_s_link() {
    let mut broker = broker(1);
    let id = broker.handle_connected_over(at(0), 0, Framing::Datagram).unwrap();
    let hello = |hello, tag| control(Framing::Datagram, tag, Control::Hello(hello, AttributesRef::EMPTY));
    broker.handle_input(at(1), id, &hello(hello_of(0, 5, 1), tag(5, 1))).unwrap();
    from_broker(&mut broker, at(1), id);
    let mut impostor = hello_of(0, 6, 1);
    impostor.secret = [0xbb; 16];
    let bad = [
        hello(impostor, tag(6, 1)),
        control(Framing::Datagram, tag(6, 2), Control::HelloOfVersion(9)),
        frame(Framing::Datagram, tag(6, 3), 0, |w| w.raw(&[1, b'E', b'P', b'G', b'N', 1, 7])),
    ];
    for datagram in bad {
        broker.handle_input(at(2), id, &datagram).unwrap();
        assert_eq!(broker.stats().connected, 1, "{datagram:02x?}");
    }
    // Its own client is still heard.
    broker
        .handle_input(
            at(3),
            id,
            &control(Framing::Datagram, welcomed_tag(tag(5, 1), 1, 1), Control::State(state(1, 0, 0))),
        )
        .unwrap();
    assert_eq!(abort_in(&from_broker(&mut broker, at(3), id)), None);
    assert_eq!(broker.stats().connected, 1);
}

#[test]
fn a_refusal_of_a_watch_may_come_before_the_word_that_the_watch_came() {
    for gives_up in [false, true] {
        let (mut client, tag) = welcomed(|config| config.watches = 2);
        let watch = client.watch(at(2), &Filter::everyone()).unwrap();
        assert_eq!(from_client(&mut client, at(2)).len(), 1);
        if gives_up {
            client.unwatch(at(2), watch);
        }
        let refusal = DownItem::Reply(Reply::WatchRefused(1, RefusalReason::NotAllowed));
        client.handle_input(at(3), &frame(Framing::Datagram, tag, 1, |w| refusal.write(w)));
        assert!(client.is_established());
        // What the broker has is not asked for again, and what it may not have heard of is said as it was.
        from_client(&mut client, at(3));
        client.handle_timeout(at(600));
        let again = from_client(&mut client, at(600));
        assert!(again.iter().any(|(prefix, _)| prefix.number == 1), "{again:?}");
        assert!(again.iter().all(|(_, body)| !body.is_empty()));
        client.handle_input(at(601), &control(Framing::Datagram, tag, Control::State(state(1, 1, 1))));
        assert!(client.is_established());
        let mut refused = 0;
        while let Some(event) = client.poll_event() {
            refused += u32::from(matches!(event, Event::WatchRefused(id, _) if id == watch));
        }
        assert_eq!(refused, u32::from(!gives_up));
        // Both places are free again.
        client.watch(at(602), &Filter::everyone()).unwrap();
        client.watch(at(602), &Filter::everyone()).unwrap();
        assert!(
            from_client(&mut client, at(602)).iter().filter(|(prefix, _)| prefix.number > 0).count() == 2
        );
    }
}

#[test]
fn what_was_here_does_not_go_missing_again() {
    let (mut client, tag) = welcomed(|_| {});
    for _ in 0..4 {
        client.send(at(2), &Message::new(&uuid(1).into(), b"x")).unwrap();
    }
    assert_eq!(from_client(&mut client, at(2)).len(), 4);
    let heard = |client: &mut Client<_>, now, serial, beyond| {
        let state = StateFrame { beyond, ..state(serial, 0, 0) };
        client.handle_input(now, &control(Framing::Datagram, tag, Control::State(state)));
    };
    heard(&mut client, at(3), 1, 0b1110);
    client.handle_timeout(at(2_000));
    heard(&mut client, at(2_001), 2, 0b0010);
    assert_eq!(
        abort_in(&from_client(&mut client, at(2_001))).map(|a| a.code),
        Some(AbortCode::BadAcknowledgement)
    );
}

#[test]
fn an_unknown_kind_is_malformed_and_one_of_streams_unexpected() {
    for (kind, expected) in [(0x0c, AbortCode::Malformed), (0x08, AbortCode::UnexpectedFrame)] {
        let mut broker = broker(1);
        let link = broker.handle_connected_over(at(0), 0, Framing::Datagram).unwrap();
        let hello = Control::Hello(hello_of(0, 5, 1), AttributesRef::EMPTY);
        broker.handle_input(at(1), link, &control(Framing::Datagram, tag(5, 1), hello)).unwrap();
        from_broker(&mut broker, at(1), link);
        broker
            .handle_input(
                at(2),
                link,
                &frame(Framing::Datagram, welcomed_tag(tag(5, 1), 1, 1), 0, |w| w.u8(kind)),
            )
            .unwrap();
        assert_eq!(abort_in(&from_broker(&mut broker, at(2), link)).map(|a| a.code), Some(expected));
        let (mut client, tag) = welcomed(|_| {});
        client.handle_input(at(2), &frame(Framing::Datagram, tag, 0, |w| w.u8(kind)));
        assert_eq!(abort_in(&from_client(&mut client, at(2))).map(|a| a.code), Some(expected));
    }
}

/// Says hello and goodbye, so that the link stays only for a client that has not heard the farewell.
fn left(broker: &mut Broker) -> LinkId {
    let link = broker.handle_connected_over(at(0), 0, Framing::Cobs).unwrap();
    let hello = Control::Hello(hello_of(0, 5, 1), AttributesRef::EMPTY);
    broker.handle_input(at(1), link, &control(Framing::Cobs, tag(5, 1), hello)).unwrap();
    while broker.poll_transmit(at(1), link, &mut [0; 1_000]) != Ok(0) {}
    broker
        .handle_input(
            at(2),
            link,
            &control(Framing::Cobs, welcomed_tag(tag(5, 1), 1, 1), Control::Goodbye(true)),
        )
        .unwrap();
    while broker.poll_transmit(at(2), link, &mut [0; 1_000]) != Ok(0) {}
    while broker.poll_ready().is_some() {}
    link
}

#[test]
fn a_broker_that_is_shut_down_waits_for_nobody() {
    let mut broker = broker(1);
    let lingering = left(&mut broker);
    let waiting = broker.handle_connected_over(at(3), 0, Framing::Cobs).unwrap();
    let up = broker.handle_connected_over(at(3), 0, Framing::Cobs).unwrap();
    let hello = |n, link| {
        let hello = Control::Hello(hello_of(n, 5, link), AttributesRef::EMPTY);
        control(Framing::Cobs, tag(5, link), hello)
    };
    broker.handle_input(at(3), up, &hello(1, 1)).unwrap();
    broker.close(at(4));
    // Whoever says hello now does not begin anew.
    broker.handle_input(at(4), up, &hello(1, 2)).unwrap();
    let mut closed = Vec::new();
    for _ in 0..10_000 {
        let mut wrote = false;
        for link in [lingering, waiting, up] {
            wrote |= broker.poll_transmit(at(4), link, &mut [0]) == Ok(1);
            while let Some(ready) = broker.poll_ready() {
                if let Ready::Close(link) = ready {
                    assert_eq!(broker.poll_transmit(at(4), link, &mut [0]), Ok(0), "all was given out");
                    closed.push(link);
                }
            }
        }
        if !wrote {
            break;
        }
    }
    for link in [lingering, waiting, up] {
        assert!(closed.contains(&link), "{link:?} is not closed");
    }
}

#[test]
fn a_round_trip_above_the_first_timer_is_found_out() {
    let mut lab = Lab::new(1, Framing::Datagram, 2, NONE);
    lab.delay = ms(700);
    lab.all_here();
    lab.pass(ms(20_000));
    let before = lab.frames;
    for k in 0..40 {
        assert!(lab.send(0, &uuid(1).into(), &format!("{k}")));
        lab.until("answered", ms(60_000), |lab| lab.peers[0].finals.len() == k + 1);
    }
    let frames = lab.frames - before;
    // Message, delivery and receipt, each with a state for it and a reply to that.
    assert!(frames < 40 * 12, "{frames} frames for 40 messages");
}

#[test]
fn an_idle_link_lives_on_a_line_that_loses_every_tenth_frame() {
    for seed in 1..=5 {
        let mut lab = Lab::new(seed, Framing::Datagram, 2, NONE);
        lab.all_here();
        lab.faults = Faults { lost: 10, twice: 0, late: 0 };
        lab.pass(ms(3_600_000));
        let lost: Vec<_> = lab.peers.iter().map(|peer| peer.lost).collect();
        assert_eq!(lost, [0, 0], "seed {seed}: links that ended in one hour");
    }
}
