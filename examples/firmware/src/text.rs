//! Short texts without the formatting of the standard library, which is larger than the protocol.

/// A line of text; what is too long for it is cut off.
pub struct Line {
    bytes: [u8; 64],
    length: usize,
}

impl Line {
    /// An empty one.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { bytes: [0; 64], length: 0 }
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            if let Some(slot) = self.bytes.get_mut(self.length) {
                *slot = *byte;
                self.length += 1;
            }
        }
        self
    }

    /// Appends a number.
    pub fn number(&mut self, number: u32) -> &mut Self {
        let mut digits = [0; 10];
        let (mut rest, mut used) = (number, 0);
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            (rest, used) = (rest / 10, used + 1);
            if rest == 0 {
                break;
            }
        }
        self.put(digits.get(digits.len() - used..).unwrap_or_default())
    }

    /// What was put in.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Reads a number; `None` where it is none, or too large.
pub fn number(digits: &[u8]) -> Option<u32> {
    let add = |number: u32, &digit: &u8| {
        let value = digit.checked_sub(b'0').filter(|&value| value < 10)?;
        number.checked_mul(10)?.checked_add(u32::from(value))
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}
