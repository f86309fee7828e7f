//! Where choices come from: a seed, or bytes that a fuzzer steers.

/// Numbers that look random (splitmix64), always the same from the same seed.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// Scatters the bits of a number.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A source of choices.
///
/// From a seed it never ends. From bytes it takes as few for each choice as will do, and when they have run out every
/// choice is the first one and [`is_over`](Self::is_over) says so.
#[derive(Clone, Debug)]
pub enum Source<'a> {
    /// Drawn from a seed.
    Seed(Random),
    /// Read from bytes.
    Bytes(&'a [u8]),
}

impl<'a> Source<'a> {
    /// Choices from a seed.
    pub fn seed(seed: u64) -> Source<'static> {
        Source::Seed(Random(mix(seed ^ 0x5eed)))
    }

    /// Choices from bytes.
    pub fn bytes(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }

    /// True where no choice is left.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Bytes([]))
    }

    /// A number below `n`; 0 where `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        match self {
            Self::Seed(random) => random.draw() % n.max(1),
            Self::Bytes(bytes) => {
                let mut number = 0_u64;
                let mut range = 1_u64;
                while range < n {
                    let Some((&first, rest)) = bytes.split_first() else { break };
                    *bytes = rest;
                    number = (number << 8) | u64::from(first);
                    range = range.saturating_mul(256);
                }
                number % n.max(1)
            }
        }
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of these.
    ///
    /// # Panics
    ///
    /// There is none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_used_up_one_for_each_small_choice() {
        let mut source = Source::bytes(&[3, 150, 1, 0]);
        assert_eq!((source.below(1), source.below(4), source.percent(50)), (0, 3, false));
        assert_eq!(source.below(60_000), 256);
        assert!(source.is_over());
        assert_eq!((source.below(100), source.between(5, 9)), (0, 5));
    }

    #[test]
    fn the_same_seed_gives_the_same_choices() {
        let draw = |seed| {
            let mut source = Source::seed(seed);
            (0..100).map(|_| source.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
