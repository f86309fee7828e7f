//! Laws of what changes nothing: a recorded conversation is played again to a fresh machine, in other pieces, with other
//! calls between or at times that run back, and everything comes as it was recorded.

use crate::conversation::{Conversation, Limits, Recorded, limits, record, steps};
use crate::machine::{Answer, BrokerMachine, Call, ClientMachine, Machine, Sizes, Style};
use crate::quiet;
use core::time::Duration;
use e_pigeon_core::Instant;
use proptest::prelude::*;

type Script = [(Instant, Call, Answer)];

/// What a law does with the recorded script of a machine.
trait Law {
    fn hold<M: Machine>(&self, fresh: M, script: &Script);

    /// For each machine of a conversation.
    fn holds(&self, limits: &Limits, conversation: &Conversation) {
        self.hold(BrokerMachine::new(&limits.broker(), limits.framing), &conversation.broker.script);
        for (n, peer) in conversation.peers.iter().enumerate() {
            let Recorded { script, .. } = &peer.recorded;
            self.hold(ClientMachine::new(&limits.client(n)), script);
        }
    }
}

/// Played again in these pieces it is the same.
struct InPieces(Style);

impl Law for InPieces {
    fn hold<M: Machine>(&self, mut machine: M, script: &Script) {
        let mut style = self.0.clone();
        for (at, (now, call, answer)) in script.iter().enumerate() {
            assert_eq!(&machine.call(*now, call, &mut style), answer, "call {at}: {call:?}");
        }
    }
}

/// Which of the calls a law touches, and how much: used one after the other, again and again.
#[derive(Clone, Debug)]
struct Choices(Vec<u64>);

impl Choices {
    fn at(&self, call: usize) -> u64 {
        self.0[call % self.0.len()]
    }
}

fn choices() -> impl Strategy<Value = Choices> {
    prop::collection::vec(0_u64..1_000_000, 1..40).prop_map(Choices)
}

/// Between any two calls time may be told that has not come: nothing happens.
struct EarlyTimeouts(Choices);

impl Law for EarlyTimeouts {
    fn hold<M: Machine>(&self, mut machine: M, script: &Script) {
        let mut last = Instant::default();
        for (at, (now, call, answer)) in script.iter().enumerate() {
            // Right before the deadline, or somewhere between the last call and this one.
            let choice = self.0.at(at);
            let gap = now.saturating_duration_since(last).as_micros() as u64;
            let deadline = machine.deadline();
            let right_before = deadline.map(|deadline| Instant::from_micros(deadline.as_micros() - 1));
            let early = match right_before {
                Some(early) if choice.is_multiple_of(2) && last <= early && early <= *now => early,
                _ => last + Duration::from_micros(choice % (gap + 1)),
            };
            if at > 0 && !choice.is_multiple_of(3) && deadline.is_none_or(|deadline| early < deadline) {
                let before = machine.state();
                let answer = machine.call(early, &Call::Timeout, &mut Style::whole());
                assert_eq!(answer.state, before, "before call {at}, at {early:?}");
            }
            assert_eq!(&machine.call(*now, call, &mut Style::whole()), answer, "call {at}: {call:?}");
            last = *now;
        }
    }
}

/// A time before the latest that was told is that latest.
struct ClockRunsBack(Choices);

impl Law for ClockRunsBack {
    fn hold<M: Machine>(&self, mut machine: M, script: &Script) {
        let mut last = Instant::default();
        for (at, (now, call, answer)) in script.iter().enumerate() {
            let back = if *now == last { self.0.at(at) } else { 0 };
            let told = Instant::from_micros(now.as_micros() - back.min(now.as_micros()));
            assert_eq!(&machine.call(told, call, &mut Style::whole()), answer, "call {at}: {call:?}");
            last = if call.tells_time() { *now } else { last };
        }
    }
}

/// What is due is done: there is nothing left to be done at that time.
struct LateTimeouts(Choices);

