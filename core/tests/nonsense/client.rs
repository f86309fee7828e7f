//! A hostile broker against a client.

use super::*;

fn run_client(seed: u64) {
    let mut r = Random(seed);
    let mut config = ClientConfig::new(uuid(0), Secret([0; 16]), 1, 1);
    config.max_payload = 64;
    config.outbox_messages = 1 + r.below(12) as u32;
    config.outbox_bytes = 64 + 794 + r.below(1000) as u32;
    config.inbox_messages = 1 + r.below(8) as u32;
    config.inbox_bytes = 64 + r.below(300) as u32;
    config.senders = 1 + r.below(3) as u16;
    config.seen_window = 64;
    config.late_ids = 1 + r.below(3) as u16;
    config.destination_slots = 1 + r.below(4) as u8;
    config.manual_acknowledgement = r.percent(30);
    let manual = config.manual_acknowledgement;
    let mut c = make(config);
    let mut now = Instant::from_micros(1);
    let mut said = vec![];
    let mut finals = std::collections::BTreeMap::<u64, u32>::new();
    let mut token = None;
    let mut session = 1;
    let mut base = 0_u64;
    for step in 0..800 {
        match r.below(28) {
            0 | 24..=27 => {
                if c.wants_connection() || r.percent(2) {
                    c.handle_connected(now);
                    said.clear();
                    if r.percent(90) {
                        let mut out = [0; 3000];
                        let _ = c.poll_transmit(now, &mut out).unwrap();
                    }
                }
            }
            1 => {
                if r.percent(3) || c.wants_disconnect() {
                    c.handle_disconnected(now);
                }
            }
            2 => {
                now = now
                    + Duration::from_micros({
                        let k = if r.percent(10) { 2_000_000 } else { 30_000 };
                        r.below(k)
                    });
                c.handle_timeout(now);
                assert!(
                    c.poll_timeout().is_none_or(|at| at > now),
                    "busy {seed} {step} {:?} {now:?}",
                    c.poll_timeout()
                );
            }
            3..=5 => {
                let d = dest(&mut r);
                let payload = vec![1; r.below(66) as usize];
                let o = Message::to(&d)
                    .payload(&payload)
                    .time_to_live(Duration::from_millis({
                        let k = if r.percent(50) { 50 } else { 100_000 };
                        r.below(k)
                    }))
                    .retain(if r.percent(30) { Retain::Accepted } else { Retain::Delivered });
                if let Ok(id) = c.send(now, &o) {
                    finals.insert(id.0, 0);
                }
            }
            6 => {
                let _ = c.set(now, ["a", "b", "c"][r.below(3) as usize], Value::Int(r.below(9) as i64));
            }
            7 => {
                let _ = c.remove(now, ["a", "b", "c"][r.below(3) as usize]);
            }
            8..=10 => {
                for _ in 0..r.below(8) {
                    let has = c.has_event();
                    let Some(e) = c.poll_event() else {
                        assert!(!has, "has_event {seed} {step}");
                        break;
                    };
                    if std::env::var("V").is_ok() {
                        eprintln!("{e:?}");
                    }
                    match e {
                        Event::Receipt(x) if x.is_final() => {
                            let k = finals.get_mut(&x.id().0).unwrap();
                            *k += 1;
                            assert_eq!(*k, 1, "twice");
                        }
                        Event::Receipt(x) => assert_eq!(finals[&x.id().0], 0, "interim after final"),
                        Event::Message(m) => token = Some(m.token),
                        _ => {}
                    }
                    assert!(has, "an event that has_event did not know of: {seed} {step}");
                }
            }
            11 | 12 => {
                let mut out = vec![0; 1 + r.below(300) as usize];
                for _ in 0..r.below(5) {
                    let n = c.poll_transmit(now, &mut out).unwrap();
                    said.extend_from_slice(&out[..n]);
                    if n == 0 {
                        break;
                    }
                }
            }
            13 => {
                if manual && let Some(t) = token {
                    c.acknowledge(t);
                }
            }
            14 => {
                if r.percent(2) {
                    c.close(now, if r.percent(50) { Close::EndSession } else { Close::KeepSession });
                }
            }
            15 | 16 => {
                let resumed = if session > 1 && r.percent(85) {
                    let a = base + r.below(2) * r.below(2);
                    Some(Resumed { received: a + r.below(3) * r.below(2), acknowledged: a })
                } else {
                    None
                };
                if resumed.is_none() && !c.is_established() {
                    session += 1;
                }
                let w = Welcome {
                    epoch: 7_u64.to_le_bytes(),
                    session,
                    resumed,
                    window: Window { messages: r.number32(), bytes: r.number32().saturating_mul(40) },
                    max_payload: if r.percent(80) { 64 } else { r.number32() },
                    slots: r.below(18) as u8,
                    keep_alive_ms: if r.percent(95) { 1 + r.below(100) as u32 } else { r.number32() },
                    session_ttl_ms: if r.percent(70) { r.below(5000) } else { r.number() },
                };
                if c.is_established() && r.percent(99) {
                    continue;
                }
                if let Some(x) = resumed {
                    base = x.acknowledged;
                } else {
                    base = 0;
                }
                {
                    let b = frame(|x| Control::Welcome(w).write(x));
                    c.handle_input(now, &b);
                }
            }
            17 => {
                if !c.is_established() || !r.percent(60) {
                    continue;
                }
                base += 1;
                let x = if r.percent(97) { 1 } else { r.number().max(1) };
                let b = frame(|w| Control::Ack(x).write(w));
                c.handle_input(now, &b);
            }
            18 => {
                if !c.is_established() {
                    continue;
                }
                let x = Window { messages: r.number32(), bytes: r.number32().saturating_mul(30) };
                let b = frame(|w| Control::Window(x).write(w));
                c.handle_input(now, &b);
            }
            19 | 20 => {
                let payload = vec![3; r.below(40) as usize];
                let first = r.percent(70);
                let past = match r.below(6) {
                    0 => Some(DeliveryPast::Sent),
                    1 => Some(DeliveryPast::Parked),
                    2 => Some(DeliveryPast::Taken {
                        epoch: 7,
                        session: r.below(9),
                        answered_first: r.percent(50),
                    }),
                    _ => None,
                };
                let d = Deliver {
                    alias: r.below(3) as u8 % 2,
                    define: first.then(|| Origin { uuid: [r.below(4) as u8; 16], boot: 1 }),
                    id_step: if r.percent(95) { r.below(200) as i64 } else { r.next() as i64 },
                    retry: past,
                    late: r.percent(20),
                    direct: r.percent(50),
                    payload: &payload,
                };
                let b = frame(|w| DownItem::Deliver(d).write(w));
                if !c.is_established() {
                    continue;
                }
                let cut = r.below(b.len() as u64) as usize;
                c.handle_input(now, &b[..cut]);
                c.handle_input(now, &b[cut..]);
            }
            21 => {
                if !c.is_established() {
                    continue;
                }
                let a = Accepted {
                    first: 1 + r.below(12),
                    count: if r.percent(80) { 1 + r.below(4) as u32 } else { u32::MAX },
                    recipients: r.number32(),
                    epoch: 7,
                    session: r.number(),
                };
                let b = frame(|w| DownItem::Accepted(a).write(w));
                c.handle_input(now, &b);
            }
            22 => {
                if !c.is_established() {
                    continue;
                }
                let n = r.number32();
                let f = Final {
                    first: 1 + r.below(20),
                    count: 1 + r.below(4) as u32,
                    outcome: Outcome::new(n, n, (n == 0).then_some(RefusalReason::Expired)),
                };
                let b = frame(|w| DownItem::Final(f).write(w));
                c.handle_input(now, &b);
            }
            _ => {
                if !c.is_established() {
                    continue;
                }
                let what = r.below(60);
                let count = if r.percent(80) { r.below(4) as u32 } else { r.number32() };
                let code = AbortCode::Full;
                let b = frame(|w| match what {
                    0 => Control::Farewell.write(w),
                    1 => Control::Abort(Abort { code, detail: 0 }).write(w),
                    2 => DownItem::Reply(Reply::AttributesRefused(RefusalReason::TooLarge)).write(w),
                    3 => DownItem::Void(count).write(w),
                    _ => Control::Ping.write(w),
                });
                c.handle_input(now, &b);
            }
        }
        let wants = c.wants_transmit();
        let _ = wants;
        let open: Vec<u64> = c.unanswered().map(|x| x.0).collect();
        assert!(open.iter().all(|id| finals[id] == 0), "{seed} {step}");
    }
    // An honest end: a new broker answers everything.
    for k in finals.values() {
        assert!(*k <= 1);
    }
}

#[test]
fn hostile_broker() {
    let from: u64 = std::env::var("F").ok().and_then(|v| v.parse().ok()).unwrap_or(0);
    let n: u64 = std::env::var("N").ok().and_then(|v| v.parse().ok()).unwrap_or(10000);
    for seed in from..from + n {
        if let Err(e) = std::panic::catch_unwind(|| run_client(seed)) {
            eprintln!("SEED {seed}");
            std::panic::resume_unwind(e);
        }
    }
}
