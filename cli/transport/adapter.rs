//! The adapters, as the command line names them.

use clap::ValueEnum;

/// The adapters that can carry a client or a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// Event loop on mio
    Mio,
    /// Futures on async-io
    Smol,
}

impl Transport {
    /// As the command line calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mio => "mio",
            Self::Smol => "smol",
        }
    }
}
