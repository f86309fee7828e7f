//! Serial lines between two pseudo-terminals. The tests of both adapters use them.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use e_pigeon_transport::{Endpoint, serial};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A pseudo-terminal: the far end, and the path of the near one.
fn pseudo_terminal() -> (File, PathBuf) {
    let far: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&far).expect("ours");
    unlockpt(&far).expect("unlocked");
    let name = ptsname(&far, Vec::new()).expect("a name").into_string().expect("text");
    (File::from(far), PathBuf::from(name))
}

/// Carries bytes for as long as the test runs.
fn carry(from: &File, to: &File) {
    let (mut from, mut to) = (from.try_clone().expect("a descriptor"), to.try_clone().expect("a descriptor"));
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match from.read(&mut buffer) {
                Ok(read) => to.write_all(&buffer[..read]).expect("written"),
                // Nobody has opened it.
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
    });
}

/// A line between two terminals.
pub(crate) fn lay() -> [Endpoint; 2] {
    let [(one, path), (other, other_path)] = [pseudo_terminal(), pseudo_terminal()];
    carry(&one, &other);
    carry(&other, &one);
    [path, other_path].map(|path| Endpoint::serial(path, 115_200).expect("a rate"))
}

/// Says whether somebody has the line.
pub(crate) fn is_taken(endpoint: &Endpoint) -> bool {
    let Endpoint::Serial(line) = endpoint else { panic!("no line") };
    serial::open(line).is_err_and(|error| error.kind() == ErrorKind::ResourceBusy)
}
