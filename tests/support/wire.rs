//! As much of the wire format as it takes to misuse it, written down a second time on purpose (docs/PROTOCOL.md): a frame is the length of
//! its body as a varint, and the body; a body is one byte of kind and its fields.

/// The kind of the frame that ends a link and says why: one byte of code, and a detail.
const ABORT: u8 = 0x03;

/// Codes of an abort.
pub(crate) mod code {
    pub(crate) const MALFORMED: u8 = 1;
    pub(crate) const UNEXPECTED_FRAME: u8 = 2;
    pub(crate) const FRAME_TOO_LARGE: u8 = 3;
    pub(crate) const BAD_ACKNOWLEDGEMENT: u8 = 5;
    pub(crate) const HANDSHAKE_TIMEOUT: u8 = 8;
    pub(crate) const WRONG_SECRET: u8 = 12;
    pub(crate) const VERSION: u8 = 13;
    pub(crate) const FULL: u8 = 14;
}

/// A varint in its shortest encoding.
fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A frame with this body.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    [varint(body.len()), body.to_vec()].concat()
}

/// The bodies of all whole frames at the front of a stream.
pub(crate) fn bodies(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some(end) = stream.iter().position(|byte| byte & 0x80 == 0) {
        let length = stream[..=end].iter().rev().fold(0, |sum, byte| (sum << 7) | usize::from(byte & 0x7f));
        let rest = &stream[end + 1..];
        if rest.len() < length {
            break;
        }
        bodies.push(rest[..length].to_vec());
        stream = &rest[length..];
    }
    bodies
}

/// The code of the abort that ends what a broker said, if it ends with one.
pub(crate) fn abort_code(said: &[u8]) -> Option<u8> {
    match bodies(said).last()?.as_slice() {
        [ABORT, code, ..] => Some(*code),
        _ => None,
    }
}
