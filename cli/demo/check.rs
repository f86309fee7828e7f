//! Holds what has happened against what was promised.

use std::ops::Range;

use super::record::{Member, Records};

/// What a member gets of a stream, by number. Anything else must not come to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// These.
    pub(crate) range: Range<usize>,
    /// Of these any or none: the broker's order decides whether they were sent before or after a change.
    pub(crate) open: Range<usize>,
}

/// What was promised to everybody.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) members: Vec<&'static str>,
    pub(crate) streams: Vec<String>,
    /// By member and stream.
    pub(crate) dues: Vec<Vec<Due>>,
    pub(crate) cuts: u64,
    pub(crate) kills: u64,
}

/// What became of one promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PromiseCheck {
    pub(crate) promise: &'static str,
    /// What was looked at.
    pub(crate) seen: String,
    /// What is wrong, the first of it in words.
    pub(crate) broken: Option<String>,
}

/// Collects what is wrong.
#[derive(Default)]
struct Faults {
    count: usize,
    first: Option<String>,
}

impl Faults {
    fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(text);
    }

    fn verdict(self, promise: &'static str, seen: String) -> PromiseCheck {
        let count = self.count;
        let broken = self.first.map(|first| match count {
            1 => first,
            _ => format!("{first}, and {} more", count - 1),
        });
        PromiseCheck { promise, seen, broken }
    }
}

/// Checks everything, and returns a verdict on each promise.
pub(crate) fn verdicts(promise: &Promise, records: &Records) -> Vec<PromiseCheck> {
    let [mut twice, mut order, mut missing, mut strays] = [(); 4].map(|()| Faults::default());
    // How many members have each message.
    let mut holders: Vec<Vec<u32>> = records.sent.iter().map(|stream| vec![0; stream.len()]).collect();
    let mut owed = 0;
    for (who, member) in records.members.iter().enumerate() {
        let name = promise.members[who];
        if member.damaged > 0 {
            strays.add(|| format!("{name} had {} messages that nobody sent like that", member.damaged));
        }
        let mut had: Vec<Vec<bool>> = records.sent.iter().map(|stream| vec![false; stream.len()]).collect();
        let mut next = vec![0; records.sent.len()];
        for label in &member.received {
            let what = || format!("{name} had {} {}", promise.streams[label.stream], label.number);
            let Some(seen) = had.get_mut(label.stream).and_then(|had| had.get_mut(label.number)) else {
                strays.add(|| format!("{name} had a message that nobody has sent yet"));
                continue;
            };
            if std::mem::replace(seen, true) {
                twice.add(|| format!("{} twice", what()));
                continue;
            }
            holders[label.stream][label.number] += 1;
            if label.number < next[label.stream] {
                order.add(|| format!("{} after {}", what(), next[label.stream] - 1));
            }
            next[label.stream] = next[label.stream].max(label.number + 1);
            if !promise.dues[who][label.stream].range.contains(&label.number) {
                strays.add(|| format!("{}, which was for others", what()));
            }
        }
        for (stream, due) in promise.dues[who].iter().enumerate() {
            for number in due.range.clone().filter(|number| !due.open.contains(number)) {
                owed += 1;
                if !had[stream].get(number).copied().unwrap_or_default() {
                    missing.add(|| format!("{name} has not had {} {number}", promise.streams[stream]));
                }
            }
        }
    }
    let delivered = records.delivered();
    let messages: usize = records.sent.iter().map(Vec::len).sum();
    vec![
        twice.verdict("once", format!("{delivered} deliveries, none of them twice")),
        order.verdict("in order", format!("{} streams, each in the order of sending", records.sent.len())),
        missing.verdict("nothing lost", format!("{owed} deliveries were due, all are there")),
        strays.verdict("nothing astray", "every payload is whole, and with those it was for".into()),
        answered(promise, records, &holders)
            .verdict("answered", format!("{messages} messages, one receipt each, counting who has it")),
        sessions(promise, records)
            .verdict("sessions outlive connections", format!("{} cuts, every session went on", promise.cuts)),
        deaths(promise, records)
            .verdict("the broker may die", format!("{} deaths, everybody came back", promise.kills)),
    ]
}

