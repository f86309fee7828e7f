//! A serial line without hardware: two pseudo-terminals, and a pump that carries bytes between their far ends. Whoever opens the
//! near ends has a real tty each.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::proxy::Damage;
use super::stage::{Stage, text_of};

const TICK: Duration = Duration::from_millis(1);

/// A line, with a name for each end that stays the same when the line is laid anew.
pub(crate) struct Line {
    ends: [PathBuf; 2],
    damage: Arc<Damage>,
    pump: Option<Pump>,
    laid: u64,
}

/// The threads that carry the bytes, one in each direction.
struct Pump {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Line {
    /// A line that damages one frame in so many.
    pub(crate) fn lay(stage: &Stage, seed: u64, one_in: u64) -> Self {
        let ends = [stage.fresh_path("broker-end"), stage.fresh_path("client-end")];
        let mut line = Self { ends, damage: Arc::new(Damage::new(seed, one_in)), pump: None, laid: 0 };
        line.lay_again();
        line
    }

    /// The device of the broker's end, and its rate.
    pub(crate) fn broker_end(&self) -> String {
        format!("{}@115200", text_of(&self.ends[0]))
    }

    /// The address for a client.
    pub(crate) fn client_end(&self) -> String {
        format!("serial:{}@115200", text_of(&self.ends[1]))
    }

    /// How frames have been damaged.
    pub(crate) fn damage(&self) -> &Damage {
        &self.damage
    }

    /// Takes the line away: both ends hang up, and their devices are gone.
    pub(crate) fn cut(&mut self) {
        let Some(pump) = self.pump.take() else { return };
        pump.stop.store(true, Ordering::SeqCst);
        for thread in pump.threads {
            thread.join().expect("the pump does not panic");
        }
        for end in &self.ends {
            fs::remove_file(end).expect("the name of an end");
        }
    }

    /// Lays it again, after [`Self::cut`].
    pub(crate) fn lay_again(&mut self) {
        let [one, other] = [pseudo_terminal(&self.ends[0]), pseudo_terminal(&self.ends[1])];
        let stop = Arc::new(AtomicBool::new(false));
        let copy = |file: &File| file.try_clone().expect("a descriptor");
        let ways = [(copy(&one), copy(&other)), (other, one)];
        let mut threads = Vec::new();
        for (from, to) in ways {
            let (stop, damage) = (Arc::clone(&stop), Arc::clone(&self.damage));
            let number = self.laid;
            self.laid += 1;
            threads.push(thread::spawn(move || carry(from, to, &damage, number, &stop)));
        }
        self.pump = Some(Pump { stop, threads });
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Makes one with its near end at `path`, and returns the far end, which does not block.
fn pseudo_terminal(path: &Path) -> File {
    // No program that a test starts may hold it, or nothing would hang up.
    let far: OwnedFd =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pseudo-terminal");
    grantpt(&far).expect("ours");
    unlockpt(&far).expect("unlocked");
    fcntl_setfl(&far, OFlags::NONBLOCK).expect("its mode");
    let name = ptsname(&far, Vec::new()).expect("a name").into_string().expect("text");
    symlink(name, path).expect("a free name");
    File::from(far)
}

/// Carries bytes one way. While nobody has the near end of `to` open, what comes is lost, as on a wire.
fn carry(mut from: File, mut to: File, damage: &Damage, number: u64, stop: &AtomicBool) {
    let mut damaging = damage.of_direction(number);
    let (mut buffer, mut damaged) = ([0; 4096], Vec::new());
    while !stop.load(Ordering::SeqCst) {
        let read = match from.read(&mut buffer) {
            Ok(read) => read,
            // Nothing, or nobody is there.
            Err(error) if is_pause(&error) => {
                thread::sleep(TICK);
                continue;
            }
            Err(error) => panic!("read the far end: {error}"),
        };
        damaged.clear();
        damaging.pass(damage, &buffer[..read], &mut damaged);
        let mut rest = damaged.as_slice();
        while !rest.is_empty() && !stop.load(Ordering::SeqCst) {
            match to.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if is_pause(&error) => thread::sleep(TICK),
                Err(error) => panic!("write the far end: {error}"),
            }
        }
    }
}

/// Whether it is only that nothing comes or goes for now; a terminal that nobody has open says so by an error of its own.
fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
        || error.raw_os_error() == Some(Errno::IO.raw_os_error())
}
