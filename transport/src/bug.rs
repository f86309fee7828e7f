//! The one assertion of this crate, as in the core: `bug!` marks a place that nothing from outside can reach. With debug
//! assertions it panics; otherwise it says so in the log, once for each time, and the caller goes on in the safest way.

/// Says that this place cannot be reached, and why. It is an expression of type `()`.
macro_rules! bug {
    ($why:literal) => {
        $crate::bug::found($why)
    };
}
pub(crate) use bug;

/// The error of a driver whose client or broker has found a bug in itself.
#[must_use]
pub fn broken(what: &str) -> std::io::Error {
    std::io::Error::other(format!("internal error of the {what}; please report it"))
}

#[cold]
#[track_caller]
pub(crate) fn found(why: &str) {
    tracing::error!("bug in e-pigeon-transport: {why}; please report it");
    if cfg!(debug_assertions) {
        panic!("bug in e-pigeon-transport: {why}");
    }
}
