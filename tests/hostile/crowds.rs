//! Many clients that do nothing good: what they cost the broker, and that they keep nobody out.

use super::*;

/// In all places for links somebody says nothing, for as long as the handshake may take: a minute here.
#[test]
fn attack_a11_connections_that_say_nothing_make_way_for_a_newcomer() {
    let by = Deadline::within(40);
    let stage = Stage::of(Pairing::MIO_MIO);
    let options = ["--max-links", "40", "--handshake-timeout", "60s"];
    let broker = Broker::start(&stage, &by, &options);
    let stream = Steady::start(&stage, &by, broker.address(), "lobby");
    let mut silent: Vec<Peer> = (0..60).map(|_| Peer::connect(broker.address())).collect();
    Steady::start(&stage, &by, broker.address(), "kitchen").finish(&by);
    let told: Vec<Option<u8>> = silent
        .iter_mut()
        .filter_map(|peer| peer.is_closed().then(|| wire::abort_code(&peer.heard)))
        .collect();
    assert!(told.contains(&Some(code::HANDSHAKE_TIMEOUT)), "some have made way: {told:?}");
    assert!(told.len() < 40, "and no more than had to: {told:?}");
    stream.finish(&by);
    broker.stop(&by);
}

/// All places for sessions are taken, by clients that do not come back.
#[test]
fn attack_a9_sessions_of_clients_that_are_gone_make_room_soon() {
    let by = Deadline::within(40);
    let stage = Stage::of(Pairing::MIO_MIO);
    let options = ["--max-sessions", "20", "--session-ttl-min", "1s"];
    let broker = Broker::start(&stage, &by, &options);
    let hello = recorder::hello_of(&stage, &by, "listen", &[]);
    // Behind header, kind, magic and version.
    let uuid = hello.len() - wire::bodies(&hello)[0].len() + 1 + 4 + 1;
    let mut is_full = false;
    for number in 0..30 {
        let mut another = hello.clone();
        another[uuid] = number;
        let mut peer = Peer::connect(broker.address());
        peer.say(&another);
        by.wait("an answer", || {
            peer.is_closed();
            if peer.heard.is_empty() { Err("nothing heard".to_owned()) } else { Ok(()) }
        });
        is_full |= wire::abort_code(&peer.heard) == Some(code::FULL);
    }
    assert!(is_full, "30 clients have come for 20 places");
    Steady::start(&stage, &by, broker.address(), "lobby").finish(&by);
    broker.stop(&by);
}

/// Two hundred programs send what their outboxes hold, are stopped, and read nothing of what comes back.
#[cfg(target_os = "linux")]
#[test]
fn program_3_two_hundred_stopped_senders_cost_little_memory_and_stop_nobody() {
    const SENDERS: u64 = 200;
    const MESSAGES: u64 = 4096;
    let by = Deadline::within(60);
    let stage = Stage::of(Pairing::MIO_MIO);
    let mut broker = Broker::start(&stage, &by, &["--settle", "1ms"]);
    let mut pair = Steady::start(&stage, &by, broker.address(), "lobby");
    let mut senders: Vec<_> = (1..=SENDERS)
        .map(|number| {
            let config = ClientConfig::new(Uuid::from_u128(number.into()), Secret([7; 16]), 1, 1)
                .outbox_messages(MESSAGES as u32)
                .outbox_bytes(1 << 20);
            let memory = vec![0; config.memory_needed()];
            let mut client = Client::new(config, memory).expect("a config that works");
            let mut socket = broker.address().connect().expect("the broker accepts");
            socket.set_read_timeout(Some(Duration::from_secs(10))).expect("an option");
            let (now, mut buffer) = (e_pigeon_core::Instant::from_micros(1), vec![0; 1 << 19]);
            client.handle_connected(now);
            let count = client.poll_transmit(now, &mut buffer).unwrap();
            socket.write_all(&buffer[..count]).expect("a hello");
            while !client.is_established() {
                let count = socket.read(&mut buffer).expect("a welcome");
                client.handle_input(now, &buffer[..count]);
            }
            let nobody = Destination::from(Uuid::from_u128(1 << 100)).only_connected();
            for _ in 0..MESSAGES {
                client.send(now, &Message::new(&nobody, &[7; 55])).expect("room");
            }
            let mut said = Vec::new();
            while let Ok(count @ 1..) = client.poll_transmit(now, &mut buffer) {
                said.extend_from_slice(&buffer[..count]);
            }
            (socket, said)
        })
        .collect();
    let before = most_memory(broker.program().id());
    // What they say is all there when the broker looks.
    broker.program().signal("STOP");
    for (socket, said) in &mut senders {
        socket.write_all(said).expect("it is in the kernel");
    }
    broker.program().signal("CONT");
    for _ in 0..3 {
        pair.wait_progress(&by);
    }
    broker.wait_ledger(&by, "nobody", SENDERS * MESSAGES);
    let grown = most_memory(broker.program().id()) - before;
    println!("{grown} KiB more for {SENDERS} senders, in {:?}", by.elapsed());
    assert!(grown < 8 * 1024, "{grown} KiB: beyond 16 KiB for each sender and what all share");
    pair.finish(&by);
    drop(senders);
    broker.stop(&by);
}

