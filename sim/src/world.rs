//! A broker, its clients and what lies between them, in one process and under virtual time.

use crate::application::{Application, Peer};
use crate::coverage::{Coverage, Path};
use crate::model::Model;
use crate::network::{Connections, Network};
use crate::receipts::{Receipts, Tally};
use crate::setup::Setup;
use crate::source::mix;
use crate::step::{Pipe, Step, uuid};
use crate::stranger::Strangers;
use crate::violation::{Outcome, Violation};
use crate::witness::Witness;
use core::fmt::Write as _;
use e_pigeon_core::{Broker, Client, ClientConfig, ConfigError, Instant, Secret};
use std::collections::BTreeMap;

/// How much was done, for the figures of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Steps that were applied.
    pub steps: u64,
    /// Messages that applications were handed.
    pub messages: u64,
    /// Connections that broke.
    pub cuts: u64,
    /// Deaths of the broker, and of clients.
    pub crashes: u64,
    /// Units of work of all calls of the broker.
    pub work: u64,
}

impl Figures {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.messages += other.messages;
        self.cuts += other.cuts;
        self.crashes += other.crashes;
        self.work += other.work;
    }
}

/// A broker with its clients.
///
/// It changes by [`apply`](Self::apply), one [`Step`] after the other. Every step is checked against the model of what
/// is promised; [`heal`](Self::heal) ends all faults and demands that everything comes to its end.
///
/// ```
/// use e_pigeon_sim::{Send, Setup, Step, To, World};
///
/// let mut world = World::new(&Setup::new(2))?;
/// world.apply(&Step::Flow)?;
/// world.apply(&Step::Send(Send::new(0, To::Client(1))))?;
/// world.apply(&Step::Kill { silent: true })?;
/// world.heal()?;
/// assert_eq!(world.figures().messages, 1);
/// # Ok::<(), e_pigeon_sim::Violation>(())
/// ```
pub struct World {
    pub(crate) setup: Setup,
    pub(crate) now: Instant,
    pub(crate) broker: Broker,
    /// Which life of the broker this is.
    pub(crate) epoch: usize,
    /// What it drew for this life.
    pub(crate) drawn_epoch: u64,
    pub(crate) witness: Witness,
    pub(crate) peers: Vec<Peer>,
    pub(crate) connections: Connections,
    pub(crate) strangers: Strangers,
    pub(crate) network: Option<Box<dyn Network>>,
    pub(crate) model: Model,
    pub(crate) coverage: Coverage,
    pub(crate) figures: Figures,
    trace: Option<String>,
    pub(crate) receipts: Option<Box<Receipts>>,
    /// Where machines write to. They are asked so often that clearing it each time would take a fifth of a run.
    pub(crate) buffer: Vec<u8>,
    drawn: u64,
    /// Nothing goes wrong any more.
    pub(crate) healed: bool,
    /// How many links this life of the broker has given each source of clients, and how many sessions it has begun or resumed
    /// on them.
    pub(crate) given: BTreeMap<u64, (u64, u64)>,
    /// Units of work of the last call of the broker.
    pub(crate) worked: u32,
    /// This life of the broker has ended all links at some time.
    pub(crate) ends_links: bool,
    /// Through which connection the broker reads just now.
    pub(crate) reading: Option<u64>,
}

/// Writes a line of the trace, where there is one.
macro_rules! trace {
    ($world:expr, $($text:tt)+) => {
        if $world.is_traced() {
            $world.write_trace(format_args!($($text)+));
        }
    };
}
pub(crate) use trace;

/// A broker without sessions.
pub(crate) fn new_broker(setup: &Setup, epoch: u64, witness: &Witness) -> Outcome<Broker> {
    let mut broker = Broker::with_policy(setup.broker.clone(), epoch, witness.clone())?;
    broker.set_budget(setup.budget);
    Ok(broker)
}

impl From<ConfigError> for Violation {
    fn from(error: ConfigError) -> Self {
        Self { kind: "setup", text: error.to_string() }
    }
}