impl Law for LateTimeouts {
    fn hold<M: Machine>(&self, mut machine: M, script: &Script) {
        let mut latest = Instant::default();
        for (at, (now, call, _)) in script.iter().enumerate() {
            let choice = self.0.at(at);
            if choice.is_multiple_of(4)
                && let Some(due) = machine.deadline()
            {
                let late =
                    due + Duration::from_micros(if choice.is_multiple_of(8) { 0 } else { 50 * choice });
                machine.call(late, &Call::Timeout, &mut Style::whole());
                latest = latest.max(late);
                let next = machine.deadline();
                assert!(next.is_none_or(|next| next > latest), "before call {at}: {next:?} after {latest:?}");
            }
            // Time may be further now than it was in the recorded conversation, and so may everything else.
            machine.call(*now, call, &mut Style::whole());
            latest = latest.max(*now);
        }
    }
}

/// Calls without meaning change nothing: no bytes, no room for bytes, no link.
struct Meaningless(Choices);

impl Law for Meaningless {
    fn hold<M: Machine>(&self, mut machine: M, script: &Script) {
        let mut connected = 0;
        let mut gone = Vec::new();
        for (at, (now, call, answer)) in script.iter().enumerate() {
            let link = *gone.get(self.0.at(at) as usize % gone.len().max(1)).unwrap_or(&usize::MAX);
            let mut tell = |call: Call| {
                let before = machine.state();
                let answer = machine.call(*now, &call, &mut Style::whole());
                assert_eq!(
                    answer,
                    Answer { state: before, ..Answer::default() },
                    "before call {at}: {call:?}"
                );
            };
            if connected > 0 {
                tell(Call::Transmit(connected - 1, 0));
                tell(Call::Events(0));
            }
            if link != usize::MAX {
                // A link that is gone, of a broker; a client has but one.
                tell(Call::Input(link, vec![1, 8]));
                tell(Call::Transmit(link, 100));
                tell(Call::Disconnected(link));
            }
            assert_eq!(&machine.call(*now, call, &mut Style::whole()), answer, "call {at}: {call:?}");
            match call {
                Call::Connected => {
                    // A broker may have no place.
                    connected += usize::from(answer.told.iter().all(|told| told.starts_with("Ok")));
                }
                Call::Disconnected(link) if M::HAS_LINKS => gone.push(*link),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(quiet(192))]

    #[test]
    fn the_same_calls_give_the_same_trace(limits in limits(), steps in steps(150)) {
        let conversation = record(&limits, &steps);
        InPieces(Style::whole()).holds(&limits, &conversation);
    }

    #[test]
    fn pieces_of_input_change_neither_events_nor_output(
        limits in limits(),
        steps in steps(150),
        sizes in prop::collection::vec(1_usize..40, 1..8),
    ) {
        let conversation = record(&limits, &steps);
        for sizes in [vec![1], sizes] {
            InPieces(Style { input: Sizes::of(sizes), ..Style::whole() }).holds(&limits, &conversation);
        }
    }

    #[test]
    fn the_size_of_the_buffer_changes_no_byte(
        limits in limits(),
        steps in steps(150),
        sizes in prop::collection::vec(1_usize..40, 1..8),
    ) {
        let conversation = record(&limits, &steps);
        for sizes in [vec![1], sizes] {
            InPieces(Style { output: Sizes::of(sizes), ..Style::whole() }).holds(&limits, &conversation);
        }
    }

    #[test]
    fn a_timeout_before_its_time_does_nothing(limits in limits(), steps in steps(150), choices in choices()) {
        let conversation = record(&limits, &steps);
        EarlyTimeouts(choices).holds(&limits, &conversation);
    }

    #[test]
    fn after_a_timeout_the_deadline_is_later_or_none(
        limits in limits(),
        steps in steps(150),
        choices in choices(),
    ) {
        let conversation = record(&limits, &steps);
        LateTimeouts(choices).holds(&limits, &conversation);
    }

    #[test]
    fn a_clock_that_runs_back_stands_still(limits in limits(), steps in steps(150), choices in choices()) {
        let conversation = record(&limits, &steps);
        ClockRunsBack(choices).holds(&limits, &conversation);
    }

    #[test]
    fn calls_without_meaning_change_nothing(limits in limits(), steps in steps(150), choices in choices()) {
        let conversation = record(&limits, &steps);
        Meaningless(choices).holds(&limits, &conversation);
    }
}
