//! Which adapter carries the clients of a test, and which its broker.

/// The adapters of clients and broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairing {
    pub(crate) clients: &'static str,
    pub(crate) broker: &'static str,
}

impl Pairing {
    pub(crate) const MIO_MIO: Self = Self { clients: "mio", broker: "mio" };
    pub(crate) const MIO_SMOL: Self = Self { clients: "mio", broker: "smol" };
    pub(crate) const SMOL_MIO: Self = Self { clients: "smol", broker: "mio" };
    pub(crate) const SMOL_SMOL: Self = Self { clients: "smol", broker: "smol" };

    /// The adapter for a command of the program; `None` where the command line is not a whole one.
    pub(crate) fn transport(self, command: &str) -> Option<&'static str> {
        match command {
            "serve" => Some(self.broker),
            "listen" | "send" | "peers" => Some(self.clients),
            _ => None,
        }
    }
}

/// Makes tests of functions that take a [`Pairing`]: each of them once for each pairing, in a module named after clients
/// and broker.
#[allow(unused_macros)]
macro_rules! in_all_pairings {
    ($($test:ident),+ $(,)?) => {
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
