//! Clients on streams in memory, which are cut, stalled and filled with nonsense.
#![allow(missing_docs)]

mod support;

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use e_pigeon_core::{BrokerConfig, Client, Close, DisconnectReason, Event};
use e_pigeon_embedded::{Error, Line, Stream, idle, now};
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_time::Timer;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use futures_lite::future::{or, zip};
use support::host::Host;
use support::pipe::Pipe;
use support::{Application, block_on, block_on_beside, config, counted, make, soon};

/// How pipes and buffers are cut up.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    room: usize,
    piece: usize,
    buffer: usize,
}

const PIECES: [Sizes; 4] = [
    Sizes { room: 1, piece: 1, buffer: 1 },
    Sizes { room: 5, piece: 3, buffer: 7 },
    Sizes { room: 64, piece: 64, buffer: 16 },
    Sizes { room: 1 << 20, piece: 1 << 20, buffer: 4096 },
];

/// Connects and talks until the client has ended; each of the first connections is cut after so many bytes up.
async fn live(
    host: &Host,
    client: &mut Client<Vec<u8>>,
    application: &mut Application,
    sizes: Sizes,
    mut cuts: impl Iterator<Item = usize>,
) {
    while !application.is_closed {
        application.act(client);
        if !client.wants_connection() {
            idle(client).await;
            continue;
        }
        let (down, up) = host.connect(sizes.room, sizes.piece);
        if let Some(bytes) = cuts.next() {
            up.cut_after(bytes);
        }
        let (mut input, mut output) = (vec![0; sizes.buffer], vec![0; sizes.buffer]);
        let mut stream = Stream::new(client, down.clone(), up.clone(), &mut input, &mut output);
        let error = loop {
            application.act(stream.client());
            if application.is_done(application.count) {
                stream.client().close(now(), Close::EndSession);
            }
            if let Err(error) = stream.turn().await {
                break error;
            }
        };
        assert!(
            matches!(error, Error::Released | Error::Ended | Error::Write(ErrorKind::BrokenPipe)),
            "{error}"
        );
        drop(stream);
        application.act(client);
        up.cut(Ok(()));
        down.cut(Ok(()));
    }
}

/// Returns how many links the one with the fewest had.
fn conversation(sizes: Sizes, count: u32, cuts: impl Iterator<Item = usize> + Clone + 'static) -> usize {
    let host = Host::new(BrokerConfig::new(0));
    block_on_beside(host.clone().run(), async move {
        let (mut alice, mut bob) = (make(config(1)), make(config(2)));
        let (mut ones, mut twos) = (Application::new(2, count), Application::new(1, count));
        let clients = zip(
            live(&host, &mut alice, &mut ones, sizes, cuts.clone()),
            live(&host, &mut bob, &mut twos, sizes, cuts),
        );
        soon(&format!("a conversation with {sizes:?}"), clients).await;
        ones.assert_all(count);
        twos.assert_all(count);
        assert!(alice.is_closed() && bob.is_closed());
        assert_eq!(host.stats().sessions, 0, "they have said goodbye");
        ones.links.min(twos.links)
    })
}

#[test]
fn bytes_may_come_and_go_in_pieces_of_any_size() {
    for sizes in PIECES {
        assert_eq!(conversation(sizes, 30, std::iter::empty()), 1, "nobody has broken off");
    }
}

#[test]
fn streams_that_are_cut_anywhere_lose_nothing() {
    for sizes in PIECES {
        for first in [1, 30, 57] {
            let links = conversation(sizes, 30, (0..6).map(move |n| first + 211 * n));
            assert!(links > 1, "they were cut while they had a session");
        }
    }
}

