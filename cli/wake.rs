//! Waking an event loop from another thread.

use std::sync::Arc;

/// Wakes a loop from another thread: its task has something new to look at.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;
