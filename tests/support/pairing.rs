//! Which adapter carries the clients of a test, which its broker, and over which kind of sockets.

/// The adapters of clients and broker, and what is between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairing {
    pub(crate) clients: &'static str,
    pub(crate) broker: &'static str,
    /// Over Unix sockets, not over TCP.
    pub(crate) over_unix: bool,
}

impl Pairing {
    pub(crate) const MIO_MIO: Self = Self { clients: "mio", broker: "mio", over_unix: false };
    pub(crate) const MIO_SMOL: Self = Self { clients: "mio", broker: "smol", over_unix: false };
    pub(crate) const SMOL_MIO: Self = Self { clients: "smol", broker: "mio", over_unix: false };
    pub(crate) const SMOL_SMOL: Self = Self { clients: "smol", broker: "smol", over_unix: false };
    pub(crate) const UNIX_MIO_SMOL: Self = Self { over_unix: true, ..Self::MIO_SMOL };
    pub(crate) const UNIX_SMOL_MIO: Self = Self { over_unix: true, ..Self::SMOL_MIO };

    /// The adapter for a command of the program; `None` where the command line is not a whole one.
    pub(crate) fn transport(self, command: &str) -> Option<&'static str> {
        match command {
            "serve" => Some(self.broker),
            "listen" | "send" | "peers" => Some(self.clients),
            _ => None,
        }
    }
}

/// Makes tests of functions that take a [`Pairing`]: each of them once for each pairing over TCP, and for each adapter at each
/// end over Unix sockets, in a module named after clients and broker.
#[allow(unused_macros)]
macro_rules! in_all_pairings {
    ($($test:ident),+ $(,)?) => {
        in_all_pairings!(over tcp $($test),+);
        in_all_pairings!(@ unix_mio_smol UNIX_MIO_SMOL $($test)+);
        in_all_pairings!(@ unix_smol_mio UNIX_SMOL_MIO $($test)+);
    };
    // For tests that choose their sockets themselves.
    (over tcp $($test:ident),+ $(,)?) => {
        in_all_pairings!(@ mio_mio MIO_MIO $($test)+);
        in_all_pairings!(@ mio_smol MIO_SMOL $($test)+);
        in_all_pairings!(@ smol_mio SMOL_MIO $($test)+);
        in_all_pairings!(@ smol_smol SMOL_SMOL $($test)+);
    };
    (@ $module:ident $pairing:ident $($test:ident)+) => {
        mod $module {
            $(#[test]
            fn $test() {
                super::$test(super::support::pairing::Pairing::$pairing);
            })+
        }
    };
}
#[allow(unused_imports)]
pub(crate) use in_all_pairings;
