//! What the threads of a proxy share.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::counters::Counters;
use super::damage::Damage;
use super::faults::Plan;
use crate::support::address::Address;

pub(super) const FAULTY: u8 = 0;
pub(super) const CLEAN: u8 = 1;
pub(super) const REFUSING: u8 = 2;
pub(super) const MUTE: u8 = 3;

/// What the proxy's threads share.
pub(super) struct Shared {
    pub(super) broker: Address,
    pub(super) plan: Plan,
    /// Whether frames are damaged instead.
    pub(super) damage: Option<Damage>,
    pub(super) mode: AtomicU8,
    pub(super) stopping: AtomicBool,
    pub(super) connections: AtomicU64,
    pub(super) counters: Counters,
}

impl Shared {
    pub(super) fn is_faulty(&self) -> bool {
        self.damage.is_none() && self.mode.load(Ordering::SeqCst) == FAULTY
    }

    pub(super) fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref().filter(|_| self.mode.load(Ordering::SeqCst) == FAULTY)
    }

    pub(super) fn is_mute(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == MUTE
    }

    /// Whether connections must go: the test ends, or nothing may come through.
    pub(super) fn is_closed(&self) -> bool {
        self.stopping.load(Ordering::SeqCst) || self.mode.load(Ordering::SeqCst) == REFUSING
    }
}
