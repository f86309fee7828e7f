//! Links that attack, beside an honest one.

use super::*;

/// What a link attacks with.
#[derive(Clone, Copy, Debug)]
enum Attack {
    /// Changes of attributes, to and fro, beside watchers.
    Sets,
    /// Changes of attributes that release no parked message, and look at many.
    ParkedPairs,
    /// Messages that look at many sessions and find none.
    AnyOf,
    /// Messages to a thousand, which expire in their queues.
    Many,
    /// Messages that wait, and expire at once.
    Expiring,
    /// Watches that begin and end.
    Watches,
}

impl Attack {
    /// What one link says before it attacks.
    fn begins(self) -> Vec<u8> {
        let pair = Filter::all_of(&[("a", Value::Int(1)), ("b", Value::Int(1))]).unwrap();
        let to = Destination::from(pair);
        match self {
            Self::ParkedPairs => {
                (0..2_000).flat_map(|n| message((n == 0).then_some(&to), 1, None, b"")).collect()
            }
            _ => vec![],
        }
    }

    /// So much of it that no call takes all; `from` is how much was said before.
    fn goes_on(self, from: u64) -> Vec<u8> {
        let any_of = [("c", Value::Int(1)), ("d", Value::Int(1)), ("e", Value::Int(1))];
        let any_of = Destination::from(Filter::any_of(&any_of).unwrap()).only_connected();
        let many = Destination::from(Filter::all_of(&[("c", Value::Int(1))]).unwrap());
        let nobody = Destination::from(Filter::all_of(&[("z", Value::Int(1))]).unwrap());
        let first = |to: &Destination, n: u64, ms| message_for((n == 0).then_some(to), 1, None, ms, b"");
        let one = |n: u64| match self {
            Self::Sets | Self::ParkedPairs => set("a", (n % 2) as i64),
            Self::AnyOf => first(&any_of, n, 1_000),
            Self::Many => first(&many, n, 1),
            Self::Expiring => first(&nobody, n, 1),
            Self::Watches => {
                let number = n as u32;
                [watch(number, &Filter::everyone()), frame(|w| UpItem::Unwatch(number).write(w))].concat()
            }
        };
        (from..from + 1_000).flat_map(one).collect()
    }
}

/// However many links attack, an honest one that sends a message has it taken within two turns, and it is handed to its recipient
/// within two turns of that one; and no call does more than its budget.
#[test]
fn beside_links_that_attack_an_honest_one_has_its_turn_within_two_budgets() {
    // The last message of a call may look at all sessions, under three pairs.
    let most = MOST + 2_000;
    use Attack::{AnyOf, Expiring, Many, ParkedPairs, Sets, Watches};
    for attack in [Sets, ParkedPairs, AnyOf, Many, Expiring, Watches] {
        for attackers in [2, 16] {
            let mut raw = raw();
            raw.crowd(100);
            (200..1_200).for_each(|n| raw.away(n, pairs(&[("c", 1), ("d", 1), ("e", 1)]).as_ref()));
            let from = raw.up(3_000, 1);
            let to = raw.up(3_001, 1);
            let attackers: Vec<(LinkId, u64)> = (0..attackers)
                .map(|n| {
                    let link = raw.link();
                    raw.put_all(link, &watcher(4_000 + n, AttributesRef::EMPTY));
                    raw.put_all(link, &attack.begins());
                    (link, 0)
                })
                .collect();
            let (mut pending, mut spent) = (vec![vec![]; attackers.len()], 0);
            let (mut attackers, mut numbers_got, mut waits) = (attackers, vec![], 0);
            let destination = Destination::from(uuid(3_001));
            for turn in 0..10_u64 {
                raw.now = raw.now + Duration::from_millis(1);
                raw.broker.handle_timeout(raw.now);
                assert!(raw.broker.work_of_last_call() < most);
                for ((link, said), pending) in attackers.iter_mut().zip(&mut pending) {
                    if pending.len() < 1_000 {
                        pending.extend(attack.goes_on(*said));
                        *said += 1_000;
                    }
                    let taken = raw.broker.handle_input(raw.now, *link, pending).unwrap();
                    pending.drain(..taken);
                    assert!(raw.broker.work_of_last_call() < most, "{attack:?}");
                    spent += u64::from(raw.broker.work_of_last_call());
                    raw.swallow(*link);
                }
                let bytes = message((turn == 0).then_some(&destination), 1, None, &turn.to_le_bytes());
                let mut turns = 0;
                while raw.broker.handle_input(raw.now, from, &bytes).unwrap() == 0 {
                    turns += 1;
                    assert!(turns < 2, "{attack:?}, {} links: it waits for its turn", attackers.len());
                }
                raw.drain();
                raw.swallow(from);
                numbers_got.extend(numbers(&raw.read(to)));
                waits += u64::from(numbers_got.len() as u64 <= turn);
            }
            let attackers = attackers.len() as u64;
            assert!(spent > attackers * 10 * 500, "{attack:?} is no attack: {spent} units");
            numbers_got.extend(numbers(&raw.read(to)));
            assert!(waits <= 1, "{attack:?}: {waits} messages were handed on later");
            assert!((0..10).all(|n| numbers_got.contains(&n)), "{attack:?}: {numbers_got:?}");
        }
    }
}
