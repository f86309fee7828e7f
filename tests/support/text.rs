//! Texts to send, and comparisons that say where two texts part.

use super::random::Random;

const EIGHT_KIB: usize = 8 * 1024;
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 .,;:\"'\\{}=\t";
const WORDS: &[&str] = &[
    "Brieftaube ",
    "naïve ",
    "Ελλάδα ",
    "голубь ",
    "鳩が飛ぶ ",
    "🕊️ ",
    "حمامة ",
    "a\u{301} ",
    "\u{10FFFF} ",
];

/// Lines, each with its newline.
pub(crate) struct Text {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Text {
    /// Lines of uneven length, as the seed says: empty, one byte, short, UTF-8 of several scripts, 8 KiB.
    pub(crate) fn uneven(seed: u64, lines: usize) -> Self {
        let mut random = Random::new(seed);
        let mut text = Self { bytes: Vec::new(), ends: Vec::with_capacity(lines) };
        for _ in 0..lines {
            text.push_uneven(&mut random);
        }
        text
    }

    fn push_uneven(&mut self, random: &mut Random) {
        match random.below(200) {
            0..20 => {}
            20..40 => self.push_letters(random, 1),
            40..160 => {
                let len = 2 + random.index(120);
                self.push_letters(random, len);
            }
            160..197 => {
                for _ in 0..=random.index(24) {
                    self.bytes.extend_from_slice(WORDS[random.index(WORDS.len())].as_bytes());
                }
            }
            // A carriage return is data: only the newline is removed.
            197 => self.bytes.extend_from_slice(b"carriage return\r"),
            _ => self.push_letters(random, EIGHT_KIB),
        }
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
    }

    fn push_letters(&mut self, random: &mut Random, count: usize) {
        for _ in 0..count {
            self.bytes.push(LETTERS[random.index(LETTERS.len())]);
        }
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many lines there are.
    pub(crate) fn lines(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.bytes.len()).expect("a length fits into 64 bits")
    }

    /// How many bytes the first so many lines take.
    pub(crate) fn len_of(&self, lines: usize) -> u64 {
        let end = if lines == 0 { 0 } else { self.ends[lines - 1] };
        u64::try_from(end).expect("a length fits into 64 bits")
    }
}

/// Fails where the two are not the same, and says in which line they part.
pub(crate) fn assert_same(what: &str, actual: &[u8], expected: &[u8]) {
    if actual == expected {
        return;
    }
    let same = actual.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let line = expected[..same].iter().filter(|&&byte| byte == b'\n').count() + 1;
    panic!(
        "{what}: {} bytes, expected {}; they part in line {line} (byte {same}): got {:?}, expected {:?}",
        actual.len(),
        expected.len(),
        excerpt(actual, same),
        excerpt(expected, same)
    );
}

/// A little of the text around this position.
fn excerpt(text: &[u8], at: usize) -> String {
    let from = at.saturating_sub(20).min(text.len());
    let to = (at + 60).min(text.len());
    String::from_utf8_lossy(&text[from..to]).into_owned()
}
