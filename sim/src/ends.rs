//! What the model demands once all is well: progress soon, and in the end that nothing is missing or too much.

use crate::answers::KILLS;
use crate::message::{Key, Sent, Set};
use crate::model::Model;
use crate::violation::{Outcome, ensure};
use e_pigeon_core::{Instant, Receipt};

impl Model {
    /// All has been well for a while: what is unanswered waits for somebody who is not there.
    pub(crate) fn check_progress(&self, now: Instant, lives: impl Fn(usize, u64) -> bool) -> Outcome {
        for (key, message) in &self.messages {
            if message.answer.is_none() && lives(key.0, key.1) && now < message.deadline {
                let waits = !self.must_be_answered(key, message);
                ensure!(waits, "late", "{key:?} is not answered, though all is well: {message:?}");
            }
        }
        Ok(())
    }

    fn must_be_answered(&self, key: &Key, message: &Sent) -> bool {
        if !message.disturbed {
            // Whoever matches now would have got it, if nobody had before.
            return message.accepted.unwrap_or(0) > 0 || !self.matching(message).is_empty();
        }
        if message.lost || message.kills > KILLS {
            return false;
        }
        // Only the broker died: then it finds those again for whom it was, if they can prove what they had.
        let recipients = if message.is_direct() { message.possible } else { message.promised };
        let is_known = message.is_direct() || !message.changed;
        let can_prove = |client: usize| {
            let highest = self.logs.highest(client, (key.0, key.1));
            highest < key.2 + self.limits.seen_window(client)
        };
        let all_prove = (0..self.sessions.len()).filter(|&n| recipients.has(n)).all(can_prove);
        let remembered = (0..self.sessions.len()).all(|n| self.limits.senders(n) >= self.sessions.len());
        let is_there = (0..self.sessions.len()).any(|n| recipients.has(n));
        self.limits.are_plain() && is_known && is_there && all_prove && remembered
    }

    /// Who matches now.
    fn matching(&self, message: &Sent) -> Set {
        let mut set = Set::default();
        let sessions = self.sessions.iter().enumerate();
        sessions
            .filter(|&(n, s)| s.is_open && self.limits.receives(n) && message.matches(n, s.attributes))
            .for_each(|(n, _)| set.add(n));
        set
    }

    /// All has come to its end.
    pub(crate) fn finish(&self, now: Instant, lives: impl Fn(usize, u64) -> bool) -> Outcome {
        for (key, message) in &self.messages {
            check_handed(key, message)?;
            if !lives(key.0, key.1) {
                continue;
            }
            let answer = message.answer;
            ensure!(answer.is_some(), "unanswered", "{key:?} was never answered: {message:?}");
            // Nobody is told what became of it, so it must have come to all.
            let accepted = matches!(answer, Some(Receipt::Accepted { .. }));
            if accepted && !message.disturbed && self.limits.are_plain() && now < message.deadline {
                let missing = Set(message.certain.0 & !had(message).0);
                ensure!(
                    missing.is_empty(),
                    "lost",
                    "{key:?} was accepted and never came to {missing:?}: {message:?}"
                );
            }
        }
        self.logs.check_one_order(&self.messages)
    }
}

/// It came to nobody else than those for whom it was.
fn check_handed(key: &Key, message: &Sent) -> Outcome {
    let had = had(message);
    if !message.disturbed {
        let recipients = match message.answer {
            Some(Receipt::Accepted { recipients, .. } | Receipt::Final { recipients, .. }) => {
                recipients.max(1)
            }
            None => return Ok(()),
        };
        ensure!(had.count() <= recipients, "recipients", "{key:?} came to more than it was for: {message:?}");
    }
    // Across lives of the broker too, where nobody began to match. (Limit 3)
    if !message.promised.is_empty() && !message.changed && !message.lost && message.kills <= KILLS {
        ensure!(
            had.is_within(message.promised),
            "recipients",
            "{key:?} came to others than it was for: {message:?}"
        );
    }
    Ok(())
}

fn had(message: &Sent) -> Set {
    let mut had = Set::default();
    message.handed.iter().for_each(|&(client, _)| had.add(client));
    had
}
