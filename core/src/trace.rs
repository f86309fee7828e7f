//! What goes on inside, for whoever looks for a fault: with the feature `tracing` the macros of that crate, without it
//! nothing, though the arguments are still checked.

/// A change of a state: a link, a session, a refusal.
macro_rules! debug {
    ($target:literal, $($text:tt)+) => {
        #[cfg(feature = "tracing")]
        tracing::debug!(target: $target, $($text)+);
        #[cfg(not(feature = "tracing"))]
        if false {
            let _ = core::format_args!($($text)+);
        }
    };
}

/// A message on its way.
macro_rules! trace {
    ($target:literal, $($text:tt)+) => {
        #[cfg(feature = "tracing")]
        tracing::trace!(target: $target, $($text)+);
        #[cfg(not(feature = "tracing"))]
        if false {
            let _ = core::format_args!($($text)+);
        }
    };
}

/// A fault of this crate.
macro_rules! error {
    ($target:literal, $($text:tt)+) => {
        #[cfg(feature = "tracing")]
        tracing::error!(target: $target, $($text)+);
        #[cfg(not(feature = "tracing"))]
        if false {
            let _ = core::format_args!($($text)+);
        }
    };
}