/// The most memory that a process has had so far, in KiB.
#[cfg(target_os = "linux")]
fn most_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a figure");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What the kernel keeps for TCP, of all programs.
#[cfg(target_os = "linux")]
fn kernel_bytes() -> usize {
    let stat = fs::read_to_string("/proc/net/sockstat").expect("Linux");
    let tcp = stat.lines().find(|line| line.starts_with("TCP:")).expect("a line for TCP");
    let pages: usize = tcp.rsplit(' ').next().and_then(|pages| pages.parse().ok()).expect("pages at its end");
    pages * 4096
}

/// The sockets of clients that never read hold no more than 256 KiB each, at both ends together.
#[cfg(target_os = "linux")]
fn silent_readers(broker: &'static str) {
    const CLIENTS: usize = 1000;
    let by = Deadline::within(60);
    let stage = Stage::of(Pairing { broker, ..Pairing::MIO_MIO });
    let broker = Broker::start(&stage, &by, &[]);
    let hello = recorder::hello_of(&stage, &by, "listen", &["--set", "room=trap"]);
    let mut peers: Vec<Peer> = (0..CLIENTS).map(|_| Peer::connect(broker.address())).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.say(&hello_of_another(&hello, number));
    }
    by.wait("all to be welcomed", || {
        for peer in &mut peers {
            peer.is_closed();
        }
        let welcome = peers.iter().filter(|peer| !peer.heard.is_empty()).count();
        if welcome == CLIENTS { Ok(()) } else { Err(format!("{welcome} of {CLIENTS}")) }
    });
    let before = kernel_bytes();
    // Four megabytes for each.
    let mut text = vec![b'x'; 60_000];
    text.push(b'\n');
    let arguments = ["--to", "room=trap", "--expire", "60s"];
    let sender = Program::send(&stage, "send", broker.address(), &arguments, Input::Bytes(text.repeat(70)));
    let (mut most, mut still) = (before, 0);
    while still < 8 {
        thread::sleep(Duration::from_millis(250));
        let now = kernel_bytes();
        // It has begun, and grows no more.
        still = if now <= most && most > before + CLIENTS * 64 * 1024 { still + 1 } else { 0 };
        most = most.max(now);
        by.wait("the time for it", || Ok(()));
    }
    let each = (most - before) / CLIENTS;
    println!("{each} bytes of kernel memory for each client");
    assert!(each <= 256 * 1024, "{each} bytes for each client");
    drop(sender);
    drop(peers);
    broker.stop(&by);
    by.wait("the kernel to forget them", || {
        let kept = kernel_bytes();
        if kept < before + CLIENTS * 16 * 1024 { Ok(()) } else { Err(format!("{kept} bytes")) }
    });
}

/// One after the other: the kernel counts them all together.
#[cfg(target_os = "linux")]
#[test]
fn attack_a6_a_thousand_clients_that_never_read_do_not_pin_the_kernel() {
    silent_readers("mio");
    silent_readers("smol");
}

/// A soft limit is a default, and not what the broker has to do with.
#[test]
fn a_broker_takes_the_descriptors_that_it_may_have() {
    let by = Deadline::within(20);
    let stage = Stage::of(Pairing::MIO_MIO);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 64; exec \"$0\" \"$@\"", program_path()]);
    let address = stage.address();
    let [option, place] = address.serve_option();
    command.args(["serve", &option, &place, "--handshake-timeout", "60s"]);
    let mut serve = Program::spawn(&stage, "serve", command, Input::Nothing);
    serve.wait_stdout_line(&by, &format!("listening on {address}"));
    let _peers: Vec<Peer> = (0..100).map(|_| Peer::connect(address)).collect();
    by.wait("all connections", || {
        let open = open_descriptors(serve.id());
        if open >= 100 { Ok(()) } else { Err(format!("{open} descriptors")) }
    });
    serve.expect_exit_on(&by, "TERM", 0);
}
