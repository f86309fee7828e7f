//! The model: who was handed what, and which answers there may be. It knows no protocol.

use super::honest::honest_uuid;
use e_pigeon_core::{MessageId, Receipt, Uuid};
use std::collections::{BTreeMap, BTreeSet};

/// How many UUIDs the hostile clients may have of their own, each of which may be a recipient that confirms.
pub(super) const HOSTILE_IDENTITIES: usize = 3;

/// What the model knows of a message.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) payload: Vec<u8>,
    /// The one it is for, where it is for one.
    pub(super) direct: Option<Uuid>,
    pub(super) exclude_self: bool,
    /// Whose application was handed it.
    pub(super) had: BTreeSet<usize>,
    pub(super) is_ended: bool,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) sent: BTreeMap<(usize, MessageId), Sent>,
    /// The last message that was for one recipient, by sender and recipient.
    pub(super) last_direct: BTreeMap<(usize, usize), MessageId>,
}

impl Model {
    pub(super) fn handed(&mut self, to: usize, from: usize, id: MessageId, payload: &[u8]) {
        let sent = self.sent.get_mut(&(from, id)).expect("a message that was sent");
        assert_eq!(sent.payload, payload);
        assert!(sent.had.insert(to), "{id} of {from} came to {to} twice");
        assert!(!(sent.exclude_self && from == to), "the sender was to be left out");
        if let Some(direct) = sent.direct {
            assert_eq!(direct, honest_uuid(to), "a message for somebody else");
            let before = self.last_direct.insert((from, to), id);
            assert!(before.is_none_or(|before| before < id), "{id} of {from} came to {to} after {before:?}");
        }
    }

    pub(super) fn answered(&mut self, from: usize, receipt: Receipt) {
        let sent = self.sent.get_mut(&(from, receipt.id())).expect("a receipt for what was sent");
        assert!(!sent.is_ended, "{receipt:?} after the final one");
        sent.is_ended = receipt.is_final();
        if let Receipt::Final { delivered, recipients, reason, .. } = receipt {
            assert!(delivered <= recipients, "{receipt:?}");
            assert_eq!(reason.is_none(), delivered == recipients && recipients > 0, "{receipt:?}");
            let most = sent.had.len() + HOSTILE_IDENTITIES;
            assert!(delivered as usize <= most, "{receipt:?}, but only {:?} have had it", sent.had);
        }
    }
}
