//! `serve`: runs a broker.

use std::io::{self, Write};
use std::time::Duration;

use e_pigeon_core::Instant;
use e_pigeon_mio::BrokerDriver;
use mio::{Events, Poll, Token};

use crate::address::Address;
use crate::args;
use crate::failure::{Failure, plain};
use crate::identity::random;
use crate::limits;
use crate::signals::Signals;

const SIGNALS: Token = Token(0);
/// The driver's tokens go on from here.
const DRIVER: Token = Token(1);

/// How long the clients may take to hear that the broker goes away.
const FAREWELL: Duration = Duration::from_secs(2);

pub(crate) fn run(arguments: &args::Serve) -> Result<u8, Failure> {
    let system = |error: io::Error| Failure::system("start the event loop", &error);
    let mut poll = Poll::new().map_err(system)?;
    let mut signals = Signals::catch(poll.registry(), SIGNALS)?;
    let registry = poll.registry().try_clone().map_err(system)?;
    let epoch = u64::from_ne_bytes(random()?);
    let config = arguments.limits.config(u64::from_ne_bytes(random()?));
    let mut driver = BrokerDriver::new(config, epoch, registry, DRIVER).map_err(limits::explain)?;
    for address in arguments.listen.iter().chain(&arguments.unix) {
        bind(&mut driver, address)?;
    }
    announce(&driver, arguments.json);

    let mut events = Events::with_capacity(1024);
    let mut farewell: Option<Instant> = None;
    loop {
        let left = farewell.map(|at| at.saturating_duration_since(driver.now()));
        let timeout = [driver.poll_timeout(), left].into_iter().flatten().min();
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            Err(error) => return Err(Failure::system("wait for events", &error)),
            Ok(()) => {}
        }
        for event in &events {
            if event.token() != SIGNALS {
                driver.handle_ready(event);
            } else if signals.take().is_some() {
                driver.stop();
                farewell = Some(driver.now() + FAREWELL);
            }
        }
        driver.handle_deadline();
        driver.flush();
        while let Some(event) = driver.broker().poll_event() {
            tracing::info!("{event}");
        }
        if farewell.is_some_and(|at| driver.is_stopped() || at <= driver.now()) {
            return Ok(0);
        }
    }
}

/// Listens on the first of the addresses that a name stands for and that can be had.
fn bind(driver: &mut BrokerDriver, address: &Address) -> Result<(), Failure> {
    let refused = |error: io::Error| {
        let hint = hint(address, error.kind());
        Failure::failed(format_args!("cannot listen on {address}: {}; {hint}", plain(&error)))
    };
    let mut outcome = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for candidate in address.resolve().map_err(refused)? {
        outcome = driver.bind(candidate);
        if outcome.is_ok() {
            break;
        }
    }
    outcome.map(|_| ()).map_err(refused)
}

/// What to do about an address that cannot be had.
fn hint(address: &Address, kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind;
    match (address, kind) {
        (Address::Tcp { .. }, ErrorKind::AddrInUse) => {
            "stop the program that has it, or choose another port with --listen"
        }
        (Address::Tcp { .. }, ErrorKind::PermissionDenied) => "choose a port above 1023 with --listen",
        (Address::Tcp { .. }, _) => "choose an address of this machine with --listen",
        (Address::Unix(_), ErrorKind::AddrInUse) => {
            "stop the program that listens there, or choose another path with --unix"
        }
        (Address::Unix(_), ErrorKind::AlreadyExists) => "move it away, or choose another path with --unix",
        (Address::Unix(_), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            "make its directory, or choose a path in one that is there with --unix"
        }
        (Address::Unix(_), ErrorKind::PermissionDenied) => {
            "choose a path in a directory that you may write to with --unix"
        }
        (Address::Unix(_), _) => "choose another path with --unix",
    }
}

/// Says where the broker listens. Where nobody reads that, it listens all the same.
fn announce(driver: &BrokerDriver, json: bool) {
    let mut text = String::new();
    for endpoint in driver.endpoints() {
        let address = endpoint.to_string();
        if json {
            let address = serde_json::Value::from(address);
            text.push_str(&format!("{{\"event\":\"listening\",\"address\":{address}}}\n"));
        } else {
            text.push_str(&format!("listening on {address}\n"));
        }
    }
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
