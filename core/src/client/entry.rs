//! The record of an entry of the outbox, and how its message ends. (PROTOCOL.md, "Sender")

use super::memory::record;
use crate::data::message::{MessageId, Outcome, Receipt, RefusalReason};
use crate::wire::item::Accepted;

record! {
    pub(super) ID: u64,
    pub(super) NUMBER: u64,
    /// When a message expires; for a change of attributes its place among them.
    pub(super) DEADLINE: u64,
    pub(super) EPOCH: u64,
    pub(super) SESSION: u64,
    pub(super) RECIPIENTS: u32,
    pub(super) FIRST_BLOCK: u32,
    pub(super) PREVIOUS: u32,
    pub(super) NEXT: u32,
    pub(super) NEXT_EVENT: u32,
    pub(super) PAYLOAD: u32,
    pub(super) DESTINATION: u16,
    pub(super) FLAGS: u16,
    pub(super) FINAL_DELIVERED: u32,
    pub(super) FINAL_RECIPIENTS: u32,
    pub(super) REASON: u8,
    => pub(super) STRIDE
}

/// An entry as it lies in memory.
pub(super) type Record = [u8; STRIDE];

pub(super) const IS_SET: u16 = 1;
pub(super) const UNTIL_ACCEPTED: u16 = 1 << 1;
/// Was written to some link, whether or not anything came back.
pub(super) const WRITTEN: u16 = 1 << 2;
/// Goes out with the retry mark: it was written in an earlier session.
pub(super) const RETRY: u16 = 1 << 3;
pub(super) const PARKED: u16 = 1 << 4;
pub(super) const ACCEPTED: u16 = 1 << 5;
pub(super) const ANSWERED_FIRST: u16 = 1 << 6;
/// Has ended; its receipt may still have to be polled.
pub(super) const ENDED: u16 = 1 << 7;
/// *Accepted* was its final receipt.
pub(super) const ENDED_ACCEPTED: u16 = 1 << 8;
/// Stands in the list of receipts to be polled.
pub(super) const IN_EVENTS: u16 = 1 << 9;

/// Notes that a message was accepted.
pub(super) fn accept(entry: &mut Record, run: &Accepted) {
    let mut flags = FLAGS.of(entry);
    if run.recipients == 0 {
        // No session matched the first sending. About a repetition the number says nothing.
        if flags & (RETRY | ACCEPTED) == 0 {
            flags |= PARKED;
        }
    } else if flags & ACCEPTED == 0 {
        RECIPIENTS.put(entry, run.recipients);
        EPOCH.put(entry, run.epoch);
        SESSION.put(entry, run.session);
        let answers_first = flags & (RETRY | PARKED) == 0;
        flags |= if answers_first { ACCEPTED | ANSWERED_FIRST } else { ACCEPTED };
    }
    FINAL_RECIPIENTS.put(entry, run.recipients);
    if flags & UNTIL_ACCEPTED != 0 {
        flags |= ENDED | ENDED_ACCEPTED;
    }
    FLAGS.put(entry, flags);
}

/// For how many recipients a message was accepted.
pub(super) fn accepted_for(entry: &Record) -> u32 {
    if FLAGS.of(entry) & ACCEPTED != 0 { RECIPIENTS.of(entry) } else { 0 }
}

/// Notes how a message has ended.
pub(super) fn end(entry: &mut Record, outcome: &Outcome) {
    let flags = FLAGS.of(entry);
    FLAGS.put(entry, flags | ENDED);
    FINAL_DELIVERED.put(entry, outcome.delivered);
    FINAL_RECIPIENTS.put(entry, outcome.recipients);
    REASON.put(entry, outcome.reason.map_or(0, |reason| reason as u8));
}

/// The receipt of a message, as things are.
pub(super) fn receipt(entry: &Record) -> Receipt {
    let (flags, id, recipients) = (FLAGS.of(entry), MessageId(ID.of(entry)), FINAL_RECIPIENTS.of(entry));
    if flags & ENDED == 0 || flags & ENDED_ACCEPTED != 0 {
        Receipt::Accepted { id, recipients, last: flags & ENDED_ACCEPTED != 0 }
    } else {
        let (delivered, reason) = (FINAL_DELIVERED.of(entry), RefusalReason::from_code(REASON.of(entry)));
        Outcome::new(delivered, recipients, reason).receipt(id)
    }
}

/// True if an entry has ended before it was written in this session: there is nothing to write.
pub(super) fn is_over(entry: &Record) -> bool {
    let flags = FLAGS.of(entry);
    flags & ENDED != 0 && NUMBER.of(entry) == 0
}
