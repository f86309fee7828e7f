//! Conversations of clients with a broker in memory, recorded call by call.

use crate::machine::{Answer, BrokerMachine, Call, ClientMachine, Machine, Style};
use crate::pipe::{Mishap, Pipe};
use crate::support::{client_config, uuid};
use core::time::Duration;
use e_pigeon_core::{
    BrokerConfig, ClientConfig, Close, Destination, Filter, Framing, Instant, Retain, Value,
};
use proptest::prelude::*;

/// How many clients there are.
pub(crate) const CLIENTS: usize = 3;

/// What happens next. The first number says to which client.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(usize, usize, u8, u16, bool),
    Set(usize, i64),
    Remove(usize),
    Watch(usize),
    Unwatch(usize),
    Connect(usize),
    Cut(usize),
    HalfOpen(usize),
    Up(usize, usize),
    Down(usize, usize),
    Poll(usize, usize),
    Acknowledge(usize),
    Ready,
    Pass(u64),
    /// Everything that can be done at once.
    Flow,
    Close(usize, bool),
    /// To what is under way from a client or to it; nothing on streams.
    Suffer(usize, bool, Mishap),
}

pub(crate) fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![Just(Mishap::Lost), Just(Mishap::Twice), Just(Mishap::Later)]
}

pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let n = || 0..CLIENTS;
    let bytes = || prop_oneof![2 => Just(usize::MAX), 1 => 0_usize..60, 1 => 60_usize..400];
    let step = prop_oneof![
        6 => (n(), 0_usize..7, 0_u8..=64, prop_oneof![3 => Just(60_000), 1 => 0_u16..900], any::<bool>())
            .prop_map(|(from, to, length, live, early)| Step::Send(from, to, length, live, early)),
        1 => (n(), 0_i64..2).prop_map(|(n, value)| Step::Set(n, value)),
        1 => n().prop_map(Step::Remove),
        1 => n().prop_map(Step::Watch),
        1 => n().prop_map(Step::Unwatch),
        2 => n().prop_map(Step::Connect),
        1 => n().prop_map(Step::Cut),
        1 => n().prop_map(Step::HalfOpen),
        6 => (n(), bytes()).prop_map(|(n, most)| Step::Up(n, most)),
        6 => (n(), bytes()).prop_map(|(n, most)| Step::Down(n, most)),
        3 => (n(), 0_usize..9).prop_map(|(n, most)| Step::Poll(n, most)),
        1 => n().prop_map(Step::Acknowledge),
        2 => Just(Step::Ready),
        3 => prop_oneof![0_u64..40, 0_u64..4_000, 0_u64..70_000].prop_map(Step::Pass),
        3 => Just(Step::Flow),
        1 => (n(), any::<bool>()).prop_map(|(n, end)| Step::Close(n, end)),
        4 => (n(), any::<bool>(), mishap()).prop_map(|(n, up, mishap)| Step::Suffer(n, up, mishap)),
    ];
    prop::collection::vec(step, 1..most)
}

/// Limits of everything, of which small ones are as likely as large ones, and what carries the links.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) framing: Framing,
    pub(crate) small_broker: bool,
    pub(crate) small_clients: bool,
    pub(crate) manual: bool,
}

pub(crate) fn limits() -> impl Strategy<Value = Limits> {
    let framing =
        prop_oneof![2 => Just(Framing::Length), 1 => Just(Framing::Cobs), 1 => Just(Framing::Datagram)];
    (framing, any::<[bool; 3]>()).prop_map(|(framing, [small_broker, small_clients, manual])| Limits {
        framing,
        small_broker,
        small_clients,
        manual,
    })
}

impl Limits {
    pub(crate) fn broker(&self) -> BrokerConfig {
        let small = BrokerConfig::new(0)
            .max_links(4)
            .max_messages(12)
            .max_message_bytes(768)
            .max_held(3)
            .queue_messages(4)
            .queue_bytes(200)
            .window_messages(3)
            .window_bytes(128)
            .receipt_backlog(2)
            .max_watches(1)
            .watch_backlog(1);
        let config = if self.small_broker { small } else { BrokerConfig::new(0) };
        config.max_payload(64).settle(Duration::from_millis(500)).session_ttl(Duration::from_secs(60))
    }

    pub(crate) fn client(&self, n: usize) -> ClientConfig {
        let mut config = client_config(n);
        config.max_payload = 64;
        config.outbox_messages = if self.small_clients { 3 } else { 64 };
        config.outbox_bytes = if self.small_clients { 400 } else { 8_000 };
        config.inbox_messages = if self.small_clients { 2 } else { 64 };
        config.inbox_bytes = if self.small_clients { 100 } else { 4_000 };
        (config.senders, config.seen_window, config.late_ids) = (8, 256, 64);
        (config.destination_slots, config.destination_bytes, config.attribute_bytes) = (2, 100, 60);
        (config.watches, config.presence_items) = (1, 3);
        (config.framing, config.reorder_bytes) = (self.framing, 1_024);
        config.manual_acknowledgement = self.manual;
        config
    }
}

/// A machine, the calls that it had, and what came of each.
pub(crate) struct Recorded<M> {
    pub(crate) machine: M,
    pub(crate) script: Vec<(Instant, Call, Answer)>,
}

impl<M: Machine> Recorded<M> {
    fn new(machine: M) -> Self {
        Self { machine, script: Vec::new() }
    }

    fn call(&mut self, now: Instant, call: Call) -> &Answer {
        let answer = self.machine.call(now, &call, &mut Style::whole());
        self.script.push((now, call, answer));
        &self.script.last().unwrap().2
    }
}

pub(crate) struct Peer {
    pub(crate) recorded: Recorded<ClientMachine>,
    link: Option<usize>,
    up: Pipe,
    down: Pipe,
}

