//! What the broker does with its sessions, as a policy that allows everything sees it.

use crate::step::{Attributes, ROOMS, client_of};
use e_pigeon_core::{AttributesRef, Policy, Uuid, Value};
use std::sync::{Arc, Mutex};

/// A client and the attributes that its session is given.
pub(crate) type Given = (usize, Attributes);

/// Notes which attributes sessions are given, in the order of the broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness(Arc<Mutex<Vec<Given>>>);

impl Witness {
    /// What was given since the last call.
    pub(crate) fn take(&self) -> Vec<Given> {
        self.0.lock().map(|mut given| core::mem::take(&mut *given)).unwrap_or_default()
    }
}

impl Policy for Witness {
    fn may_have(&self, who: Uuid, attributes: AttributesRef<'_>) -> bool {
        if let Ok(mut given) = self.0.lock() {
            given.push((client_of(who), attributes_of(attributes)));
        }
        true
    }
}

/// The attributes that clients of a world have.
pub(crate) fn attributes_of(attributes: AttributesRef<'_>) -> Attributes {
    let room = match attributes.get("room") {
        Some(Value::Str(room)) => ROOMS.iter().position(|&known| known == room),
        _ => None,
    };
    let level = match attributes.get("level") {
        Some(Value::Int(level)) => Some(level),
        _ => None,
    };
    (room, level)
}
