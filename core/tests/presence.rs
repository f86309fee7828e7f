//! Presence: whoever watches a filter knows in the end who matches it, whatever happened in between.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use core::time::Duration;
use e_pigeon_core::{
    Attributes, BrokerConfig, Client, Close, Destination, Filter, Ready, RefusalReason, Secret, Value,
    WatchError, WatchId,
};
use support::random::Random;
use support::raw::hello;
use support::{MAX, World, client_config, group, make, uuid};

fn room(room: &str) -> Filter {
    Filter::all_of(&[("room", Value::Str(room))]).unwrap()
}

impl World {
    fn watch(&mut self, n: usize, filter: &Filter) -> WatchId {
        self.peers[n].client.watch(self.now, filter).unwrap()
    }

    /// Who is here, as far as a client knows: numbers of clients, negative where away.
    fn here(&self, n: usize, watch: WatchId) -> Vec<i64> {
        let number = |(id, peer): (e_pigeon_core::Uuid, &e_pigeon_core::Peer)| {
            let n = (id.as_u128() - uuid(0).as_u128()) as i64;
            if peer.is_connected() { n } else { -n }
        };
        self.peers[n].roster.peers(watch).map(number).collect()
    }
}

#[test]
fn a_watcher_is_told_who_is_here_and_then_what_changes() {
    let mut world = World::new(3);
    let watch = world.watch(0, &room("a"));
    world.settle();
    assert_eq!(world.here(0, watch), [0, 1, 2], "itself among them");
    let synced = format!("PresenceSynced({watch:?})");
    assert!(world.peers[0].log.notes.contains(&synced));

    world.cut(2);
    world.peers[2].reachable = false;
    world.flow();
    assert_eq!(world.here(0, watch), [0, 1, -2], "away");
    world.peers[1].client.set(world.now, "room", Value::Str("b")).unwrap();
    world.flow();
    assert_eq!(world.here(0, watch), [0, -2], "no match any more");
    world.peers[1].client.set(world.now, "room", Value::Str("a")).unwrap();
    world.peers[1].client.set(world.now, "level", Value::Int(3)).unwrap();
    world.flow();
    let one = world.peers[0].roster.get(watch, uuid(1)).unwrap();
    assert_eq!(one.attributes().get("level"), Some(Value::Int(3)));
    world.close(1, Close::EndSession);
    world.flow();
    assert_eq!(world.here(0, watch), [0, -2], "gone");
    world.pass(Duration::from_secs(700));
    assert_eq!(world.here(0, watch), [0], "its session is over");
}

#[test]
fn presence_shows_exactly_those_that_a_message_would_go_to() {
    let mut world = World::new(2);
    let mut silent = client_config(2);
    silent.receives = false;
    world.join(silent, "a");
    let watch = world.watch(0, &Filter::everyone());
    world.settle();
    assert_eq!(world.here(0, watch), [0, 1]);
    let id = world.send(0, &Filter::everyone().into(), "all");
    world.settle();
    assert_eq!(world.outcome(0, id), Some((2, 2)));
}

#[test]
fn any_of_names_nobody_twice_in_its_snapshot() {
    let mut world = World::new(4);
    world.peers[1].client.set(world.now, "role", Value::Str("admin")).unwrap();
    world.peers[2].client.set(world.now, "room", Value::Str("b")).unwrap();
    world.peers[2].client.set(world.now, "role", Value::Str("admin")).unwrap();
    world.settle();
    let any = Filter::any_of(&[("room", Value::Str("a")), ("role", Value::Str("admin"))]).unwrap();
    let watch = world.watch(3, &any);
    world.settle();
    assert_eq!(world.here(3, watch), [0, 1, 2, 3]);
    assert_eq!(world.peers[3].log.presence, 4);
}