pub(crate) struct Conversation {
    now: Instant,
    pub(crate) broker: Recorded<BrokerMachine>,
    pub(crate) peers: Vec<Peer>,
}

/// Lets all of this happen, and records it.
pub(crate) fn record(limits: &Limits, steps: &[Step]) -> Conversation {
    let peers = (0..CLIENTS).map(|n| Peer {
        recorded: Recorded::new(ClientMachine::new(&limits.client(n))),
        link: None,
        up: Pipe::new(limits.framing),
        down: Pipe::new(limits.framing),
    });
    let mut conversation = Conversation {
        now: Instant::from_micros(1_000_000),
        broker: Recorded::new(BrokerMachine::new(&limits.broker(), limits.framing)),
        peers: peers.collect(),
    };
    // The clock of a broker begins with its first call.
    conversation.broker.call(conversation.now, Call::Timeout);
    steps.iter().for_each(|step| conversation.step(step));
    conversation
}

fn destination(choice: usize) -> Destination {
    let a = |value| Filter::all_of(&[("a", Value::Int(value))]).unwrap();
    match choice {
        0..CLIENTS => uuid(choice).into(),
        3 => a(1).into(),
        4 => Destination::from(a(0)).exclude_self(),
        5 => Destination::from(Filter::everyone()).only_connected(),
        _ => Filter::everyone().into(),
    }
}

impl Conversation {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send(n, to, length, live, early) => {
                let live = Duration::from_millis(live.into());
                let until = if early { Retain::Accepted } else { Retain::Delivered };
                let payload = vec![length; length.into()];
                self.client(n, Call::Send { to: Box::new(destination(to)), payload, live, until });
            }
            Step::Set(n, value) => drop(self.client(n, Call::Set(value))),
            Step::Remove(n) => drop(self.client(n, Call::Remove)),
            Step::Watch(n) => drop(self.client(n, Call::Watch)),
            Step::Unwatch(n) => drop(self.client(n, Call::Unwatch)),
            Step::Acknowledge(n) => drop(self.client(n, Call::Acknowledge)),
            Step::Poll(n, most) => drop(self.client(n, Call::Events(most))),
            Step::Close(n, end) => {
                self.client(n, Call::Close(if end { Close::EndSession } else { Close::KeepSession }));
            }
            Step::Connect(n) => self.connect(n),
            Step::Cut(n) => self.cut(n, true),
            Step::HalfOpen(n) => self.cut(n, false),
            Step::Up(n, most) => self.up(n, most),
            Step::Down(n, most) => self.down(n, most),
            Step::Suffer(n, true, mishap) => self.peers[n].up.suffer(mishap),
            Step::Suffer(n, false, mishap) => self.peers[n].down.suffer(mishap),
            Step::Ready => self.ready(),
            Step::Pass(milliseconds) => {
                self.now = self.now + Duration::from_millis(milliseconds);
                self.broker.call(self.now, Call::Timeout);
                (0..CLIENTS).for_each(|n| drop(self.client(n, Call::Timeout)));
            }
            Step::Flow => self.flow(),
        }
    }

    fn client(&mut self, n: usize, call: Call) -> Answer {
        self.peers[n].recorded.call(self.now, call).clone()
    }

    fn connect(&mut self, n: usize) {
        if !self.peers[n].recorded.machine.client.wants_connection() {
            return;
        }
        let before = self.broker.machine.links.len();
        self.broker.call(self.now, Call::Connected);
        if self.broker.machine.links.len() > before {
            self.peers[n].link = Some(before);
            self.client(n, Call::Connected);
        } else {
            self.client(n, Call::Disconnected(0));
        }
    }

    /// The transport of a client breaks; what is under way is lost.
    fn cut(&mut self, n: usize, broker_notices: bool) {
        let peer = &mut self.peers[n];
        peer.up.clear();
        peer.down.clear();
        let Some(link) = peer.link.take() else { return };
        self.client(n, Call::Disconnected(0));
        if broker_notices {
            self.broker.call(self.now, Call::Disconnected(link));
        }
    }

    fn up(&mut self, n: usize, most: usize) {
        let Some(link) = self.peers[n].link else { return };
        let written = self.client(n, Call::Transmit(0, most)).written;
        let peer = &mut self.peers[n];
        peer.up.put(&written);
        for piece in peer.up.take(most) {
            self.broker.call(self.now, Call::Input(link, piece));
        }
    }

    fn down(&mut self, n: usize, most: usize) {
        let Some(link) = self.peers[n].link else { return };
        let written = &self.broker.call(self.now, Call::Transmit(link, most)).written;
        let peer = &mut self.peers[n];
        peer.down.put(written);
        for piece in peer.down.take(most) {
            self.client(n, Call::Input(0, piece));
        }
    }

    fn ready(&mut self) {
        let told = self.broker.call(self.now, Call::Ready).told.clone();
        for link in told.iter().filter_map(|line| line.strip_prefix("close ")) {
            let link = link.parse().unwrap();
            if let Some(n) = self.peers.iter().position(|peer| peer.link == Some(link)) {
                self.down(n, usize::MAX);
                self.cut(n, false);
            }
            self.broker.call(self.now, Call::Disconnected(link));
        }
    }

    fn flow(&mut self) {
        for n in (0..CLIENTS).chain(0..CLIENTS) {
            self.connect(n);
            self.up(n, usize::MAX);
            self.down(n, usize::MAX);
            self.client(n, Call::Events(usize::MAX));
            if self.peers[n].recorded.machine.client.wants_disconnect() {
                self.up(n, usize::MAX);
                self.cut(n, true);
            }
        }
        self.ready();
        self.broker.call(self.now, Call::Events(usize::MAX));
    }
}
