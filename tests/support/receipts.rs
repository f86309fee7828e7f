//! What `send --json` says: one final receipt a message.

use std::collections::BTreeMap;

use super::json::{Object, Value};
use super::program::Program;

/// One final receipt.
#[derive(Clone, Debug)]
pub(crate) struct Receipt {
    /// The id of the message.
    pub(crate) id: i64,
    /// How it ended.
    pub(crate) status: String,
    /// How many have confirmed it.
    pub(crate) delivered: i64,
    /// For how many it was.
    pub(crate) recipients: i64,
    /// Why not for all.
    pub(crate) reason: Option<String>,
}

/// All receipts of one `send --json`, in the order of the messages (ids count up). No id may have two.
pub(crate) fn of(program: &Program) -> Vec<Receipt> {
    let mut by_id = BTreeMap::new();
    for line in program.stdout_text().lines() {
        let receipt = read(line);
        if let Some(first) = by_id.insert(receipt.id, receipt) {
            panic!("two final receipts for message {}: {first:?} and {line}", first.id);
        }
    }
    by_id.into_values().collect()
}

/// Reads one line. How many have confirmed an *accepted* message is not known; of an *unanswered* one nothing is.
pub(crate) fn read(line: &str) -> Receipt {
    let object = Object::read(line);
    let status = object.text("status").to_owned();
    let unknown: &[&str] = match status.as_str() {
        "accepted" => &["delivered"],
        "unanswered" => &["delivered", "recipients"],
        _ => &[],
    };
    let number = |name| {
        if unknown.contains(&name) && object.get(name).is_none() { 0 } else { object.number(name) }
    };
    Receipt {
        id: object.number("id"),
        delivered: number("delivered"),
        recipients: number("recipients"),
        reason: match object.get("reason") {
            None | Some(Value::Null) => None,
            Some(_) => Some(object.text("reason").to_owned()),
        },
        status,
    }
}

/// Fails unless every message was delivered to all of `recipients`.
pub(crate) fn assert_all_delivered(receipts: &[Receipt], count: usize, recipients: i64) {
    let good = |receipt: &&Receipt| {
        receipt.status == "delivered" && receipt.delivered == recipients && receipt.recipients == recipients
    };
    let bad: Vec<_> = receipts.iter().filter(|receipt| !good(receipt)).collect();
    assert!(
        bad.is_empty(),
        "{} of {} receipts are not `delivered` to {recipients} of {recipients}; the first of them: {:?}",
        bad.len(),
        receipts.len(),
        bad.iter().take(5).collect::<Vec<_>>()
    );
    assert_eq!(receipts.len(), count, "final receipts");
}
