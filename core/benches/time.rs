//! How long each stage of a message's way takes, for people: `cargo bench -p e-pigeon-core --bench time`.
#![allow(missing_docs)]

mod stages;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stages::{MESSAGES, Ready};

/// A stage, what stands before it, and its name.
type Stage = (&'static str, fn() -> Ready, fn(Ready) -> Ready);

const STAGES: [Stage; 9] = [
    ("decode", stages::to_one, stages::decode),
    ("link: pings", stages::pings, stages::take),
    ("route: to one", stages::to_one, stages::take),
    ("route: to a group", stages::to_a_group, stages::take),
    ("route: to changing ones", stages::to_changing_ones, stages::take),
    ("queue: acknowledge", stages::acknowledged, stages::take),
    ("encode", stages::queued, stages::encode),
    ("client: take", stages::delivered, stages::client_take),
    ("client: send", stages::answer, stages::client_send),
];

fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for (name, before, stage) in STAGES {
        group.bench_function(name, |bencher| {
            bencher.iter_batched(before, stage, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, all);
criterion_main!(benches);
