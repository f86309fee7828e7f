//! Clients that end their sessions when the load is done: a broker that goes on is not to keep them.

use e_pigeon_core::{Close, Event, Instant};

use super::timing::QUIET;
use crate::failure::Failure;
use crate::transport::{Client, Load, Then};

/// A load, and goodbyes behind it.
pub(crate) struct Leaving<'a> {
    load: &'a mut dyn Load,
    clients: usize,
    closed: usize,
    /// Until when there is time for goodbyes, once the load is done.
    until: Option<Instant>,
    /// Whether it has said goodbye.
    gone: Vec<bool>,
}

impl<'a> Leaving<'a> {
    pub(crate) fn new(load: &'a mut dyn Load, clients: usize) -> Self {
        Self { load, clients, closed: 0, until: None, gone: vec![false; clients] }
    }
}

impl Load for Leaving<'_> {
    fn turn(&mut self, who: usize, client: &mut dyn Client) -> Result<(), Failure> {
        if self.until.is_none() {
            return self.load.turn(who, client);
        }
        if !std::mem::replace(&mut self.gone[who], true) {
            client.close(Close::EndSession);
        }
        while let Some(event) = client.poll_event() {
            if matches!(event, Event::Closed(_)) {
                self.closed += 1;
            }
        }
        Ok(())
    }

    fn round(&mut self, now: Instant, call: &mut Vec<usize>) -> Result<Then, Failure> {
        let Some(until) = self.until else {
            let then = self.load.round(now, call)?;
            if then != Then::Done {
                return Ok(then);
            }
            call.extend(0..self.clients);
            self.until = Some(now + QUIET);
            return Ok(Then::Until(self.until));
        };
        Ok(if self.closed == self.clients || now >= until { Then::Done } else { Then::Until(Some(until)) })
    }
}
