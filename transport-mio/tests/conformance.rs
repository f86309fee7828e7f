//! The kit that every adapter is put through.
#![allow(missing_docs)]

#[path = "support/driven.rs"]
mod driven;

use driven::Mio;
use e_pigeon_sim::conformance::{Transport, check_broker, check_client};

#[test]
fn a_broker_over_tcp() {
    check_broker(&Mio, Transport::Tcp);
}

#[test]
fn a_client_over_tcp() {
    check_client(&Mio, Transport::Tcp);
}

#[cfg(unix)]
#[test]
fn a_broker_over_unix_sockets() {
    check_broker(&Mio, Transport::Unix);
}

#[cfg(unix)]
#[test]
fn a_client_over_unix_sockets() {
    check_client(&Mio, Transport::Unix);
}
