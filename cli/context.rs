//! What all clients of the program share: who they are, the signals, and the lines about the connection.

use std::mem;
use std::time::Duration;

use e_pigeon_core::{
    AbortCode, Attributes, ClientConfig, Close, DisconnectReason, Event, Framing, Instant, RefusalReason,
    SetError,
};

use crate::args;
use crate::failure::Failure;
use crate::identity::{Identity, random};
use crate::report::Report;
use crate::signals::{Signal, Signals};
use crate::transport::{Client, ClientLoop, Next, Task, Turn};

/// How long the broker may take to confirm the goodbye of a client that was interrupted, gave up, or failed.
pub(crate) const GOODBYE: Duration = Duration::from_millis(500);

/// What a command keeps while its client runs.
pub(crate) struct ClientContext {
    pub(crate) signals: Signals,
    pub(crate) report: Report,
    /// How the session is to be closed in the end.
    goodbye: Close,
    /// What the session is to have from the beginning, until the first turn.
    attributes: Vec<Attributes>,
    framing: Framing,
    /// The broker has had a session of this client.
    pub(crate) met: bool,
    /// What --give-up-after says, and the time that it means, from the first turn on.
    patience: Option<Duration>,
    give_up: Option<Instant>,
}

impl ClientContext {
    /// Makes a client with the identity and the attributes that the command line names, and its loop.
    ///
    /// `code` is the exit code for a signal that the client does not react to. `adapt` sets what this kind of client needs
    /// besides.
    pub(crate) fn open(
        arguments: &args::Client,
        code: fn(Signal) -> u8,
        adapt: impl FnOnce(&mut ClientConfig),
    ) -> Result<(ClientLoop, Self), Failure> {
        let (identity, goodbye) = match &arguments.identity {
            Some(path) => (Identity::load_or_create(path)?, Close::KeepSession),
            // Nobody can come back to it, so it should not stay.
            None => (Identity::fresh()?, Close::EndSession),
        };
        let boot = u64::from_ne_bytes(random()?);
        let seed = u64::from_ne_bytes(random()?);
        let mut config = ClientConfig::new(identity.uuid, identity.secret, boot, seed);
        let framing = arguments.connect.framing();
        config.framing = framing;
        adapt(&mut config);

        let carrier = ClientLoop::new(arguments.transport, config, arguments.connect.clone())?;
        let signals = Signals::catch_for_client(carrier.wake(), code)?;
        let report = Report::new(&arguments.connect, identity.uuid);
        let context = Self {
            signals,
            report,
            goodbye,
            attributes: arguments.set.clone(),
            framing,
            met: false,
            patience: arguments.give_up_after,
            give_up: None,
        };
        Ok((carrier, context))
    }

    /// Gives the session its attributes. To be called in each turn; the first is before the client connects.
    pub(crate) fn set_attributes(&mut self, turn: &mut Turn<'_>) -> Result<(), Failure> {
        if let (None, Some(patience)) = (self.give_up, self.patience) {
            self.give_up = Some(turn.now + patience);
        }
        let attributes = mem::take(&mut self.attributes);
        for (key, value) in attributes.iter().flat_map(Attributes::iter) {
            turn.client.set(key, value).map_err(|error| match error {
                SetError::Attribute(error) => Failure::usage(format_args!("--set {key}: {error}")),
                other => Failure::failed(other),
            })?;
        }
        Ok(())
    }

    /// Says goodbye; `Event::Closed` follows.
    pub(crate) fn close(&self, client: &mut dyn Client) {
        client.close(self.goodbye);
    }

    /// Says goodbye in the same way if `task` fails while it is connected.
    pub(crate) fn polite<T: Task>(goodbye: Close, task: T) -> Polite<T> {
        Polite { task, goodbye, failed: None }
    }

    /// How the session is to be closed in the end.
    pub(crate) fn goodbye(&self) -> Close {
        self.goodbye
    }

    /// Reports a change of the connection to people. `trouble` is what the system says about it.
    pub(crate) fn tell(&mut self, link: Option<Link>, trouble: Option<&str>) {
        match link {
            Some(Link::Up) => {
                self.met = true;
                self.report.connected();
            }
            Some(Link::Down(reason)) => {
                // A peer that speaks, but not in these frames, is not the broker that was meant.
                let is_garbled = matches!(
                    reason,
                    DisconnectReason::Protocol(_) | DisconnectReason::Aborted(AbortCode::Malformed, _)
                );
                let hint = match self.framing {
                    _ if self.met || !is_garbled => None,
                    Framing::Length => Some("this may be a cobs: address"),
                    _ => Some("this may be an address without cobs:"),
                };
                // What the system says is more to the point than that there is no connection.
                match trouble {
                    Some(trouble) => self.report.waiting(trouble, hint),
                    None => self.report.waiting(reason, hint),
                }
            }
            None => {}
        }
    }

    /// The time that --give-up-after gives is over. For a command that is `endless` it is the time until a broker is there.
    pub(crate) fn given_up(&self, now: Instant, endless: bool) -> Option<Failure> {
        let patience = self.patience.filter(|_| self.give_up.is_some_and(|at| at <= now))?;
        let patience = humantime::format_duration(patience);
        if !self.met {
            return Some(Failure::no_broker(format_args!(
                "no broker at {} within {patience} (--give-up-after)",
                self.report.address()
            )));
        }
        (!endless).then(|| Failure::failed(format_args!("not done within {patience} (--give-up-after)")))
    }

    /// When to ask whether it [has given up](Self::given_up).
    pub(crate) fn deadline(&self, endless: bool) -> Option<Instant> {
        self.give_up.filter(|_| !(endless && self.met))
    }
}

/// A task that leaves its broker in good order even where it fails.
pub(crate) struct Polite<T> {
    task: T,
    goodbye: Close,
    /// Why it has failed, and how long the broker may take to confirm the goodbye.
    failed: Option<(Failure, Instant)>,
}

impl<T: Task> Task for Polite<T> {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Next, Failure> {
        let Some((failure, until)) = self.failed.take() else {
            return match self.task.turn(turn) {
                Err(failure) if turn.client.is_established() => {
                    turn.client.close(self.goodbye);
                    let until = turn.now + GOODBYE;
                    self.failed = Some((failure, until));
                    Ok(Next::Wait(Some(until)))
                }
                other => other,
            };
        };
        while turn.client.poll_event().is_some() {}
        if until <= turn.now || !turn.client.is_established() {
            return Err(failure);
        }
        self.failed = Some((failure, until));
        Ok(Next::Wait(Some(until)))
    }
}

/// The broker does not give the session the attributes that the command line names.
pub(crate) fn refused(reason: RefusalReason) -> Failure {
    Failure::failed(format_args!("the broker refuses the attributes: {reason}; change --set"))
}

/// A change of the connection.
pub(crate) enum Link {
    Up,
    Down(DisconnectReason),
}

impl Link {
    /// Picks out what an event says about the connection; the event itself holds on to the client.
    pub(crate) fn from_event(event: &Event<'_>) -> Option<Self> {
        match event {
            Event::Established(_) => Some(Self::Up),
            // Without a next attempt the client has ended, which has an event of its own.
            Event::Disconnected { reason, retry_at: Some(_) } => Some(Self::Down(*reason)),
            _ => None,
        }
    }
}