/// Each message has exactly one receipt, which counts those that have it, and they are all.
fn answered(promise: &Promise, records: &Records, holders: &[Vec<u32>]) -> Faults {
    let mut faults = Faults::default();
    for (stream, sent) in records.sent.iter().enumerate() {
        for (number, message) in sent.iter().enumerate() {
            let what = || format!("{} {number}", promise.streams[stream]);
            let held = holders[stream][number];
            match message.answers.as_slice() {
                [] => faults.add(|| format!("{} has no receipt", what())),
                [one] if one.delivered == held && one.recipients == held => {}
                [one] => faults.add(|| {
                    let (k, n) = (one.delivered, one.recipients);
                    format!("{} is with {held}, and its receipt says {k} of {n}", what())
                }),
                many => faults.add(|| format!("{} has {} receipts", what(), many.len())),
            }
        }
    }
    faults
}

/// A connection that is lost costs no session: a new one is there only for a new client and for a new broker.
fn sessions(promise: &Promise, records: &Records) -> Faults {
    let mut faults = Faults::default();
    let resumed: u64 = records.members.iter().map(|member| member.resumed).sum();
    if promise.cuts == 0 || resumed == 0 {
        faults.add(|| format!("{} cuts and {resumed} resumed sessions show nothing", promise.cuts));
    }
    for (who, member) in records.members.iter().enumerate() {
        let name = promise.members[who];
        if member.fresh != 1 || member.lost > promise.kills {
            let (fresh, lost) = (member.fresh, member.lost);
            faults.add(|| format!("{name} had {fresh} first sessions, and lost its session {lost} times"));
        }
    }
    faults
}

