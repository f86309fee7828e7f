//! A kit that any adapter can be put through, on real sockets.
//!
//! An adapter carries the machines of [`e_pigeon_core`] over sockets. It has no rule of the protocol in it, and yet there is
//! much that it can get wrong: input that it is told of once and forgets, a write that was taken in part, a peer that
//! does not read, a deadline that nobody wakes it for. The kit brings the peers that bring such faults to light, and drives
//! them by hand: pieces of one byte, bursts and then silence, stalls, half-closed connections, cuts, crowds.
//!
//! Show the kit how your adapter starts a broker ([`BrokerAdapter`]), a client ([`ClientAdapter`]), or both; then call
//! [`check_broker`] and [`check_client`] from tests. Each check has a name, which a failure tells. `docs/ADAPTERS.md` of the
//! repository shows how an adapter is written. Where an adapter's interface is made of futures, [`dropping`] helps to
//! show that they may be dropped.
//!
//! Tests may call the kit from several threads. Only the checks that measure what the process does while there is nothing
//! to do wait until they are alone.

mod adapter;
mod brokers;
mod check;
mod clients;
pub mod dropping;
mod host;
mod limits;
mod log;
mod numbers;
mod peer;
mod place;
mod socket;
mod waiting;

pub use adapter::{Addresses, BrokerAdapter, ClientAdapter, RunningBroker, RunningClient};
pub use check::Check;
pub use log::Heard;
pub use place::{Address, Transport};

/// All that is asked of an adapter that runs brokers.
#[must_use]
pub fn broker_checks<A: BrokerAdapter>() -> Vec<Check<A>> {
    brokers::all()
}

/// All that is asked of an adapter that runs clients.
#[must_use]
pub fn client_checks<A: ClientAdapter>() -> Vec<Check<A>> {
    clients::all()
}

/// Puts an adapter's broker through all checks, and tells what each took.
///
/// # Panics
///
/// Some of the checks failed; the message names them.
pub fn check_broker<A: BrokerAdapter>(adapter: &A, transport: Transport) {
    check::run_all(broker_checks(), adapter, transport);
}

/// Puts an adapter's client through all checks, and tells what each took.
///
/// # Panics
///
/// Some of the checks failed; the message names them.
pub fn check_client<A: ClientAdapter>(adapter: &A, transport: Transport) {
    check::run_all(client_checks(), adapter, transport);
}

/// The page is tested with the kit that it is about.
#[cfg(all(doctest, unix))]
#[doc = include_str!("../../../docs/ADAPTERS.md")]
struct Page;
