//! The model's judgement of a final receipt: the count is right, and its reason is a reason.

use crate::limits::{Limits, Others};
use crate::message::{Key, Sent};
use crate::violation::{Outcome, ensure};
use e_pigeon_core::{Instant, RefusalReason, Retain};

/// How often the broker may die before a recipient's memory of its lives ends. (docs/GUARANTEES.md, limit 4)
pub(crate) const KILLS: u32 = 3;

type Final = (u32, u32, Option<RefusalReason>);

pub(crate) fn check(
    now: Instant,
    key: Key,
    message: &Sent,
    limits: (&Limits, Option<Others>),
    answer: Final,
) -> Outcome {
    let (delivered, recipients, reason) = answer;
    let complete = delivered == recipients && recipients > 0;
    ensure!(delivered <= recipients, "receipts", "{key:?}: {answer:?}");
    ensure!(complete == reason.is_none(), "receipts", "{key:?} is {answer:?}: a reason, or none too many");
    let confirmed = message.taken.count();
    ensure!(
        delivered <= confirmed,
        "counted too many",
        "{key:?} is {answer:?}, but {confirmed} have confirmed it: {message:?}"
    );
    // Time, sessions and brokers that end may hide a confirmation; nothing else may.
    ensure!(
        message.disturbed || delivered == confirmed || now >= message.deadline,
        "counted too few",
        "{key:?} is {answer:?}, and {confirmed} have confirmed it: {message:?}"
    );
    let possible = message.possible.count();
    ensure!(recipients <= possible, "receipts", "{key:?} is {answer:?}: {message:?}");
    check_recipients(key, message, answer)?;
    if complete {
        check_complete(key, message, answer)?;
    }
    match reason {
        Some(reason) => check_reason(now, key, message, limits, reason),
        None => Ok(()),
    }
}

/// For how many it was, where nothing has disturbed it.
fn check_recipients(key: Key, message: &Sent, answer: Final) -> Outcome {
    let (_, recipients, reason) = answer;
    if message.disturbed {
        return Ok(());
    }
    let certain = message.certain.count();
    // Refused before anybody asked for whom it is.
    let is_refused = recipients == 0
        && matches!(
            reason,
            Some(
                RefusalReason::Expired
                    | RefusalReason::TooLarge
                    | RefusalReason::BrokerFull
                    | RefusalReason::Nobody
            )
        );
    match message.accepted {
        Some(0) => ensure!(recipients <= 1, "receipts", "{key:?} was parked and is {answer:?}: {message:?}"),
        Some(before) => {
            ensure!(before == recipients, "receipts", "{key:?} was accepted and is {answer:?}: {message:?}");
        }
        None => {
            ensure!(is_refused || recipients >= certain, "receipts", "{key:?} is {answer:?}: {message:?}");
        }
    }
    Ok(())
}

/// All have confirmed it: then those have that it was for.
fn check_complete(key: Key, message: &Sent, answer: Final) -> Outcome {
    ensure!(
        message.certain.is_within(message.taken),
        "lost",
        "{key:?} is {answer:?}, but not all that it was for have it: {message:?}"
    );
    // Across lives of the broker another may take the place of a recipient, if it began to match. (Limit 3)
    // One that lost its session too may decline what it cannot judge, and is no recipient then. (Limit 9)
    if !message.changed && !message.lost && message.kills <= KILLS {
        ensure!(
            message.promised.is_within(message.taken),
            "lost",
            "{key:?} is {answer:?}, but not all that it was accepted for have it: {message:?}"
        );
    }
    Ok(())
}

fn check_reason(
    now: Instant,
    key: Key,
    message: &Sent,
    (limits, others): (&Limits, Option<Others>),
    reason: RefusalReason,
) -> Outcome {
    // The payload has at most 16 MiB.
    let length = message.payload.0.len() as u32;
    let is_one = match reason {
        RefusalReason::Expired => now >= message.deadline,
        RefusalReason::Gone => message.gone,
        // Who declines is out, or leaves the place to somebody else: no message ends by that.
        RefusalReason::Declined => false,
        RefusalReason::Nobody => message.sent.only_connected && !message.was_never_parked(),
        reason => limits.may_be(reason, length, message.possible, others),
    };
    ensure!(is_one, "reasons", "{key:?} ended for {reason:?}, which is none: {message:?}");
    if message.sent.until == Retain::Accepted && message.accepted.is_some() {
        ensure!(false, "receipts", "{key:?} was accepted, and ended for {reason:?}: {message:?}");
    }
    Ok(())
}
