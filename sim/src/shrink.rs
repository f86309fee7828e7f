//! Makes a run that breaks a promise smaller, as long as it breaks the same one.

use crate::run::Run;
use crate::setup::{BUDGET, LEAST, plain_broker, plain_client};
use crate::step::{Payload, Send, Step, To};
use crate::violation::Violation;
use core::time::Duration;

/// How many runs it may take.
pub const TRIES: usize = 4_000;

/// Makes a run smaller that breaks a promise, with at most so many tries: removes steps and clients, and makes what is
/// left plainer, while a promise of the same kind is broken. Returns the smallest run found, and what it breaks.
pub fn shrink(run: &Run, violation: &Violation, tries: usize) -> (Run, Violation) {
    let mut shrinker = Shrinker { best: run.clone(), violation: violation.clone(), left: tries };
    loop {
        let before = shrinker.size();
        shrinker.remove_steps();
        shrinker.remove_clients();
        shrinker.plain_limits();
        shrinker.plain_steps();
        if shrinker.left == 0 || shrinker.size() == before {
            return (shrinker.best, shrinker.violation);
        }
    }
}

struct Shrinker {
    best: Run,
    violation: Violation,
    left: usize,
}

impl Shrinker {
    fn size(&self) -> (usize, usize, String) {
        // What is written down is what is to be small.
        (self.best.steps.len(), self.best.setup.clients.len(), format!("{:?}", self.best))
    }

    /// Takes a run over where it breaks the same promise.
    fn attempt(&mut self, run: Run) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        match run.execute().outcome {
            Err(violation) if violation.kind == self.violation.kind => {
                (self.best, self.violation) = (run, violation);
                true
            }
            _ => false,
        }
    }

    /// Removes steps: first large parts, then smaller ones, down to single steps.
    fn remove_steps(&mut self) {
        let mut part = self.best.steps.len().div_ceil(2);
        while part > 0 && self.left > 0 {
            let mut at = 0;
            while at < self.best.steps.len() && self.left > 0 {
                let mut run = self.best.clone();
                let end = (at + part).min(run.steps.len());
                run.steps.drain(at..end);
                if !self.attempt(run) {
                    at += part;
                }
            }
            part = if part == 1 { 0 } else { part.div_ceil(2) };
        }
    }

    /// Removes the last clients; their steps do nothing then.
    fn remove_clients(&mut self) {
        while self.best.setup.clients.len() > 1 {
            let mut run = self.best.clone();
            run.setup.clients.pop();
            if !self.attempt(run) {
                return;
            }
        }
    }

    /// Takes back limits, all at once, or one after the other.
    fn plain_limits(&mut self) {
        let mut run = self.best.clone();
        run.setup.broker = plain_broker();
        if !self.attempt(run) {
            for limit in crate::scenario::BROKER {
                let mut run = self.best.clone();
                (limit.reset)(&mut run.setup.broker);
                if (limit.show)(&run.setup.broker) != (limit.show)(&self.best.setup.broker) {
                    self.attempt(run);
                }
            }
        }
        for n in 0..self.best.setup.clients.len() {
            let mut run = self.best.clone();
            run.setup.clients[n] = plain_client();
            if self.attempt(run) {
                continue;
            }
            for limit in crate::scenario::CLIENT {
                let mut run = self.best.clone();
                (limit.reset)(&mut run.setup.clients[n]);
                if (limit.show)(&run.setup.clients[n]) != (limit.show)(&self.best.setup.clients[n]) {
                    self.attempt(run);
                }
            }
        }
        for budget in [BUDGET, LEAST] {
            let mut run = self.best.clone();
            if core::mem::replace(&mut run.setup.budget, budget) != budget && self.attempt(run) {
                break;
            }
        }
        if self.best.setup.piece != 0 {
            let mut run = self.best.clone();
            run.setup.piece = 0;
            self.attempt(run);
        }
    }

    /// Makes steps plainer: what moves a part moves everything, what is sent is small and for one, time is round.
    fn plain_steps(&mut self) {
        for at in 0..self.best.steps.len() {
            for plainer in plainer(&self.best.steps[at]) {
                if plainer == self.best.steps[at] {
                    continue;
                }
                let mut run = self.best.clone();
                run.steps[at] = plainer;
                if self.attempt(run) {
                    break;
                }
            }
        }
    }
}

/// What a step may be made into, the plainest first.
fn plainer(step: &Step) -> Vec<Step> {
    match step {
        Step::Send(send) => {
            let mut plain = Send::new(send.from, send.to.clone());
            let mut options = vec![Step::Send(plain.clone())];
            plain.payload = send.payload.clone();
            options.push(Step::Send(plain.clone()));
            plain.live = send.live;
            options.push(Step::Send(plain));
            let mut same = send.clone();
            same.payload = Payload::Length(8);
            options.push(Step::Send(same));
            options.extend(plainer_to(&send.to).map(|to| Step::Send(Send { to, ..send.clone() })));
            options
        }
        Step::WriteUp { client, .. } => {
            vec![Step::Flow, Step::WriteUp { client: *client, out: usize::MAX, most: usize::MAX }]
        }
        Step::WriteDown { pipe, .. } => {
            vec![Step::Flow, Step::WriteDown { pipe: *pipe, out: usize::MAX, most: usize::MAX }]
        }
        Step::ReadUp(pipe, _) => vec![Step::Flow, Step::ReadUp(*pipe, usize::MAX)],
        Step::ReadDown(pipe, _) => vec![Step::Flow, Step::ReadDown(*pipe, usize::MAX)],
        Step::Cut { pipe, client, broker, .. } => {
            let cut = |client, broker| Step::Cut { pipe: *pipe, client, broker, kept: usize::MAX };
            vec![cut(true, true), cut(*client, *broker)]
        }
        Step::Restart { client, silent: true } => vec![Step::Restart { client: *client, silent: false }],
        Step::Kill { silent: true } => vec![Step::Kill { silent: false }],
        Step::Poll(client, _) => vec![Step::Poll(*client, usize::MAX)],
        Step::Acknowledge(client, _) => vec![Step::Acknowledge(*client, usize::MAX)],
        Step::Jump(by) => vec![Step::Pass(*by), Step::Advance(*by)],
        Step::Advance(by) if *by > Duration::from_millis(1) => vec![Step::Pass(*by)],
        _ => Vec::new(),
    }
}

fn plainer_to(to: &To) -> impl Iterator<Item = To> {
    match *to {
        To::Client(_) => vec![],
        To::RoomAndLevel(room, _) | To::RoomOrLevel(room, _) => vec![To::Everyone, To::Room(room)],
        _ => vec![To::Everyone],
    }
    .into_iter()
}
