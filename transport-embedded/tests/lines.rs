//! Clients on lines that damage what they carry, and whose other end is replaced without a word.
#![allow(missing_docs)]

mod support;

use std::time::Duration;

use e_pigeon_core::{BrokerConfig, Client, ClientConfig, Close, Framing};
use e_pigeon_embedded::{Error, Line, now};
use embassy_futures::yield_now;
use embassy_time::Timer;
use embedded_io_async::ErrorKind;
use futures_lite::future::{or, zip};
use support::host::Host;
use support::pipe::Pipe;
use support::{Application, block_on, block_on_beside, config, make, soon};

fn on_a_line(number: u128) -> ClientConfig {
    config(number).framing(Framing::Cobs).reorder_bytes(512).handshake_timeout(Duration::from_millis(300))
}

fn broker() -> BrokerConfig {
    let keep_alive = Duration::from_millis(200);
    BrokerConfig::new(0).keep_alive(keep_alive).settle(Duration::from_millis(50))
}

/// Talks until the client has ended; returns how often the line has failed.
async fn live(
    client: &mut Client<Vec<u8>>,
    application: &mut Application,
    (down, up): (Pipe, Pipe),
    buffer: usize,
) -> usize {
    let (mut input, mut output) = (vec![0; buffer], vec![0; buffer]);
    let mut line = Line::new(client, down, up, &mut input, &mut output);
    let mut failures = 0;
    while !application.is_closed {
        application.act(line.client());
        if application.is_done(application.count) {
            line.client().close(now(), Close::EndSession);
        }
        match line.turn().await {
            Ok(()) => {}
            Err(Error::Read(ErrorKind::Other)) => failures += 1,
            Err(error) => panic!("{error}"),
        }
    }
    failures
}

fn conversation(damage: usize, room: usize, buffer: usize, count: u32, deaths: u64) {
    let host = Host::new(broker());
    block_on_beside(host.clone().run(), async move {
        let (mut alice, mut bob) = (make(on_a_line(1)), make(on_a_line(2)));
        let (mut ones, mut twos) = (Application::new(2, count), Application::new(1, count));
        let (line, other) = (host.line(room, 30, damage), host.line(room, 30, damage));
        let shaky = line.0.clone();
        let clients =
            zip(live(&mut alice, &mut ones, line, buffer), live(&mut bob, &mut twos, other, buffer));
        let faults = async {
            for epoch in 2..2 + deaths {
                while host.stats().taken < 5 {
                    yield_now().await;
                }
                shaky.fail_once(ErrorKind::Other);
                host.replace(broker(), epoch);
            }
        };
        let what = format!("damage {damage}, room {room}, buffer {buffer}");
        let ((failures, _), ()) = soon(&what, zip(clients, faults)).await;
        assert_eq!(failures, deaths as usize, "each is told once");
        ones.assert_all(count);
        twos.assert_all(count);
        assert!(ones.links > deaths as usize, "the broker was replaced while there was a session");
    });
}

#[test]
fn a_line_may_carry_its_bytes_in_pieces_of_any_size() {
    for (room, buffer) in [(1, 1), (16, 5), (4096, 4096)] {
        conversation(0, room, buffer, 20, 0);
    }
}

#[test]
fn frames_that_are_damaged_are_sent_again() {
    for (room, buffer) in [(16, 16), (256, 64)] {
        conversation(701, room, buffer, 20, 0);
    }
}

#[test]
fn a_broker_that_is_replaced_without_a_word_is_noticed_and_nothing_is_lost() {
    conversation(0, 64, 32, 40, 2);
}

/// Nobody is there: it says hello, gives up, waits, and says hello again, and not a word in between.
#[test]
fn a_line_without_anybody_is_tried_again_and_again() {
    block_on(async {
        let mut client = make(on_a_line(1).handshake_timeout(Duration::from_millis(100)));
        let (down, up) = (Pipe::new(64, 64), Pipe::new(1 << 16, 1 << 16));
        let (mut input, mut output) = ([0; 64], [0; 64]);
        let mut line = Line::new(&mut client, down, up.clone(), &mut input, &mut output);
        let mut turns = 0;
        let run = async {
            loop {
                line.turn().await.expect("a line");
                turns += 1;
            }
        };
        or(run, Timer::after_millis(1000)).await;
        let written = up.take_all();
        let frames: Vec<_> = written.split(|&byte| byte == 0).filter(|frame| !frame.is_empty()).collect();
        // From each link one, and no last words: those would be frames of another length.
        assert!((3..=12).contains(&frames.len()), "{} frames", frames.len());
        assert!(frames.iter().all(|frame| frame.len() == frames[0].len()), "all of them hellos");
        assert!(turns < 100, "{turns} turns for {} frames", frames.len());
    });
}