/// The end of a client whose broker says nothing: why, and the last words. Nothing is written from that moment on.
async fn silence(is_stuck: bool) -> (Error<ErrorKind>, Vec<u8>) {
    let impatient = config(1).handshake_timeout(Duration::from_millis(50));
    let mut client = make(impatient);
    let (down, up) = (Pipe::new(10, 10), Pipe::new(if is_stuck { 3 } else { 1000 }, 1000));
    let (mut input, mut output) = ([0; 16], [0; 256]);
    let mut stream = Stream::new(&mut client, down, up.clone(), &mut input, &mut output);
    let error = loop {
        if let Err(error) = stream.turn().await {
            break error;
        }
    };
    assert_eq!(stream.turn().await, Err(Error::Released), "it stays over");
    let mut reasons = Vec::new();
    while let Some(event) = stream.client().poll_event() {
        if let Event::Disconnected { reason, .. } = event {
            reasons.push(reason);
        }
    }
    assert_eq!(reasons, [DisconnectReason::HandshakeTimeout]);
    (error, up.take_all())
}

#[test]
fn last_words_are_written_before_a_stream_is_released() {
    block_on(async {
        let (error, written) = soon("it is released", silence(false)).await;
        assert_eq!(error, Error::Released);
        let mut client = make(config(1));
        client.handle_connected(now());
        let mut hello = [0; 256];
        let length = client.poll_transmit(now(), &mut hello).unwrap();
        assert!(written.len() > length, "the hello has {length} bytes, and {} were written", written.len());
    });
}

#[test]
fn last_words_that_nobody_takes_are_not_waited_for() {
    block_on(async {
        let (error, written) = soon("it is released", silence(true)).await;
        assert_eq!((error, written.len()), (Error::Released, 3));
    });
}

#[test]
fn a_stream_that_is_dropped_is_a_connection_that_is_gone() {
    let mut client = make(config(1));
    let (mut input, mut output) = ([0; 16], [0; 16]);
    drop(Stream::new(&mut client, Pipe::new(9, 9), Pipe::new(9, 9), &mut input, &mut output));
    assert!(matches!(
        client.poll_event(),
        Some(Event::Disconnected { reason: DisconnectReason::TransportLost, .. })
    ));
    assert!(!client.wants_connection(), "not at once");
    block_on(async move {
        soon("another is wanted", async {
            while !client.wants_connection() {
                idle(&mut client).await;
            }
        })
        .await;
    });
}

#[test]
fn a_stream_that_the_other_end_has_closed_is_over() {
    block_on(async {
        for (end, expected) in [
            (Ok(()), Error::Ended),
            (Err(ErrorKind::ConnectionReset), Error::Read(ErrorKind::ConnectionReset)),
        ] {
            let mut client = make(config(1));
            let (down, up) = (Pipe::new(9, 9), Pipe::new(1000, 1000));
            let (mut input, mut output) = ([0; 16], [0; 256]);
            let mut stream = Stream::new(&mut client, down.clone(), up, &mut input, &mut output);
            stream.turn().await.expect("a hello is written");
            down.cut(end);
            assert_eq!(soon("it is noticed", stream.turn()).await, Err(expected));
            // The client knows before the stream is dropped.
            assert!(!stream.client().is_closed() && !stream.client().wants_disconnect());
            assert!(matches!(stream.client().poll_event(), Some(Event::Disconnected { .. })));
            assert_eq!(stream.turn().await, Err(Error::Released));
        }
    });
}

/// Turns while there is nothing to do are few: each sign of life is written and heard, and nothing else.
#[test]
fn a_client_with_nothing_to_do_is_not_polled() {
    let keep_alive = Duration::from_millis(100);
    let host = Host::new(BrokerConfig::new(0).keep_alive(keep_alive));
    let (down, up) = host.connect(1000, 1000);
    let (polls, turns) = block_on_beside(host.run(), async {
        let mut client = make(config(1));
        let (mut input, mut output) = ([0; 256], [0; 256]);
        let mut stream = Stream::new(&mut client, down, up, &mut input, &mut output);
        while !stream.client().is_established() {
            stream.turn().await.expect("a stream");
        }
        let (mut polls, mut turns) = (0, 0);
        let idle = async {
            loop {
                stream.turn().await.expect("a stream");
                turns += 1;
            }
        };
        or(counted(&mut polls, idle), Timer::after_millis(1050)).await;
        (polls, turns)
    });
    // One is due, written, flushed, and one comes: ten times, whether or not the two fall together.
    assert!((10..=90).contains(&polls), "{polls} polls in {turns} turns");
    assert!(turns >= 20, "{turns} turns: the signs of life are missing");
}

