//! Logging of internal steps: with the feature `tracing` the macros of that crate, without it nothing, though the arguments
//! are still checked.

/// Logs a change of a state: of a link, a session, a refusal.
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

/// Logs a step of a message.
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

/// Logs a bug of this crate.
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
