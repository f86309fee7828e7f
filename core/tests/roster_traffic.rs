//! What it costs to know who is here: it grows with what the watchers have asked for.
//!
//! The Node.js original sent the whole list of clients to all of them whenever somebody came: N clients that join one by
//! one made a traffic of N^3.
#![allow(clippy::unwrap_used)]

mod support;

use e_pigeon_core::{BrokerConfig, Filter, Ready, WatchId};
use support::{MAX, World, client_config, uuid};

/// Who watches everyone.
#[derive(Clone, Copy, Debug)]
enum Watchers {
    Nobody,
    /// The first.
    One,
    All,
}

/// Clients join one by one, and each time everything comes to rest.
struct Crowd {
    world: World,
    /// From the index of a link to its client.
    by_link: Vec<usize>,
    watches: Vec<WatchId>,
    /// Bytes in both directions.
    bytes: usize,
}

impl Crowd {
    fn join(&mut self, is_watching: bool) {
        let n = self.world.peers.len();
        let mut config = client_config(n);
        // A thousand of them must not take much memory.
        (config.outbox_bytes, config.inbox_bytes) = (1 << 13, 1 << 13);
        (config.senders, config.seen_window, config.watches, config.presence_items) = (4, 64, 1, 8);
        (config.outbox_messages, config.inbox_messages) = (8, 8);
        self.world.join(config, "a");
        if is_watching {
            let watch = self.world.peers[n].client.watch(self.world.now, &Filter::everyone());
            self.watches.push(watch.unwrap());
        }
        self.world.connect(n);
        let index = self.world.peers[n].link.unwrap().index();
        self.by_link.resize(self.by_link.len().max(index + 1), usize::MAX);
        self.by_link[index] = n;
        self.bytes += self.world.up(n, MAX);
        self.rest();
    }

    /// Moves everything until nothing moves any more, and looks only at those that have something.
    fn rest(&mut self) {
        while let Some(ready) = self.world.broker.poll_ready() {
            let (Ready::Transmit(link) | Ready::Resume(link) | Ready::Close(link)) = ready;
            let n = self.by_link[link.index()];
            self.bytes += self.world.down(n, MAX);
            self.world.poll(n);
            self.bytes += self.world.up(n, MAX);
        }
    }
}

/// The bytes that so many clients have cost when all are there.
fn traffic(clients: usize, watchers: Watchers) -> usize {
    let mut crowd = Crowd {
        world: World::with(0, BrokerConfig::new(0)),
        by_link: Vec::new(),
        watches: Vec::new(),
        bytes: 0,
    };
    for n in 0..clients {
        crowd.join(match watchers {
            Watchers::Nobody => false,
            Watchers::One => n == 0,
            Watchers::All => true,
        });
    }
    assert_eq!(crowd.world.broker.stats().connected as usize, clients);
    for (n, &watch) in crowd.watches.iter().enumerate() {
        let roster = &crowd.world.peers[n].roster;
        assert_eq!(roster.peers(watch).count(), clients, "{n} knows everybody");
        assert!(roster.get(watch, uuid(clients - 1)).is_some());
    }
    crowd.bytes
}

#[test]
fn roster_traffic_grows_with_what_the_watchers_asked_for() {
    for (watchers, power) in [(Watchers::Nobody, 1), (Watchers::One, 1), (Watchers::All, 2)] {
        let bytes = [10, 100, 1_000].map(|clients| traffic(clients, watchers));
        println!("{watchers:?} watching: {bytes:?} bytes for 10, 100 and 1,000 clients");
        for pair in bytes.windows(2) {
            // Ten times as many clients. Numbers become a little longer, and what is constant counts for less.
            let most = pair[0] * 10_usize.pow(power) * 5 / 4;
            assert!(pair[1] <= most, "{watchers:?}: {} bytes after {}, more than {most}", pair[1], pair[0]);
        }
    }
    // Two clients that watch nobody do not pay for those who do.
    let (nobody, one) = (traffic(100, Watchers::Nobody), traffic(100, Watchers::One));
    assert!(one - nobody < 100 * 100, "{} bytes to tell one of a hundred", one - nobody);
}
