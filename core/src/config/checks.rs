//! Checks that both configs share.

use crate::error::{Bound, ConfigError};

pub(super) fn least(holds: bool, name: &'static str, bound: Bound) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::TooSmall(name, bound)) }
}

pub(super) fn most(holds: bool, name: &'static str, bound: Bound) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::TooLarge(name, bound)) }
}