/// Halves that never wait.
struct Torrent;

impl ErrorType for Torrent {
    type Error = Infallible;
}

impl Read for Torrent {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        out.fill(0);
        Ok(out.len())
    }
}

impl Write for Torrent {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Halves that break what is promised of them.
struct Liar;

impl ErrorType for Liar {
    type Error = Infallible;
}

impl Read for Liar {
    async fn read(&mut self, _out: &mut [u8]) -> Result<usize, Infallible> {
        Ok(usize::MAX)
    }
}

impl Write for Liar {
    async fn write(&mut self, _bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(0)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A reader that never says anything.
struct Quiet;

impl ErrorType for Quiet {
    type Error = Infallible;
}

impl Read for Quiet {
    async fn read(&mut self, _out: &mut [u8]) -> Result<usize, Infallible> {
        pending().await
    }
}

#[test]
fn halves_that_break_their_promise_do_no_harm() {
    block_on(async {
        let (mut input, mut output) = ([0; 16], [0; 16]);
        let mut client = make(config(1));
        let mut stream = Stream::new(&mut client, Liar, Torrent, &mut input, &mut output);
        for _ in 0..100 {
            assert!(matches!(stream.turn().await, Ok(()) | Err(Error::Released)));
        }
        drop(stream);
        let mut client = make(config(1));
        let mut stream = Stream::new(&mut client, Quiet, Liar, &mut input, &mut output);
        assert_eq!(stream.turn().await, Err(Error::Stuck));
        drop(stream);
        for (input, output) in [(&mut [][..], &mut [0; 1][..]), (&mut [0; 1][..], &mut [][..])] {
            let mut client = make(config(1));
            let mut stream = Stream::new(&mut client, Quiet, Torrent, input, output);
            assert_eq!(stream.turn().await, Err(Error::NoBuffer));
        }
    });
}

#[test]
fn halves_that_never_wait_leave_the_others_their_turn() {
    block_on(async {
        let (mut input, mut output) = ([0; 16], [0; 16]);
        let mut client = make(config(1));
        // Empty frames are nonsense, so the client gives up at once, and is released within a few turns.
        let mut stream = Stream::new(&mut client, Torrent, Torrent, &mut input, &mut output);
        soon("nonsense is given up", async { while stream.turn().await.is_ok() {} }).await;
        drop(stream);
        // On a line, it goes on for ever.
        let mut line = Line::new(&mut client, Torrent, Torrent, &mut input, &mut output);
        let torrent = async {
            for _ in 0..10_000 {
                line.turn().await.expect("a line");
            }
        };
        let other = async {
            for _ in 0..100 {
                yield_now().await;
            }
        };
        // In a `select` that always asks the same one first.
        match select(torrent, other).await {
            Either::First(()) => panic!("the other one gets no turn"),
            Either::Second(()) => {}
        }
    });
}

#[test]
fn a_client_that_has_found_a_bug_in_itself_ends_its_stream_and_its_line() {
    block_on(async {
        let host = Host::new(BrokerConfig::new(0));
        let mut client = make(config(1));
        let (mut input, mut output) = ([0; 64], [0; 64]);
        let (down, up) = host.connect(64, 64);
        let mut stream = Stream::new(&mut client, down.clone(), up.clone(), &mut input, &mut output);
        stream.turn().await.expect("a hello");
        stream.client().plant_bug();
        for _ in 0..2 {
            assert_eq!(soon("the stream is over", stream.turn()).await, Err(Error::Broken));
        }
        drop(stream);
        let mut line = Line::new(&mut client, down, up, &mut input, &mut output);
        assert_eq!(soon("the line is of no use", line.turn()).await, Err(Error::Broken));
    });
}
