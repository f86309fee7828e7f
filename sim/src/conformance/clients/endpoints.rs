//! A broker with several endpoints, not all of which are any good, and names that take their time.
//!
//! Only for adapters that look names up: the others have nothing to do here.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e_pigeon_core::{Broker, BrokerConfig, Close, CloseReason};

use super::told::{Told, host};
use crate::conformance::adapter::{ClientAdapter, RunningClient};
use crate::conformance::host::{Blow, Host, Manners};
use crate::conformance::log::Log;
use crate::conformance::numbers::config;
use crate::conformance::place::{Address, Place};
use crate::conformance::socket::Acceptor;
use crate::conformance::waiting::until;

/// What an endpoint does that is no broker, or not one that has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    /// It is accepted by the kernel and hears nothing: another program, or a broker that is stopped.
    Silent,
    HangsUp,
    Full,
}

/// It is there until it is dropped.
struct Trap {
    address: Address,
    ended: Arc<AtomicBool>,
}

impl Trap {
    fn set(place: &Place, bad: Bad) -> Self {
        let (acceptor, address) = Acceptor::bind(&place.another_address()).expect("a free address");
        let ended = Arc::new(AtomicBool::new(false));
        let until_ended = ended.clone();
        thread::spawn(move || {
            let mut heard = Vec::new();
            while !until_ended.load(Ordering::Acquire) {
                if bad != Bad::Silent
                    && let Some(mut socket) = acceptor.accept()
                    && bad == Bad::Full
                {
                    let _ = socket.write(Broker::FULL);
                    socket.finish();
                    heard.push(socket);
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self { address, ended }
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
    }
}

fn start<A: ClientAdapter>(adapter: &A, number: u128, endpoints: Vec<Address>) -> Option<Told<A::Client>> {
    let client = adapter.start_client_by(config(number), Box::new(move || Ok(endpoints.clone())))?;
    Some(Told { client, log: Log::default() })
}

/// A host can be up while its broker is not.
pub(super) fn field_f3_an_endpoint_that_gives_no_session_is_passed_over<A: ClientAdapter>(
    adapter: &A,
    place: &Place,
) {
    for bad in [Bad::HangsUp, Bad::Full, Bad::Silent] {
        let trap = Trap::set(place, bad);
        let host = host(place, BrokerConfig::new(0));
        let endpoints = vec![trap.address.clone(), host.address().clone()];
        let Some(mut alice) = start(adapter, 1, endpoints) else { return };
        let begun = Instant::now();
        until("a session at the other endpoint", || {
            alice.listen();
            !alice.log.established.is_empty()
        });
        let took = begun.elapsed();
        let limit = Duration::from_secs(if bad == Bad::Silent { 6 } else { 2 });
        assert!(took < limit, "{took:?} behind one that is {bad:?}");
        alice.send(1, 0, 100);
        until("it works", || {
            alice.listen();
            alice.log.delivered_to(1) == 1
        });
        // The one that was good is the first from now on.
        host.strike(Blow::Cut);
        let begun = Instant::now();
        until("the session again", || {
            alice.listen();
            alice.log.established.len() == 2
        });
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?} behind {bad:?}", begun.elapsed());
    }
}

/// The client's back-off comes after each round.
pub(super) fn field_f3_endpoints_that_are_all_bad_are_not_besieged<A: ClientAdapter>(
    adapter: &A,
    place: &Place,
) {
    let (one, other) = (host(place, BrokerConfig::new(0)), host_elsewhere(place));
    for host in [&one, &other] {
        host.behave(Manners { slams: true, ..Manners::GOOD });
    }
    let endpoints = vec![one.address().clone(), other.address().clone()];
    let Some(mut alice) = start(adapter, 1, endpoints) else { return };
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(800) {
        alice.listen();
        thread::sleep(Duration::from_millis(1));
    }
    for host in [&one, &other] {
        assert!((2..=12).contains(&host.accepted()), "{} attempts within 800 ms", host.accepted());
    }
    other.behave(Manners::GOOD);
    until("a session", || {
        alice.listen();
        !alice.log.established.is_empty()
    });
}

fn host_elsewhere(place: &Place) -> Host {
    Host::start(BrokerConfig::new(0), 2, &place.another_address())
}

/// A name server that does not answer stops nothing but the attempt to connect.
pub(super) fn field_f5_names_that_do_not_come_stop_nobody<A: ClientAdapter>(adapter: &A, _place: &Place) {
    let names = || {
        thread::sleep(Duration::from_secs(8));
        Err(io::Error::other("no name server"))
    };
    let Some(client) = adapter.start_client_by(config(1), Box::new(names)) else { return };
    let mut alice = Told { client, log: Log::default() };
    thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    alice.listen();
    alice.client.close(Close::EndSession);
    until("it has ended", || {
        alice.listen();
        alice.log.closed.is_some()
    });
    assert_eq!(alice.log.closed, Some(CloseReason::Requested));
    assert!(begun.elapsed() < Duration::from_secs(1), "it waited for the name server: {:?}", begun.elapsed());
}

/// They do come, and the loop hears of it.
pub(super) fn program_1_names_that_come_late_are_used<A: ClientAdapter>(adapter: &A, place: &Place) {
    let host = host(place, BrokerConfig::new(0));
    let endpoint = host.address().clone();
    let names = move || {
        thread::sleep(Duration::from_millis(500));
        Ok(vec![endpoint.clone()])
    };
    let Some(client) = adapter.start_client_by(config(1), Box::new(names)) else { return };
    let mut alice = Told { client, log: Log::default() };
    let begun = Instant::now();
    until("a session", || {
        alice.listen();
        !alice.log.established.is_empty()
    });
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "the names were there after 500 ms: {:?}",
        begun.elapsed()
    );
    assert!(alice.log.disconnected.is_empty(), "that was one attempt");
}