#[test]
fn a_watcher_that_falls_behind_is_told_everything_again_and_nothing_piles_up() {
    let config = BrokerConfig::new(0).watch_backlog(3);
    let mut world = World::with(1, config);
    let watch = world.watch(0, &room("a"));
    world.settle();
    world.peers[0].sleeps = true;
    for n in 1..100 {
        world.join(client_config(n), "a");
    }
    world.settle();
    for n in 1..50 {
        world.close(n, Close::EndSession);
    }
    world.settle();
    world.peers[0].sleeps = false;
    world.settle();
    let expected: Vec<i64> = [0].into_iter().chain(50..100).collect();
    assert_eq!(world.here(0, watch), expected);
    let resets = world.peers[0].log.notes.iter().filter(|note| note.starts_with("PresenceReset")).count();
    assert!(resets >= 2, "{resets}");
    assert!(world.peers[0].log.presence < 64 + 60, "no history: {}", world.peers[0].log.presence);
}

#[test]
fn receipts_pass_presence_and_messages_that_the_application_does_not_read() {
    let mut world = World::new(3);
    let watch = world.watch(0, &room("a"));
    world.settle();
    world.peers[0].sleeps = true;
    let everybody = group("a").exclude_self();
    for n in 0..20 {
        world.send(0, &everybody, "out");
        world.send(1, &everybody, "in");
        world.peers[2].client.set(world.now, "n", Value::Int(n)).unwrap();
        world.pass(Duration::from_secs(3));
    }
    world.join(client_config(3), "a");
    world.settle();
    assert!(world.broker.stats().open <= 20, "what was sent is answered: {:?}", world.broker.stats());
    world.peers[0].sleeps = false;
    world.settle();
    assert_eq!(world.peers[0].log.finals.len(), 20);
    assert_eq!(world.messages(0).len(), 20);
    assert_eq!(world.here(0, watch), [0, 1, 2, 3]);
    let n = world.peers[0].roster.get(watch, uuid(2)).unwrap().attributes().get("n");
    assert_eq!(n, Some(Value::Int(19)));
}

#[test]
fn watches_outlive_the_broker() {
    let mut world = World::new(3);
    let watch = world.watch(0, &room("a"));
    world.settle();
    world.peers[2].reachable = false;
    world.kill_broker();
    world.pass(Duration::from_secs(10));
    assert_eq!(world.here(0, watch), [0, 1], "the new broker never saw the third");
    world.peers[2].reachable = true;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.here(0, watch), [0, 1, 2]);
}

#[test]
fn what_is_no_longer_watched_is_told_no_more() {
    let mut world = World::new(2);
    let watch = world.watch(0, &room("a"));
    world.settle();
    let before = world.peers[0].log.presence;
    world.peers[1].client.set(world.now, "n", Value::Int(1)).unwrap();
    world.up(1, MAX);
    world.down(0, MAX);
    world.peers[0].client.unwatch(world.now, watch);
    assert!(!world.peers[0].client.has_event());
    world.settle();
    world.peers[1].client.set(world.now, "n", Value::Int(2)).unwrap();
    world.settle();
    assert_eq!(world.peers[0].log.presence, before);
    let again = world.watch(0, &room("a"));
    assert_ne!(again, watch);
    world.settle();
    assert_eq!(world.here(0, again), [0, 1]);
}

#[test]
fn there_are_as_many_watches_as_the_client_and_the_broker_allow() {
    let config = BrokerConfig::new(0).max_watches(2);
    let mut world = World::with(1, config);
    let watches: Vec<_> = (0..4).map(|n| world.watch(0, &room(&format!("{n}")))).collect();
    let client = &mut world.peers[0].client;
    assert_eq!(client.watch(world.now, &room("x")), Err(WatchError::TooMany));
    world.settle();
    for watch in &watches[2..] {
        let refused = format!("WatchRefused({watch:?}, {:?})", RefusalReason::BrokerFull);
        assert!(world.peers[0].log.notes.contains(&refused), "{:?}", world.peers[0].log.notes);
    }
    world.peers[0].client.unwatch(world.now, watches[0]);
    world.settle();
    let last = world.watch(0, &room("a"));
    world.settle();
    assert_eq!(world.here(0, last), [0]);

    let mut config = client_config(7);
    (config.watches, config.presence_items) = (0, 0);
    let mut client: Client<Vec<u8>> = make(config);
    assert_eq!(client.watch(world.now, &room("a")), Err(WatchError::TooMany));
    let mut config = client_config(7);
    config.destination_bytes = 17;
    let long = Filter::all_of(&[("a-long-key", Value::Str("a-long-value"))]).unwrap();
    assert_eq!(make(config).watch(world.now, &long), Err(WatchError::FilterTooLong { max: 17 }));
}

