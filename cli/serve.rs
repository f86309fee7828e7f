//! `serve`: runs a broker.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use e_pigeon_mio::Endpoint;

use crate::address::Address;
use crate::args;
use crate::descriptors;
use crate::failure::{Failure, plain};
use crate::identity::random;
use crate::ledger;
use crate::limits::Shown;
use crate::memory;
use crate::report;
use crate::signals::Signals;
use crate::transport::{BrokerLoop, Ending};
use crate::wake::Wake;

/// What a broker has open besides its links: listeners, its event loop, its output.
const DESCRIPTORS_BESIDES: u64 = 64;

pub(crate) fn run(arguments: &args::Serve) -> Result<u8, Failure> {
    let epoch = u64::from_ne_bytes(random()?);
    let config = memory::config(&arguments.limits, arguments.memory, u64::from_ne_bytes(random()?))?;
    let limits = format!("{}, at most {} MiB", Shown(&config), config.worst_case_bytes() >> 20);
    make_room_for(config.max_links);
    let mut broker = BrokerLoop::new(arguments.transport, config, epoch)?;
    let signals = Signals::catch_for_broker(broker.wake())?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        transport = arguments.transport.name(),
        "starting with {limits}"
    );
    let mut endpoints = Vec::new();
    for address in arguments.addresses() {
        endpoints.push(bind(&mut broker, address)?);
    }
    for endpoint in &endpoints {
        tracing::info!("listening on {endpoint}");
    }
    announce(&endpoints, arguments.json).map_err(|error| Failure::stdout(&error))?;
    let alone = Arc::new(AtomicBool::new(false));
    if arguments.until_stdin_ends {
        watch_stdin(Arc::clone(&alone), broker.wake())?;
    }
    broker.run(&mut |stats| {
        if signals.take_report() {
            report::line(ledger::table(&stats()));
        }
        if signals.has_come_again() {
            return Some(Ending::Sudden);
        }
        let ends = signals.take().is_some() || alone.load(Ordering::Acquire);
        ends.then_some(Ending::Orderly)
    })?;
    Ok(0)
}

/// Lets the broker have a socket for each of its links; where the system does not, it takes fewer and says so.
fn make_room_for(links: u32) {
    let wanted = u64::from(links) + DESCRIPTORS_BESIDES;
    if let Some(allowed) = descriptors::want(wanted).filter(|&allowed| allowed < wanted) {
        tracing::warn!(
            "with {allowed} descriptors fewer than the {links} links of --max-links can be open at a time; raise the hard \
             limit (ulimit -Hn)"
        );
    }
}

/// Lets a thread wait for the end of stdin. What comes before that means nothing.
fn watch_stdin(ended: Arc<AtomicBool>, wake: Wake) -> Result<(), Failure> {
    let wait = move || {
        // One that cannot be read has ended too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        ended.store(true, Ordering::Release);
        wake();
    };
    let thread = std::thread::Builder::new().name("stdin".into()).spawn(wait);
    thread.map(drop).map_err(|error| Failure::system("start a thread", &error))
}

/// Listens on the first of the addresses that a name stands for and that can be had.
fn bind(broker: &mut BrokerLoop, address: &Address) -> Result<Endpoint, Failure> {
    let refused = |error: io::Error| {
        let hint = hint(address, error.kind());
        Failure::failed(format_args!("cannot listen on {address}: {}; {hint}", plain(&error)))
    };
    let mut outcome = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for candidate in address.resolve().map_err(refused)? {
        outcome = broker.bind(candidate);
        if outcome.is_ok() {
            break;
        }
    }
    outcome.map_err(refused)
}

/// What to do about an address that cannot be had.
fn hint(address: &Address, kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind;
    match (address, kind) {
        (Address::Tcp { .. } | Address::Cobs { .. }, ErrorKind::AddrInUse) => {
            "stop the program that uses it, or choose another port with --listen"
        }
        (Address::Tcp { .. } | Address::Cobs { .. }, ErrorKind::PermissionDenied) => {
            "choose a port above 1023 with --listen"
        }
        (Address::Tcp { .. } | Address::Cobs { .. }, _) => "choose an address of this machine with --listen",
        (Address::Unix(_), ErrorKind::AddrInUse) => {
            "stop the program that listens there, or choose another path"
        }
        (Address::Unix(_), ErrorKind::AlreadyExists) => "move it away, or choose another path",
        (Address::Unix(_), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            "create its directory, or choose a path in an existing one"
        }
        (Address::Unix(_), ErrorKind::PermissionDenied) => "choose a path in a writable directory",
        (Address::Unix(_), _) => "choose another path",
        (Address::Serial(_), ErrorKind::ResourceBusy) => "stop it, or choose another line",
        (Address::Serial(_), ErrorKind::PermissionDenied) => {
            "join the group that may use the line (ls -l shows it), or choose another"
        }
        (Address::Serial(_), ErrorKind::Unsupported) => "choose another rate after the @",
        (Address::Serial(_), _) => "connect it, or choose the device of a serial line",
    }
}

/// Says where the broker listens. A port that nobody can learn is of no use.
fn announce(endpoints: &[Endpoint], json: bool) -> io::Result<()> {
    let mut text = String::new();
    for endpoint in endpoints {
        let address = endpoint.to_string();
        if json {
            let address = serde_json::Value::from(address);
            text.push_str(&format!("{{\"event\":\"listening\",\"address\":{address}}}\n"));
        } else {
            text.push_str(&format!("listening on {address}\n"));
        }
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}
