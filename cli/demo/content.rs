//! What the messages say: which they are, and a filler that shows whether all of it has arrived.

use super::random::Random;

/// Which message of which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) stream: usize,
    pub(crate) number: usize,
}

/// The payload of a message: mostly short, one in a hundred long enough to be cut in two places.
pub(crate) fn payload(seed: u64, label: Label) -> Vec<u8> {
    let mut random = Random::new(seed, (label.stream as u64) << 32 | label.number as u64);
    let length = if random.below(100) == 0 { 8_192 } else { random.below(200) };
    let mut payload = format!("{} {} ", label.stream, label.number).into_bytes();
    payload.extend((0..length).map(|_| b'a' + (random.next() % 26) as u8));
    payload
}

/// Says which message this is; `None` where it is none of the demo's, or not whole.
pub(crate) fn label(seed: u64, received: &[u8]) -> Option<Label> {
    let mut words = received.splitn(3, |byte| *byte == b' ');
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
    let label = Label { stream: number()?, number: number()? };
    (payload(seed, label) == received).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_says_which_it_is_unless_a_byte_is_wrong() {
        for number in 0..300 {
            let sent = Label { stream: 3, number };
            let mut bytes = payload(7, sent);
            assert_eq!(label(7, &bytes), Some(sent));
            bytes.push(b'a');
            assert_eq!(label(7, &bytes), None);
            bytes.truncate(3);
            assert_eq!(label(7, &bytes), None);
        }
        assert_eq!(label(7, b""), None);
        assert_eq!(label(7, b"1 -1 x"), None);
    }
}