#[test]
fn a_snapshot_is_written_in_turns_where_few_of_many_match() {
    let mut world = World::new(1);
    for n in 1..3_001 {
        let mut attributes = Attributes::new();
        let (room, level) = if n % 1_000 == 0 { ("b", 1) } else { [("b", 0), ("c", 1)][n % 2] };
        attributes.set("room", Value::Str(room)).unwrap();
        attributes.set("level", Value::Int(level)).unwrap();
        let link = world.broker.handle_connected(world.now, 0).unwrap();
        world.broker.handle_input(world.now, link, &hello(n, 1, None, attributes.as_ref())).unwrap();
    }
    while world.broker.poll_ready().is_some() {}
    let few = Filter::all_of(&[("room", Value::Str("b")), ("level", Value::Int(1))]).unwrap();
    let watch = world.watch(0, &few);
    // From here on the link is written on only when the broker says so.
    world.up(0, MAX);
    let (mut turns, mut silent) = (0, 0);
    while let Some(ready) = world.broker.poll_ready() {
        let Ready::Transmit(link) = ready else { continue };
        if world.peers[0].link == Some(link) {
            turns += 1;
            silent += usize::from(world.down(0, MAX) == 0);
            world.poll(0);
            world.up(0, MAX);
        }
    }
    assert_eq!(world.here(0, watch), [1_000, 2_000, 3_000]);
    assert!(turns >= 2 && silent <= 1, "{turns} turns, {silent} in vain");
}

const ROOMS: [&str; 3] = ["a", "b", "c"];

/// Clients to which anything may happen: rooms change, links break, watches begin and end.
struct Unrest {
    seed: u64,
    random: Random,
    world: World,
    filters: [Filter; 4],
    watches: Vec<Watch>,
}

#[derive(Clone, Copy)]
struct Watch {
    /// The number of the client that watches.
    watcher: usize,
    id: WatchId,
    /// Which of the filters it watches.
    filter: usize,
}

fn filters() -> [Filter; 4] {
    [
        room("a"),
        Filter::everyone(),
        Filter::any_of(&[("room", Value::Str("a")), ("room", Value::Str("b")), ("n", Value::Int(1))])
            .unwrap(),
        Filter::all_of(&[("room", Value::Str("b")), ("n", Value::Int(0))]).unwrap(),
    ]
}

fn draw_world(random: &mut Random) -> World {
    let config = BrokerConfig::new(0)
        .watch_backlog(1 + random.below(6) as u32)
        .max_watches(4)
        .session_ttl(Duration::from_secs(20))
        .settle(Duration::from_millis(200));
    let mut world = World::with(0, config);
    for n in 0..2 + random.below(6) as usize {
        let mut config = client_config(n);
        config.presence_items = 1 + random.below(12) as u16;
        config.secret = Secret([n as u8; 16]);
        world.join(config, random.pick(&ROOMS));
    }
    world
}