impl World {
    /// A world in which nothing has happened: clients want to connect, and the broker has no session.
    ///
    /// # Errors
    ///
    /// A limit makes no sense. More than 64 clients are too many.
    pub fn new(setup: &Setup) -> Outcome<Self> {
        if setup.clients.len() > 64 {
            return Err(Violation { kind: "setup", text: "at most 64 clients".into() });
        }
        let witness = Witness::default();
        let drawn_epoch = mix(setup.seed);
        let mut world = Self {
            now: Instant::from_micros(1),
            broker: new_broker(setup, drawn_epoch, &witness)?,
            epoch: 0,
            drawn_epoch,
            witness,
            peers: Vec::new(),
            connections: Connections::default(),
            strangers: Strangers::default(),
            network: None,
            model: Model::new(setup),
            coverage: Coverage::default(),
            figures: Figures::default(),
            trace: None,
            receipts: None,
            buffer: Vec::new(),
            drawn: 0,
            healed: false,
            given: BTreeMap::new(),
            worked: 0,
            ends_links: false,
            reading: None,
            setup: setup.clone(),
        };
        for n in 0..setup.clients.len() {
            let (config, client) = world.start(n)?;
            world.peers.push(Peer::new(config, client));
        }
        Ok(world)
    }

    /// Keeps a trace from now on.
    pub fn with_trace(mut self) -> Self {
        let text = format!("{:#?}\n", self.setup);
        self.trace = Some(text);
        self
    }

    /// Reads along why receipts are lower than what was handed on.
    pub fn with_receipts(mut self) -> Self {
        self.receipts = Some(Box::default());
        self
    }

    /// What came of that; nothing without [`with_receipts`](Self::with_receipts).
    pub fn receipts(&self) -> Tally {
        self.receipts.as_ref().map(|receipts| receipts.tally()).unwrap_or_default()
    }

    /// Puts a program of the user's around a client, in all of its boots.
    pub fn with_application(mut self, client: usize, application: Box<dyn Application>) -> Self {
        if let Some(peer) = self.peers.get_mut(client) {
            peer.application = Some(application);
        }
        self
    }

    /// Lets bytes pass as that says, while the world flows.
    pub fn with_network(mut self, network: Box<dyn Network>) -> Self {
        self.network = Some(network);
        self
    }

