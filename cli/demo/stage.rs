//! The demo's stage: the cast, its network, the broker of the moment, and the lines on stdout.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use e_pigeon_core::{Destination, Filter, Value};

use super::life::Life;
use super::player::{self, Part};
use super::random::Random;
use super::record::{Records, Shared};
use super::relay::{Network, Way};
use crate::failure::Failure;
use crate::transport::{Ending, Transport};
use crate::wake::Wake;

/// What a scene stops for: a failure, or nobody who reads any more.
pub(crate) enum Stop {
    Unread,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(crate) const ANNA: usize = 0;
pub(crate) const BERT: usize = 1;
pub(crate) const CLEO: usize = 2;
pub(crate) const DORA: usize = 3;
pub(crate) const EMIL: usize = 4;
pub(crate) const FINN: usize = 5;
pub(crate) const GINA: usize = 6;

/// The cast, with the rooms that they are in.
const CAST: [(&str, &str); 7] = [
    ("anna", "lobby"),
    ("bert", "lobby"),
    ("cleo", "lobby"),
    ("dora", "attic"),
    ("emil", "attic"),
    ("finn", "lobby"),
    ("gina", "lobby"),
];

/// The streams: who sends, and to whom in words.
pub(crate) const STREAMS: [(usize, &str); 4] =
    [(DORA, "room=lobby"), (ANNA, "room=attic"), (EMIL, "bert's UUID"), (BERT, "everyone else")];

/// Says whether messages of a stream are for this member.
pub(crate) fn is_for(stream: usize, member: usize) -> bool {
    match stream {
        0 => CAST[member].1 == "lobby",
        1 => CAST[member].1 == "attic",
        2 => member == BERT,
        _ => member != STREAMS[stream].0,
    }
}

pub(crate) fn names() -> Vec<&'static str> {
    CAST.map(|(name, _)| name).to_vec()
}

fn destination(stream: usize, seed: u64) -> Result<Destination, Failure> {
    let room = |room| Filter::all_of(&[("room", Value::Str(room))]).map_err(Failure::failed);
    Ok(match stream {
        0 => room("lobby")?.into(),
        1 => room("attic")?.into(),
        2 => player::uuid(seed, BERT).into(),
        _ => Destination::from(Filter::everyone()).exclude_self(),
    })
}

pub(crate) struct Stage {
    transport: Transport,
    seed: u64,
    random: Random,
    begun: Instant,
    /// By now all must be over.
    limit: Instant,
    life: Option<Life>,
    address: SocketAddr,
    pub(crate) kills: u64,
    pub(crate) network: Arc<Network>,
    ways: Vec<Way>,
    wakes: Vec<Wake>,
    pub(crate) shared: Arc<Shared>,
}

impl Stage {
    /// Starts the broker on a free port, and opens a way to it for each of the cast.
    pub(crate) fn open(transport: Transport, seed: u64, longest: Duration) -> Result<Self, Failure> {
        let begun = Instant::now();
        let mut random = Random::new(seed, 0);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let life = Life::begin(transport, any, random.next())?;
        let address = life.address();
        let network = Network::new(address, seed);
        let ways = CAST.iter().map(|_| Way::open(&network)).collect::<Result<_, _>>()?;
        Ok(Self {
            transport,
            seed,
            random,
            begun,
            limit: begun + longest,
            life: Some(life),
            address,
            kills: 0,
            network,
            ways,
            wakes: Vec::new(),
            shared: Arc::new(Shared::new(Records::new(STREAMS.len(), CAST.len()))),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes a line of the timeline.
    pub(crate) fn say(&self, text: impl Display) -> Result<(), Stop> {
        print(format_args!("{:5.2} s  {text}\n", self.begun.elapsed().as_secs_f64()))
    }

    /// Lets some of the cast in, and waits until they are there.
    pub(crate) fn enter(&mut self, members: &[usize]) -> Result<(), Failure> {
        for &member in members {
            let stream = STREAMS.iter().position(|(sender, _)| *sender == member);
            let stream = match stream {
                Some(stream) => Some((stream, destination(stream, self.seed)?)),
                None => None,
            };
            let (name, room) = CAST[member];
            let part = Part { member, name, room, stream };
            let way = self.ways[member].address();
            self.wakes.push(player::enter(self.transport, part, way, self.seed, &self.shared)?);
        }
        self.wait_up(members);
        Ok(())
    }

    /// Waits until it is so. What never comes to be so is for the verdict to tell.
    pub(crate) fn wait(&self, is_so: impl FnMut(&Records) -> bool) -> bool {
        self.shared.wait(self.limit, is_so)
    }

    pub(crate) fn wait_up(&self, members: &[usize]) -> bool {
        self.wait(|records| records.are_up(members))
    }

    /// Lets time pass while all goes on.
    pub(crate) fn pass(&self, time: Duration) {
        std::thread::sleep(time.min(self.limit.saturating_duration_since(Instant::now())));
    }

    /// Changes what all players look at, and wakes them.
    pub(crate) fn direct(&self, change: impl FnOnce(&mut Records)) {
        change(&mut self.shared.lock());
        for wake in &self.wakes {
            wake();
        }
    }

    /// Cuts a member off, or lets it through again.
    pub(crate) fn shut(&self, member: usize, shut: bool) {
        self.ways[member].shut(shut);
    }

    /// The broker is gone, without a goodbye and with all that it knew.
    pub(crate) fn kill(&mut self) {
        if let Some(life) = self.life.take() {
            life.end(Ending::Sudden);
            self.kills += 1;
        }
    }

    /// A new broker, on the same port.
    pub(crate) fn revive(&mut self) -> Result<(), Failure> {
        let epoch = self.random.next();
        self.life = Some(Life::begin(self.transport, self.address, epoch)?);
        Ok(())
    }

    /// Sends everybody home.
    pub(crate) fn close(&mut self) {
        self.direct(|records| records.over = true);
        if let Some(life) = self.life.take() {
            life.end(Ending::Orderly);
        }
    }
}

/// Writes to stdout at once.
pub(crate) fn print(text: impl Display) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    match out.write_all(text.to_string().as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Stop::Unread),
        Err(error) => Err(Failure::stdout(&error).into()),
    }
}