/// Everybody has found the last broker, and no client has given up.
fn deaths(promise: &Promise, records: &Records) -> Faults {
    let mut faults = Faults::default();
    if promise.kills == 0 || records.members.iter().map(|member| member.lost).sum::<u64>() == 0 {
        faults.add(|| format!("{} deaths that nobody noticed show nothing", promise.kills));
    }
    let mut complain = |who: usize, member: &Member| {
        let name = promise.members[who];
        if let Some(failure) = &member.failure {
            faults.add(|| format!("{name} has ended: {failure}"));
        } else if !member.is_up {
            faults.add(|| format!("{name} is not back"));
        }
    };
    for (who, member) in records.members.iter().enumerate() {
        complain(who, member);
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::content::Label;
    use super::super::record::{Answer, Sent};
    use super::*;

    /// Three messages of one stream to anna and bert, of which bert was to get the last two.
    fn right() -> (Promise, Records) {
        let all = |range| vec![Due { range, open: 0..0 }];
        let promise = Promise {
            members: vec!["anna", "bert"],
            streams: vec!["to the lobby".into()],
            dues: vec![all(0..3), all(1..3)],
            cuts: 1,
            kills: 1,
        };
        let answer =
            |count| Sent { accepted: true, answers: vec![Answer { delivered: count, recipients: count }] };
        let member = |numbers: Range<usize>| Member {
            is_up: true,
            fresh: 1,
            resumed: 1,
            lost: 1,
            received: numbers.map(|number| Label { stream: 0, number }).collect(),
            ..Member::default()
        };
        let mut records = Records::new(0, 0);
        records.sent = vec![vec![answer(1), answer(2), answer(2)]];
        records.members = vec![member(0..3), member(1..3)];
        (promise, records)
    }

    /// The promises that are broken after `change`.
    fn broken_by(change: impl FnOnce(&mut Promise, &mut Records)) -> Vec<(&'static str, String)> {
        let (mut promise, mut records) = right();
        change(&mut promise, &mut records);
        let verdicts = verdicts(&promise, &records);
        verdicts.into_iter().filter_map(|verdict| Some((verdict.promise, verdict.broken?))).collect()
    }

    #[test]
    fn what_is_right_is_not_complained_about() {
        assert_eq!(broken_by(|_, _| ()), []);
    }

    #[test]
    fn a_message_that_comes_twice_is_reported() {
        let broken = broken_by(|_, records| {
            let again = records.members[0].received[1];
            records.members[0].received.push(again);
        });
        assert_eq!(broken, [("once", "anna had to the lobby 1 twice".into())]);
    }

    #[test]
    fn a_message_that_is_missing_is_reported_and_so_is_the_receipt_that_counts_it() {
        let broken = broken_by(|_, records| records.members[1].received.truncate(1));
        assert_eq!(
            broken,
            [
                ("nothing lost", "bert has not had to the lobby 2".into()),
                ("answered", "to the lobby 2 is with 1, and its receipt says 2 of 2".into()),
            ]
        );
    }

    #[test]
    fn what_is_open_may_be_missing() {
        let broken = broken_by(|promise, records| {
            promise.dues[1][0].open = 2..3;
            records.members[1].received.truncate(1);
            records.sent[0][2].answers[0] = Answer { delivered: 1, recipients: 1 };
        });
        assert_eq!(broken, []);
    }

    #[test]
    fn messages_out_of_order_are_reported() {
        let broken = broken_by(|_, records| records.members[0].received.swap(0, 2));
        assert_eq!(broken, [("in order", "anna had to the lobby 1 after 2, and 1 more".into())]);
    }

    #[test]
    fn what_was_for_others_or_is_damaged_is_reported() {
        let broken = broken_by(|_, records| {
            records.members[1].received.insert(0, Label { stream: 0, number: 0 });
            records.sent[0][0].answers[0] = Answer { delivered: 2, recipients: 2 };
        });
        assert_eq!(broken, [("nothing astray", "bert had to the lobby 0, which was for others".into())]);
        let broken = broken_by(|_, records| records.members[1].damaged = 2);
        assert_eq!(broken.len(), 1);
        let broken = broken_by(|_, records| {
            records.members[1].received.push(Label { stream: 0, number: 3 });
        });
        assert_eq!(broken, [("nothing astray", "bert had a message that nobody has sent yet".into())]);
    }

    #[test]
    fn each_message_needs_exactly_one_receipt_with_the_right_counts() {
        let right = Answer { delivered: 1, recipients: 1 };
        for answers in [
            vec![],
            vec![right, right],
            vec![Answer { delivered: 0, ..right }],
            vec![Answer { recipients: 2, ..right }],
        ] {
            let broken = broken_by(|_, records| records.sent[0][0].answers = answers);
            assert_eq!(broken.len(), 1, "{broken:?}");
            assert_eq!(broken[0].0, "answered");
        }
    }

    #[test]
    fn a_session_that_did_not_outlive_its_connection_is_reported() {
        for change in [|member: &mut Member| member.lost = 2, |member: &mut Member| member.fresh = 2] {
            let broken = broken_by(|_, records| change(&mut records.members[0]));
            assert_eq!(broken.len(), 1, "{broken:?}");
            assert_eq!(broken[0].0, "sessions outlive connections");
        }
        assert_eq!(broken_by(|promise, _| promise.cuts = 0)[0].0, "sessions outlive connections");
    }

    #[test]
    fn who_does_not_come_back_is_reported() {
        let broken = broken_by(|_, records| records.members[1].is_up = false);
        assert_eq!(broken, [("the broker may die", "bert is not back".into())]);
        let broken = broken_by(|_, records| records.members[1].failure = Some("tired".into()));
        assert_eq!(broken, [("the broker may die", "bert has ended: tired".into())]);
    }
}
