//! The one assertion of this crate: `bug!` marks a place that no input, no clock, and no order of calls can reach.
//!
//! If it is reached all the same, an invariant of this crate is broken, and going on as if nothing had happened would hide
//! that. With debug assertions, in a fuzzer, and with the feature `strict` it panics. In other builds with `alloc` the
//! broker or client at work is marked as broken (`Broker::is_broken`, `Client::is_broken`): its embedder ends that life of
//! it and begins a new one, which the protocol survives. Without `alloc`, on the smallest nodes, it compiles to nothing.

/// States that this place cannot be reached, and why. It is an expression of type `()`.
#[cfg_attr(not(feature = "alloc"), allow(unused_macros))]
macro_rules! bug {
    ($why:literal) => {
        $crate::bug::found($why)
    };
}

#[cfg_attr(feature = "alloc", cold, inline(never))]
#[cfg_attr(not(feature = "alloc"), inline(always))]
#[cfg_attr(any(debug_assertions, fuzzing, feature = "strict"), track_caller)]
pub(crate) fn found(why: &'static str) {
    error!("e_pigeon::bug", "bug in e-pigeon-core: {why}; please report it");
    if cfg!(any(debug_assertions, fuzzing, feature = "strict")) {
        panic!("bug in e-pigeon-core: {why}; please report it");
    }
    #[cfg(feature = "alloc")]
    FOUND.store(so_far().wrapping_add(1), Ordering::Relaxed);
}

/// Asserts that a value exists: `or_bug` reports a `bug!` if it does not, and changes nothing.
pub(crate) trait OrBug {
    /// Reports `why`, a phrase for the situation without the value.
    fn or_bug(self, why: &'static str) -> Self;
}

impl<T> OrBug for Option<T> {
    #[inline(always)]
    #[cfg_attr(any(debug_assertions, fuzzing, feature = "strict"), track_caller)]
    fn or_bug(self, why: &'static str) -> Self {
        if self.is_none() {
            found(why);
        }
        self
    }
}

/// The number of bugs found in this process. The place of a bug does not know which broker or client is at work, so each
/// compares this count before and after each of its calls. One on another thread that is in a call at that time is marked
/// too. Two bugs at once may count as one: it is enough that the number changes, and not every processor can add to memory
/// in one step.
#[cfg(feature = "alloc")]
static FOUND: AtomicU32 = AtomicU32::new(0);

#[cfg(feature = "alloc")]
use core::sync::atomic::{AtomicU32, Ordering};

#[cfg(feature = "alloc")]
#[inline]
pub(crate) fn so_far() -> u32 {
    FOUND.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_no_bug() {
        let before = so_far();
        assert_eq!((Some(1).or_bug("one is there"), so_far()), (Some(1), before));
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic = "it is not there")]
    fn what_is_not_there_panics_or_is_counted() {
        let before = so_far();
        assert_eq!(None::<u32>.or_bug("it is not there"), None);
        assert_ne!(so_far(), before);
    }
}
