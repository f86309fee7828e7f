//! The end of a connection, so that its last words arrive.
//!
//! A socket that is closed with unread input sends a reset, and a reset destroys what the peer has not read
//! yet. So the output is flushed, the end is announced, and what still comes is read and thrown away until the
//! peer closes too. A line only has to be flushed: nobody there hears that it is closed.

use std::time::Duration;

use e_pigeon_core::Instant;

use crate::connection::{Connection, Input};
use crate::socket::Socket;

/// How long a peer may take to read the last words.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// A peer that goes on after so many reads in one turn is not waiting for an answer.
const READS: usize = 8;

/// How far a connection on its way out has come.
#[derive(Debug)]
pub struct Closing {
    deadline: Instant,
    announced: bool,
}

impl Closing {
    /// Begins the end of a connection, which holds what is still to be said.
    pub fn begin(now: Instant) -> Self {
        Self { deadline: now + LINGER, announced: false }
    }

    /// When to give up.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Goes on, and returns true where the socket may be dropped. `scratch` takes what nobody reads.
    pub fn advance<S: Socket>(&mut self, connection: &mut Connection<S>, scratch: &mut [u8]) -> bool {
        connection.flush();
        if connection.has_unsent() {
            return false;
        }
        if connection.is_line() {
            return true;
        }
        if !self.announced {
            connection.finish();
            self.announced = true;
        }
        for _ in 0..READS {
            match connection.read(scratch) {
                Input::Bytes(_) => {}
                Input::Nothing => return false,
                Input::Over(_) => return true,
            }
        }
        true
    }
}
