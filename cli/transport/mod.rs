//! What carries clients and brokers. The commands know only this page: what they do is the same on every transport.

mod adapter;
mod ending;
mod fleet;
mod load;
mod mio;
mod smol;
mod task;

pub(crate) use adapter::Transport;
pub(crate) use ending::Ending;
pub(crate) use fleet::Fleet;
pub(crate) use load::{Load, Then};
pub(crate) use task::{Client, Next, Task, Turn};

use e_pigeon_core::{BrokerConfig, ClientConfig};
use e_pigeon_mio::Endpoint;

use self::ending::Asked;
use crate::address::Address;
use crate::failure::Failure;
use crate::wake::Wake;

/// A client in its loop.
pub(crate) enum ClientLoop {
    Mio(Box<mio::ClientLoop>),
    Smol(Box<smol::ClientLoop>),
}

impl ClientLoop {
    /// Makes a client that looks its broker up anew before each attempt to connect.
    pub(crate) fn new(transport: Transport, config: ClientConfig, broker: Address) -> Result<Self, Failure> {
        match transport {
            Transport::Mio => mio::ClientLoop::new(config, broker).map(Box::new).map(Self::Mio),
            Transport::Smol => smol::ClientLoop::new(config, broker).map(Box::new).map(Self::Smol),
        }
    }

    /// A handle that wakes the loop.
    pub(crate) fn wake(&self) -> Wake {
        match self {
            Self::Mio(client) => client.wake(),
            Self::Smol(client) => client.wake(),
        }
    }

    /// Runs until the task is done, and returns its exit code.
    pub(crate) fn run(&mut self, task: &mut dyn Task) -> Result<u8, Failure> {
        match self {
            Self::Mio(client) => client.run(task),
            Self::Smol(client) => client.run(task),
        }
    }
}

/// A broker in its loop.
pub(crate) enum BrokerLoop {
    Mio(Box<mio::BrokerLoop>),
    Smol(Box<smol::BrokerLoop>),
}

impl BrokerLoop {
    /// Makes a broker that listens nowhere yet. `epoch` is a number drawn for this life of it.
    pub(crate) fn new(transport: Transport, config: BrokerConfig, epoch: u64) -> Result<Self, Failure> {
        match transport {
            Transport::Mio => mio::BrokerLoop::new(config, epoch).map(Box::new).map(Self::Mio),
            Transport::Smol => smol::BrokerLoop::new(config, epoch).map(Box::new).map(Self::Smol),
        }
    }

    /// Listens on one more endpoint, and returns it with its real port.
    pub(crate) fn bind(&mut self, endpoint: Endpoint) -> std::io::Result<Endpoint> {
        match self {
            Self::Mio(broker) => broker.bind(endpoint),
            Self::Smol(broker) => broker.bind(endpoint),
        }
    }

    /// A handle that wakes the loop.
    pub(crate) fn wake(&self) -> Wake {
        match self {
            Self::Mio(broker) => broker.wake(),
            Self::Smol(broker) => broker.wake(),
        }
    }

    /// Runs until `ending` names an end; it is asked once per turn.
    pub(crate) fn run(self, ending: Asked<'_>) -> Result<(), Failure> {
        match self {
            Self::Mio(broker) => broker.run(ending),
            Self::Smol(broker) => broker.run(ending),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::{self, Duration};

    use e_pigeon_core::{Secret, Uuid};

    use super::*;
    use crate::address::names;

    /// Gives a name another meaning once the first has failed, and waits for a connection there.
    struct Moving<'a> {
        name: &'a str,
        listener: TcpListener,
        begun: time::Instant,
    }

    impl Task for Moving<'_> {
        fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Next, Failure> {
            if turn.trouble.is_some() {
                names::give(self.name, self.listener.local_addr().expect("its address"));
            }
            while turn.client.poll_event().is_some() {}
            assert!(self.begun.elapsed() < Duration::from_secs(10), "nobody has come to the new address");
            Ok(match self.listener.accept() {
                Ok(_) => Next::Done(0),
                Err(_) => Next::Wait(Some(turn.now + Duration::from_millis(20))),
            })
        }
    }

    #[test]
    fn program_21_the_name_of_a_broker_is_looked_up_again_for_each_attempt() {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        for (transport, name) in [(Transport::Mio, "mio.test"), (Transport::Smol, "smol.test")] {
            // Nothing listens there once this is dropped.
            names::give(name, bind().local_addr().expect("its address"));
            let listener = bind();
            listener.set_nonblocking(true).expect("non-blocking");
            let config = ClientConfig::new(Uuid::from_u128(1), Secret([7; 16]), 1, 1);
            let broker = Address::parse_connect(&format!("{name}:9999")).expect("an address");
            let mut client =
                ClientLoop::new(transport, config, broker).unwrap_or_else(|_| panic!("a client"));
            let code = client.run(&mut Moving { name, listener, begun: time::Instant::now() });
            assert!(matches!(code, Ok(0)), "{name}");
        }
    }
}
