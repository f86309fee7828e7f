//! Waiting for a file of the system, on a thread that has nothing else to do.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

/// Where waiting is not possible, the caller looks again after this.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until something can be written to a file that does not block, or until it fails.
pub(crate) fn for_room(file: &impl AsFd) {
    let mut files = [PollFd::new(file, PollFlags::OUT)];
    if poll(&mut files, None).is_err() {
        std::thread::sleep(PAUSE);
    }
}

/// Waits until nobody can read what is written to `file`. Returns false if that will never be known.
///
/// A pipe says so, a socket and a terminal too; a file of a disk never does.
pub(crate) fn for_end_of_reader(file: &impl AsFd) -> bool {
    loop {
        // Without any wish of ours only an end is reported.
        let mut files = [PollFd::new(file, PollFlags::empty())];
        match poll(&mut files, None) {
            Ok(_) => {
                let seen = files[0].revents();
                if seen.intersects(PollFlags::ERR | PollFlags::HUP) {
                    return true;
                }
                if seen.contains(PollFlags::NVAL) {
                    return false;
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
