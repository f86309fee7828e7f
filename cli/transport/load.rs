//! What a command does with many clients at once.

use e_pigeon_core::Instant;

use super::task::Client;
use crate::failure::Failure;

/// What a command does with many clients.
pub(crate) trait Load {
    /// Takes the events of a client that has some, or that was called, and gives it commands; they go out together when
    /// this returns.
    fn turn(&mut self, who: usize, client: &mut dyn Client) -> Result<(), Failure>;

    /// Looks at the whole after one or more turns. Whom it puts into `call` gets a turn; a client connects with its first.
    fn round(&mut self, now: Instant, call: &mut Vec<usize>) -> Result<Then, Failure>;
}

/// How it goes on after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next round is after the next turn, or at this time.
    Until(Option<Instant>),
    /// All clients are dropped as they are.
    Done,
}
