//! The node on a line that damages frames. The broker is the core's own, in the test, with the collector beside it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant as Clock};

use e_pigeon_core::{
    Broker, BrokerConfig, Client, ClientConfig, Event, Framing, Instant, LinkId, Outgoing, Ready, Secret,
    Uuid, Value,
};

use super::board::Board;
use super::support::deadline::Deadline;
use super::support::random::Random;
use super::support::stage::Stage;

/// The longest frame that the node and the broker exchange here, about, on the line.
const FRAME: u64 = 40;

/// Flips, loses and inserts bytes.
struct Noise {
    random: Random,
    /// How many bytes there are to one that is damaged, on average.
    one_in: u64,
    damaged: u64,
}

impl Noise {
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut passed = Vec::new();
        for &byte in bytes {
            let kind = if self.random.below(self.one_in) == 0 { self.random.below(3) } else { 3 };
            self.damaged += u64::from(kind < 3);
            match kind {
                0 => passed.push(byte ^ (1 << self.random.below(8))),
                1 => {}
                2 => passed.extend([byte, self.random.below(256) as u8]),
                _ => passed.push(byte),
            }
        }
        passed
    }
}

/// A broker with two links: the line, and one in memory for the collector.
struct Desk {
    start: Clock,
    broker: Broker,
    line: LinkId,
    near: LinkId,
    collector: Client<Vec<u8>>,
    socket: TcpStream,
    noise: Noise,
    readings: Vec<u32>,
}

impl Desk {
    fn now(&self) -> Instant {
        Instant::from_micros(1 + u64::try_from(self.start.elapsed().as_micros()).unwrap())
    }

    fn new(socket: TcpStream, noise: Noise) -> Self {
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
        let config = BrokerConfig {
            keep_alive: Duration::from_millis(500),
            settle: Duration::ZERO,
            ..BrokerConfig::default()
        };
        let mut broker = Broker::new(config, 1).unwrap();
        let now = Instant::from_micros(1);
        let line = broker.handle_connected_over(now, Framing::Cobs).unwrap();
        let near = broker.handle_connected(now).unwrap();
        let config = ClientConfig::new(Uuid::from_u128(7), Secret([7; 16]), 7, 7);
        let memory = vec![0; config.memory_needed()];
        let mut collector = Client::new(config, memory).unwrap();
        collector.set(now, "role", Value::Str("collector")).unwrap();
        // So often that damage hits something.
        let node = Uuid::parse_str(super::NODE).unwrap().into();
        collector.send(now, &Outgoing::new(&node, b"every 20")).unwrap();
        collector.handle_connected(now);
        Self { start: Clock::now(), broker, line, near, collector, socket, noise, readings: Vec::new() }
    }

    /// Everything that is there now goes to where it belongs.
    fn turn(&mut self) {
        let (now, mut buffer) = (self.now(), [0; 4_096]);
        match self.socket.read(&mut buffer) {
            Ok(count) => {
                assert!(count > 0, "QEMU has left");
                let passed = self.noise.pass(&buffer[..count]);
                assert_eq!(self.broker.handle_input(now, self.line, &passed), Ok(passed.len()));
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        while let written @ 1.. = self.collector.poll_transmit(now, &mut buffer) {
            assert_eq!(self.broker.handle_input(now, self.near, &buffer[..written]), Ok(written));
        }
        self.broker.handle_timeout(now);
        self.collector.handle_timeout(now);
        while let Some(ready) = self.broker.poll_ready() {
            assert_ne!(ready, Ready::Close(self.near), "the collector is on a stream");
            if ready == Ready::Close(self.line) {
                // The line has no end: the next link is on the same one.
                self.broker.handle_disconnected(now, self.line);
                self.line = self.broker.handle_connected_over(now, Framing::Cobs).unwrap();
            }
        }
        while let Ok(written @ 1..) = self.broker.poll_transmit(now, self.line, &mut buffer) {
            let passed = self.noise.pass(&buffer[..written]);
            self.write(&passed);
        }
        while let Ok(written @ 1..) = self.broker.poll_transmit(now, self.near, &mut buffer) {
            self.collector.handle_input(now, &buffer[..written]);
        }
        while self.broker.poll_event().is_some() {}
        while let Some(event) = self.collector.poll_event() {
            if let Event::Message(message) = event {
                let text = std::str::from_utf8(message.payload).unwrap();
                self.readings.push(text.split(' ').nth(1).unwrap().parse().unwrap());
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
        }
    }
}

/// Runs the node until so many readings are there, where one frame in `frames` is damaged.
fn readings_over_damage(frames: u64, count: usize, seconds: u64) {
    let by = Deadline::within(seconds);
    let stage = Stage::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let board = Board::start(&stage, "sensor-line", port, 0x0123_4567_89ab_cdef ^ frames);
    let (socket, _) = listener.accept().unwrap();
    let noise = Noise { random: Random::stream(frames, 1), one_in: frames * FRAME, damaged: 0 };
    let mut desk = Desk::new(socket, noise);
    by.wait("readings", || {
        desk.turn();
        if desk.readings.len() >= count { Ok(()) } else { Err(format!("{:?}", desk.readings.last())) }
    });
    let expected: Vec<u32> = (1..).take(desk.readings.len()).collect();
    assert_eq!(desk.readings, expected, "each once, and in order");
    assert!(desk.noise.damaged > 0, "nothing was damaged");
    println!("{count} readings in {:?}, {} bytes damaged", by.elapsed(), desk.noise.damaged);
    board.stop();
}

#[test]
fn nothing_is_lost_doubled_or_reordered_where_one_frame_in_a_hundred_is_damaged() {
    readings_over_damage(100, 500, 90);
}

#[test]
fn where_one_frame_in_ten_is_damaged_it_is_slow_but_right() {
    readings_over_damage(10, 200, 90);
}