    /// What has happened so far, in words; empty without [`with_trace`](Self::with_trace).
    pub fn trace(&self) -> &str {
        self.trace.as_deref().unwrap_or_default()
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The broker, as it is.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// A client, as it is.
    pub fn client(&self, client: usize) -> Option<&Client<Vec<u8>>> {
        self.peers.get(client).map(|peer| &peer.client)
    }

    /// Which rare paths were hit.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// How much was done.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Lets one thing happen, and checks what came of it. What cannot happen now changes nothing.
    ///
    /// # Errors
    ///
    /// A promise was broken.
    pub fn apply(&mut self, step: &Step) -> Outcome {
        self.figures.steps += 1;
        trace!(self, "-- {step:?}");
        if let Step::Sleep(n) = *step
            && self.peers.get(n).is_some_and(|peer| !peer.sleeps)
        {
            self.coverage.hit(Path::SlowApplication);
        }
        match *step {
            Step::Send(ref send) => self.send(send),
            Step::Room(n, room) => self.set_room(n, room),
            Step::Level(n, level) => self.set_level(n, level),
            Step::Watch(n, ref to) => self.watch(n, to),
            Step::Unwatch(n, place) => self.unwatch(n, place),
            Step::Poll(n, most) => self.poll(n, most).map(drop),
            Step::Acknowledge(n, count) => self.acknowledge(n, count).map(drop),
            Step::Sleep(n) => self.with_peer(n, |peer| peer.sleeps = true),
            Step::Wake(n) => self.with_peer(n, |peer| peer.sleeps = false),
            Step::Close(n, end) => self.close(n, end),
            Step::Connect(n) => self.connect(n).map(drop),
            Step::Accept(pipe) => self.on_pipe(pipe, |world, id| world.accept(id)),
            Step::WriteUp { client, out, most } => self.write_up(client, out, most).map(drop),
            Step::ReadUp(pipe, most) => self.on_pipe(pipe, |world, id| world.read_up(id, most).map(drop)),
            Step::WriteDown { pipe, out, most } => {
                self.on_pipe(pipe, |world, id| world.write_down(id, out, most, false).map(drop))
            }
            Step::ReadDown(pipe, most) => self.on_pipe(pipe, |world, id| world.read_down(id, most).map(drop)),
            Step::Flow => self.flow(),
            Step::Cut { pipe, client, broker, kept } => {
                self.on_pipe(pipe, |world, id| world.cut(id, client, broker, kept))
            }
            Step::Stall(pipe) => self.on_pipe(pipe, |world, id| world.stall(id, true)),
            Step::Unstall(pipe) => self.on_pipe(pipe, |world, id| world.stall(id, false)),
            Step::Unreachable(n) => {
                self.coverage.hit(Path::Unreachable);
                self.with_peer(n, |peer| peer.reachable = false)
            }
            Step::Reachable(n) => self.with_peer(n, |peer| peer.reachable = true),
            Step::Stop(n) => {
                self.coverage.hit(Path::Stopped);
                self.with_peer(n, |peer| peer.stopped = true)
            }
            Step::Continue(n) => self.with_peer(n, |peer| peer.stopped = false),
            Step::Restart { client, silent } => self.restart(client, silent),
            Step::Kill { silent } => self.kill(silent),
            Step::EndLinks => self.end_links(),
            Step::Disturb(pipe, direction, what) => {
                self.on_pipe(pipe, |world, id| world.disturb(id, direction, what))
            }
            Step::Flood { stranger, what, count } => self.flood(stranger, what, count),
            Step::Advance(by) => self.advance(by),
            Step::Jump(by) => {
                self.coverage.hit(Path::Jumped);
                self.now = self.now + by;
                Ok(())
            }
            Step::Pass(by) => self.pass(by),
        }?;
        self.connections.forget();
        self.check_bounds()
    }

    fn with_peer(&mut self, n: usize, change: impl FnOnce(&mut Peer)) -> Outcome {
        if let Some(peer) = self.peers.get_mut(n) {
            change(peer);
        }
        Ok(())
    }

    fn on_pipe(&mut self, pipe: Pipe, act: impl FnOnce(&mut Self, u64) -> Outcome) -> Outcome {
        match self.connections.find(pipe) {
            Some(id) => act(self, id),
            None => Ok(()),
        }
    }

    /// A number that no other draw of this world has given.
    pub(crate) fn draw(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.setup.seed ^ mix(self.drawn))
    }

    /// A client with another boot.
    pub(crate) fn start(&mut self, n: usize) -> Outcome<(ClientConfig, Client<Vec<u8>>)> {
        let mut config = self.setup.clients[n].clone();
        config.uuid = uuid(n);
        config.framing = self.setup.medium.framing();
        config.secret = Secret([n as u8; 16]);
        (config.boot, config.seed) = (self.draw(), self.draw());
        // What was in the memory before must make no difference.
        let memory = vec![0xaa; config.memory_needed()];
        let client = Client::new(config.clone(), memory)?;
        Ok((config, client))
    }

    pub(crate) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    pub(crate) fn write_trace(&mut self, text: core::fmt::Arguments<'_>) {
        let now = self.now.as_micros();
        if let Some(trace) = &mut self.trace {
            // Writing to a string cannot fail.
            let _ = writeln!(trace, "[{now:>10}] {text}");
        }
    }
}

impl core::fmt::Debug for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("figures", &self.figures)
            .field("stats", &self.broker.stats())
            .finish_non_exhaustive()
    }
}