impl Unrest {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let world = draw_world(&mut random);
        Self { seed, random, world, filters: filters(), watches: Vec::new() }
    }

    fn draw_client(&mut self) -> usize {
        self.random.below(self.world.peers.len() as u64) as usize
    }

    fn step(&mut self) {
        let n = self.draw_client();
        let now = self.world.now;
        let (random, world) = (&mut self.random, &mut self.world);
        match random.below(14) {
            0 => drop(world.peers[n].client.set(now, "room", Value::Str(random.pick(&ROOMS)))),
            1 => drop(world.peers[n].client.set(now, "n", Value::Int(random.below(2) as i64))),
            2 => drop(world.peers[n].client.remove(now, "n")),
            3 => world.cut(n),
            4 => world.half_open(n),
            5 if random.below(6) == 0 => world.kill_broker(),
            6 => self.begin_watch(n),
            7 if !self.watches.is_empty() => self.end_watch(),
            8 => world.peers[n].reachable = random.below(2) == 0,
            9 => world.peers[n].sleeps = random.below(2) == 0,
            10 => world.pass(Duration::from_millis(random.below(3_000))),
            _ => self.move_bytes(),
        }
    }

    fn begin_watch(&mut self, watcher: usize) {
        let filter = self.random.below(4) as usize;
        let now = self.world.now;
        if let Ok(id) = self.world.peers[watcher].client.watch(now, &self.filters[filter]) {
            self.watches.push(Watch { watcher, id, filter });
        }
    }

    fn end_watch(&mut self) {
        let at = self.random.below(self.watches.len() as u64) as usize;
        let watch = self.watches.swap_remove(at);
        let peer = &mut self.world.peers[watch.watcher];
        peer.client.unwatch(self.world.now, watch.id);
        peer.roster.forget(watch.id);
    }

    fn move_bytes(&mut self) {
        for _ in 0..self.random.below(20) {
            let n = self.draw_client();
            self.world.connect(n);
            let most = 1 + self.random.below(60) as usize;
            self.world.up(n, most);
            self.world.down(n, most);
            if self.random.percent(50) {
                self.world.poll(n);
            }
        }
    }

    fn heal(&mut self) {
        for peer in &mut self.world.peers {
            (peer.reachable, peer.sleeps) = (true, false);
        }
        self.world.pass(Duration::from_secs(60));
    }

    fn check_watch(&self, watch: Watch) {
        let (seed, n) = (self.seed, watch.watcher);
        let roster = &self.world.peers[n].roster;
        for (other, peer) in self.world.peers.iter().enumerate() {
            if let Some(told) = roster.get(watch.id, uuid(other)) {
                let attributes = peer.client.attributes();
                assert_eq!(told.attributes(), attributes, "seed {seed}: {other} as {n} knows it");
            }
        }
        let here = self.world.here(n, watch.id);
        assert_eq!(here, self.matching(watch.filter), "seed {seed}: what {n} knows under {:?}", watch.id);
    }

    /// The numbers of the clients that match a filter.
    fn matching(&self, filter: usize) -> Vec<i64> {
        let destination = Destination::from(self.filters[filter].clone());
        let matches =
            |n: &usize| destination.as_ref().matches(uuid(*n), self.world.peers[*n].client.attributes());
        (0..self.world.peers.len()).filter(matches).map(|n| n as i64).collect()
    }

    /// The broker remembers no watch that has ended: it has room for as many new ones as it allows.
    fn check_room_for_new_watches(&mut self) {
        self.world.settle();
        for n in 0..self.world.peers.len() {
            for filter in &self.filters {
                self.world.watch(n, filter);
            }
        }
        self.world.settle();
        for peer in &self.world.peers {
            let refused = peer.log.notes.iter().any(|note| note.starts_with("WatchRefused"));
            assert!(!refused, "seed {}", self.seed);
            assert!(peer.client.unanswered().next().is_none());
        }
    }
}

/// Draws what happens, then lets everything heal, and compares what watchers know with what is.
fn run(seed: u64) {
    let mut unrest = Unrest::new(seed);
    for _ in 0..unrest.random.below(150) {
        unrest.step();
    }
    unrest.heal();
    for watch in unrest.watches.clone() {
        unrest.check_watch(watch);
        unrest.world.peers[watch.watcher].client.unwatch(unrest.world.now, watch.id);
    }
    unrest.check_room_for_new_watches();
}

#[test]
fn in_the_end_every_watcher_knows_who_is_here() {
    let seeds = std::env::var("E_PIGEON_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(400);
    (0..seeds).for_each(run);
}
