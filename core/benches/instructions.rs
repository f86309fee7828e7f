//! How many instructions each stage of a message's way takes, counted by Valgrind: the same on every machine of a kind.
//! `.ci/instructions` compares them with the figures in `instructions.txt`.
#![allow(missing_docs)]

mod stages;

use gungraun::{library_benchmark, library_benchmark_group, main};
use stages::Ready;

#[library_benchmark]
#[bench::one(stages::to_one())]
fn decode(ready: Ready) -> Ready {
    stages::decode(ready)
}

#[library_benchmark]
#[bench::pings(stages::pings())]
fn link(ready: Ready) -> Ready {
    stages::take(ready)
}

#[library_benchmark]
#[bench::one(stages::to_one())]
#[bench::group(stages::to_a_group())]
#[bench::changing(stages::to_changing_ones())]
fn route(ready: Ready) -> Ready {
    stages::take(ready)
}

#[library_benchmark]
#[bench::acknowledge(stages::acknowledged())]
fn queue(ready: Ready) -> Ready {
    stages::take(ready)
}

#[library_benchmark]
#[bench::one(stages::queued())]
fn encode(ready: Ready) -> Ready {
    stages::encode(ready)
}

#[library_benchmark]
#[bench::one(stages::delivered())]
fn client_take(ready: Ready) -> Ready {
    stages::client_take(ready)
}

#[library_benchmark]
#[bench::one(stages::answer())]
fn client_send(ready: Ready) -> Ready {
    stages::client_send(ready)
}

library_benchmark_group!(
    name = stages_of_a_message,
    benchmarks = [decode, link, route, queue, encode, client_take, client_send]
);
main!(library_benchmark_groups = stages_of_a_message);
