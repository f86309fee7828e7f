//! How long what is measured may take before it counts as failed.

use std::time::Duration;

/// Before anything is measured, a stream runs for so long.
pub(super) const WARM_UP: Duration = Duration::from_millis(300);
/// What has not moved for so long goes on no more.
pub(super) const QUIET: Duration = Duration::from_secs(5);
/// How long connecting may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
