//! What all clients of the program share: who they are, the signals, and the lines about the connection.

use e_pigeon_core::{ClientConfig, Close, Event, Reason, SetError};

use crate::args;
use crate::failure::Failure;
use crate::identity::{Identity, random};
use crate::report::Report;
use crate::signals::Signals;
use crate::transport::{Client, ClientLoop, Turn};
use crate::value::Pair;

/// What a command keeps while its client runs.
pub(crate) struct Session {
    pub(crate) signals: Signals,
    pub(crate) report: Report,
    /// How the session is to be closed in the end.
    goodbye: Close,
    /// What the session is to have from the beginning, until the first turn.
    attributes: Vec<Pair>,
}

impl Session {
    /// Makes a client with the identity and the attributes that the command line names, and its loop.
    ///
    /// `adapt` sets what this kind of client needs besides.
    pub(crate) fn open(
        arguments: &args::Client,
        adapt: impl FnOnce(&mut ClientConfig),
    ) -> Result<(ClientLoop, Self), Failure> {
        let (identity, goodbye) = match &arguments.identity {
            Some(path) => (Identity::load_or_create(path)?, Close::Leave),
            // Nobody can come back to it, so it should not stay.
            None => (Identity::fresh()?, Close::End),
        };
        let boot = u64::from_ne_bytes(random()?);
        let seed = u64::from_ne_bytes(random()?);
        let mut config = ClientConfig::new(identity.uuid, identity.secret, boot, seed);
        config.framing = arguments.connect.framing();
        adapt(&mut config);

        let carrier = ClientLoop::new(arguments.transport, config, arguments.connect.clone())?;
        let signals = Signals::catch(carrier.wake())?;
        let report = Report::new(&arguments.connect, identity.uuid);
        Ok((carrier, Self { signals, report, goodbye, attributes: arguments.set.clone() }))
    }

    /// Gives the session its attributes. To be called in each turn; the first is before the client connects.
    pub(crate) fn set_attributes(&mut self, turn: &mut Turn<'_>) -> Result<(), Failure> {
        for pair in self.attributes.drain(..) {
            turn.client.set(&pair.key, pair.value.as_value()).map_err(|error| match error {
                SetError::Attribute(error) => Failure::usage(format_args!("--set {}: {error}", pair.key)),
                other => Failure::failed(other),
            })?;
        }
        Ok(())
    }

    /// Says goodbye; `Event::Closed` follows.
    pub(crate) fn close(&self, client: &mut dyn Client) {
        client.close(self.goodbye);
    }

    /// Tells people about a change of the connection. `trouble` is what the system says about it.
    pub(crate) fn tell(&mut self, link: Option<Link>, trouble: Option<&str>) {
        match link {
            Some(Link::Up) => self.report.connected(),
            // What the system says is more to the point than that there is no connection.
            Some(Link::Down(reason)) => self.report.waiting(trouble.unwrap_or(&reason)),
            None => {}
        }
    }
}

/// The broker does not give the session the attributes that the command line names.
pub(crate) fn refused(reason: Reason) -> Failure {
    Failure::failed(format_args!("the broker refuses the attributes: {reason}; change --set"))
}

/// A change of the connection.
pub(crate) enum Link {
    Up,
    Down(String),
}

impl Link {
    /// Picks out what an event says about the connection; the event itself holds on to the client.
    pub(crate) fn from_event(event: &Event<'_>) -> Option<Self> {
        match event {
            Event::Established(_) => Some(Self::Up),
            // Without a next attempt the client has ended, and that is told by itself.
            Event::Disconnected { reason, retry_at: Some(_) } => Some(Self::Down(reason.to_string())),
            _ => None,
        }
    }
}
