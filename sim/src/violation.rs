//! What is wrong, when something is.

use core::fmt;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise, in a word or two: the same one while a run is made smaller.
    pub kind: &'static str,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

impl std::error::Error for Violation {}

/// The result of anything that may show a broken promise.
pub type Outcome<T = ()> = Result<T, Violation>;

/// Returns a violation of this kind unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $kind:literal, $($text:tt)+) => {
        if !$condition {
            return Err($crate::violation::Violation { kind: $kind, text: format!($($text)+) });
        }
    };
}
pub(crate) use ensure;
