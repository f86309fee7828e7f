//! A client and what its application was told, and the broker that it has.

use std::time::Duration;

use e_pigeon_core::{BrokerConfig, ClientConfig, Message};

use crate::conformance::adapter::{ClientAdapter, RunningClient};
use crate::conformance::host::Host;
use crate::conformance::log::Log;
use crate::conformance::numbers::{self, config, numbered};
use crate::conformance::place::Place;
use crate::conformance::waiting::until;

/// A client and what its application was told.
pub(super) struct Told<C> {
    pub(super) client: C,
    pub(super) log: Log,
}

impl<C: RunningClient> Told<C> {
    pub(super) fn start<A: ClientAdapter<Client = C>>(
        adapter: &A,
        config: ClientConfig,
        host: &Host,
    ) -> Self {
        Self { client: adapter.start_client(config, host.address()), log: Log::default() }
    }

    /// One that has a session.
    pub(super) fn join<A: ClientAdapter<Client = C>>(adapter: &A, number: u128, host: &Host) -> Self {
        Self::start(adapter, config(number), host).established()
    }

    pub(super) fn established(mut self) -> Self {
        until("a session", || {
            self.listen();
            !self.log.established.is_empty()
        });
        self
    }

    /// Takes the events that are there.
    pub(super) fn listen(&mut self) {
        // A check looks at other things too.
        for _ in 0..1000 {
            let Some(heard) = self.client.next(Duration::ZERO) else { break };
            self.log.note(heard);
        }
    }

    pub(super) fn send(&mut self, to: u128, number: u32, size: usize) {
        let (to, payload) = (numbers::to(to), numbered(number, size));
        self.client.send(&Message::new(&to, &payload)).expect("room for a message");
    }

    /// Sends messages with the numbers from 0 on.
    pub(super) fn send_numbered(&mut self, to: u128, count: u32, size: usize) {
        for number in 0..count {
            self.send(to, number, size);
        }
    }
}

pub(super) fn host(place: &Place, config: BrokerConfig) -> Host {
    Host::start(config, 1, &place.address())
}
