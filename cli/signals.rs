//! SIGINT and SIGTERM as events of the loop.

use std::io;

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::Failure;

/// What somebody asks the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    /// The exit code of a program that a signal kept from its work, as shells know it.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// The signals that have come.
pub(crate) struct Signals {
    inner: signal_hook_mio::v1_0::Signals,
}

impl Signals {
    /// Catches the signals from now on, and tells of them on `token`.
    pub(crate) fn catch(registry: &Registry, token: Token) -> Result<Self, Failure> {
        let caught = signal_hook_mio::v1_0::Signals::new([SIGINT, SIGTERM]).and_then(|mut inner| {
            registry.register(&mut inner, token, Interest::READABLE)?;
            Ok(inner)
        });
        let inner = caught.map_err(|error: io::Error| Failure::system("catch signals", &error))?;
        Ok(Self { inner })
    }

    /// Takes what has come; an interruption goes before all else.
    pub(crate) fn take(&mut self) -> Option<Signal> {
        let kind = |signal| if signal == SIGINT { Signal::Interrupt } else { Signal::Terminate };
        self.inner.pending().map(kind).min()
    }
}
