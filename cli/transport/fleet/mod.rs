//! Many clients in one loop, on one thread: for those who are load themselves.

mod mio;
mod smol;

use e_pigeon_core::ClientConfig;
use e_pigeon_mio::Resolver;

use super::adapter::Transport;
use super::load::Load;
use crate::failure::Failure;
use crate::wake::Wake;

/// Clients in their loop.
pub(crate) enum Fleet {
    Mio(Box<mio::Fleet>),
    Smol(Box<smol::Fleet>),
}

impl Fleet {
    pub(crate) fn new(transport: Transport) -> Result<Self, Failure> {
        match transport {
            Transport::Mio => mio::Fleet::new().map(Box::new).map(Self::Mio),
            Transport::Smol => Ok(Self::Smol(Box::new(smol::Fleet::new()))),
        }
    }

    /// Adds a client, which goes by its place in the order of adding.
    pub(crate) fn add(&mut self, config: ClientConfig, broker: Resolver) -> Result<(), Failure> {
        match self {
            Self::Mio(fleet) => fleet.add(config, broker),
            Self::Smol(fleet) => fleet.add(config, broker),
        }
    }

    /// How many clients there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Mio(fleet) => fleet.len(),
            Self::Smol(fleet) => fleet.len(),
        }
    }

    /// A handle that makes for a round, from another thread.
    pub(crate) fn wake(&self) -> Wake {
        match self {
            Self::Mio(fleet) => fleet.wake(),
            Self::Smol(fleet) => fleet.wake(),
        }
    }

    /// Runs until the load is done. Where it `spins`, it never sleeps.
    pub(crate) fn run(self, load: &mut dyn Load, spins: bool) -> Result<(), Failure> {
        match self {
            Self::Mio(fleet) => fleet.run(load, spins),
            Self::Smol(fleet) => fleet.run(load, spins),
        }
    }
}
