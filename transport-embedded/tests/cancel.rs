//! Every future is dropped at every point where it waits, and nothing is lost or comes twice.
#![allow(missing_docs)]

mod support;

use std::future::Future;
use std::time::Duration;

use e_pigeon_core::{BrokerConfig, Client, Close, Framing};
use e_pigeon_embedded::{Error, Line, Stream, idle, now};
use e_pigeon_sim::conformance::dropping;
use embassy_futures::yield_now;
use futures_lite::future::zip;
use support::host::Host;
use support::{Application, Link, block_on_beside, config, make, soon};

const MESSAGES: u32 = 30;
/// No turn waits more often.
const MOST_POLLS: u32 = 3;

/// Polls a future so many times, and drops it where that was not enough; then the others get their turn.
async fn at_most<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let result = dropping::at_most(polls, future).await;
    yield_now().await;
    result
}

/// Talks until the link is over or the client has ended.
async fn talk(polls: u32, mut link: impl Link, application: &mut Application) {
    while !application.is_closed {
        application.act(link.client());
        if application.is_done(MESSAGES) {
            link.client().close(now(), Close::EndSession);
        }
        match at_most(polls, link.turn()).await {
            None | Some(Ok(())) => {}
            Some(Err(Error::Released | Error::Ended | Error::Write(_))) => break,
            Some(Err(error)) => panic!("{error}"),
        }
    }
    application.act(link.client());
}

/// Lives on streams, the first of which are cut, or on a line.
async fn live(
    polls: u32,
    host: &Host,
    client: &mut Client<Vec<u8>>,
    framing: Framing,
    own: &mut Application,
) {
    let (mut input, mut output) = ([0; 11], [0; 13]);
    if framing == Framing::Cobs {
        let (down, up) = host.line(17, 9, 0);
        return talk(polls, Line::new(client, down, up, &mut input, &mut output), own).await;
    }
    let mut cut_after = 100;
    while !own.is_closed {
        own.act(client);
        if !client.wants_connection() {
            at_most(polls, idle(client)).await;
            continue;
        }
        let (down, up) = host.connect(17, 9);
        if cut_after < 2000 {
            up.cut_after(cut_after);
            cut_after *= 2;
        }
        talk(polls, Stream::new(client, down.clone(), up.clone(), &mut input, &mut output), own).await;
        up.cut(Ok(()));
        down.cut(Ok(()));
    }
}

fn conversation(framing: Framing, polls: u32) {
    let host = Host::new(BrokerConfig::new(0));
    block_on_beside(host.clone().run(), async move {
        let config = |number| {
            config(number).framing(framing).reorder_bytes(512).handshake_timeout(Duration::from_millis(500))
        };
        let (mut alice, mut bob) = (make(config(1)), make(config(2)));
        let (mut ones, mut twos) = (Application::new(2, MESSAGES), Application::new(1, MESSAGES));
        let clients = zip(
            live(polls, &host, &mut alice, framing, &mut ones),
            live(polls, &host, &mut bob, framing, &mut twos),
        );
        let what = format!("{framing:?}, {polls} polls");
        soon(&what, clients).await;
        ones.assert_all(MESSAGES);
        twos.assert_all(MESSAGES);
        let links = ones.links.min(twos.links);
        assert_eq!(links > 1, framing == Framing::Length, "{what}: {links} links");
    });
}

#[test]
fn nothing_is_lost_or_doubled_wherever_futures_are_dropped() {
    for framing in [Framing::Length, Framing::Cobs] {
        for polls in 1..=MOST_POLLS {
            conversation(framing, polls);
        }
    }
}
