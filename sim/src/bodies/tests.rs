//! Every body, over the committed seeds and over bytes that look random.

use super::*;
use std::path::PathBuf;

/// How many inputs that look random each body gets.
const RANDOM: u64 = 3_000;

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let files = std::fs::read_dir(&folder).expect("a folder of seeds").map(|file| {
        let path = file.expect("an entry").path();
        (path.display().to_string(), std::fs::read(&path).expect("a seed"))
    });
    let mut seeds: Vec<(String, Vec<u8>)> = files.collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "no seeds for {target}");
    seeds
}

/// Numbers that look random (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n.max(1)
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next() as u8).collect()
    }

    /// A seed with some bytes changed, taken out or put in.
    fn mutated(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(3) {
                0 if !bytes.is_empty() => bytes[at] = self.next() as u8,
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                _ => bytes.insert(at, self.next() as u8),
            }
        }
        bytes
    }
}

fn run(target: &str, body: fn(&[u8])) {
    let seeds = seeds(target);
    for (name, seed) in &seeds {
        let caught = std::panic::catch_unwind(|| body(seed));
        assert!(caught.is_ok(), "{name}");
    }
    let mut random = Random(1);
    for n in 0..RANDOM {
        let bytes = match n % 2 {
            0 => random.bytes(400),
            _ => {
                let which = random.below(seeds.len());
                random.mutated(&seeds[which].1)
            }
        };
        let caught = std::panic::catch_unwind(|| body(&bytes));
        assert!(caught.is_ok(), "{target}, input {n}: {bytes:?}");
    }
}

#[test]
fn frame_holds_over_its_seeds_and_random_bytes() {
    run("frame", frame);
}

#[test]
fn wire_holds_over_its_seeds_and_random_bytes() {
    run("wire", wire);
}

#[test]
fn client_stream_holds_over_its_seeds_and_random_bytes() {
    run("client_stream", client_stream);
}

#[test]
fn broker_stream_holds_over_its_seeds_and_random_bytes() {
    run("broker_stream", broker_stream);
}

#[test]
fn broker_ops_holds_over_its_seeds_and_random_bytes() {
    run("broker_ops", broker_ops);
}

#[test]
fn sim_holds_over_its_seeds_and_random_bytes() {
    run("sim", sim);
}
