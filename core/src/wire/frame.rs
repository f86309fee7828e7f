//! Bytes into frames and back: where a frame begins and ends.
//!
//! On streams a frame is its length, a varint, and that many bytes; that is here. On serial lines it is stuffed, see
//! [`cobs`](super::cobs). A datagram is a frame. (PROTOCOL.md, "Framing")

use crate::bug::OrBug;
use crate::codec::{Writer, varint_len};
use crate::error::AbortCode;

/// What carries a link, and so where its frames begin and end.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// A reliable stream of bytes, such as TCP, a Unix socket, or a serial line that damages nothing.
    #[default]
    Length,
    /// A line that may damage, lose or insert bytes: each frame is stuffed and has a checksum.
    #[cfg(feature = "lossy")]
    Cobs,
    /// Datagrams, which may be lost, come twice or in another order, but not damaged: each is a frame.
    #[cfg(feature = "lossy")]
    Datagram,
}

impl Framing {
    /// True if frames may be lost, come twice, or in another order.
    pub fn is_lossy(self) -> bool {
        self != Self::Length
    }
}

/// Bytes of a length that may stand in front of a frame: enough for every frame within the protocol's limits.
pub(crate) const MAX_HEADER: usize = 4;

/// Where a frame lies: the bytes of its header, and those of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of the length.
    pub header: usize,
    /// Bytes of the body; at least one.
    pub body: usize,
}

impl Extent {
    /// Bytes of the whole frame.
    pub fn total(&self) -> usize {
        self.header + self.body
    }
}

/// Finds the extent of the frame at the front of `bytes`; `None` if more bytes are needed.
///
/// # Errors
///
/// The length is above `limit`, or not in its shortest encoding, or zero. It is found from the header alone, before
/// anything of the body is there.
#[inline]
pub fn extent(bytes: &[u8], limit: usize) -> Result<Option<Extent>, AbortCode> {
    // Nothing is there yet.
    let Some(&first) = bytes.first() else { return Ok(None) };
    if (1..0x80).contains(&first) && usize::from(first) <= limit {
        return Ok(Some(Extent { header: 1, body: usize::from(first) }));
    }
    long_extent(bytes, limit)
}

fn long_extent(bytes: &[u8], limit: usize) -> Result<Option<Extent>, AbortCode> {
    let mut body = 0_usize;
    for (at, &byte) in bytes.iter().take(MAX_HEADER).enumerate() {
        body |= usize::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            let header = at + 1;
            return match body {
                0 => Err(AbortCode::Malformed),
                _ if byte == 0 => Err(AbortCode::Malformed),
                _ if body > limit => Err(AbortCode::FrameTooLarge),
                _ => Ok(Some(Extent { header, body })),
            };
        }
    }
    if bytes.len() >= MAX_HEADER { Err(AbortCode::FrameTooLarge) } else { Ok(None) }
}

/// Bytes of the header in front of a body of that many bytes.
pub fn header_len(body: usize) -> usize {
    varint_len(body as u64)
}

/// Writes the header in front of a body of that many bytes.
pub fn write_header(writer: &mut Writer<'_>, body: usize) {
    writer.u64(body as u64);
}

/// What to do with the next bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole frame is at the front of the input: use it where it lies.
    InPlace(Extent),
    /// Put so many bytes of the input behind those that are kept; the frame is not whole yet.
    Keep(usize),
    /// Put so many bytes of the input behind those that are kept; then these are a whole frame.
    Complete(usize, Extent),
}

/// Says how the next bytes of `input` continue the `kept` front of a frame; `input` must not be empty.
///
/// # Errors
///
/// As [`extent`].
#[inline]
pub fn step(kept: &[u8], input: &[u8], limit: usize) -> Result<Step, AbortCode> {
    if kept.is_empty() {
        return Ok(match extent(input, limit)? {
            Some(extent) if extent.total() <= input.len() => Step::InPlace(extent),
            _ => Step::Keep(input.len()),
        });
    }
    step_on(kept, input, limit)
}

/// The same if the front of a frame is kept.
fn step_on(kept: &[u8], input: &[u8], limit: usize) -> Result<Step, AbortCode> {
    Ok(match extent(kept, limit)? {
        // The header itself is cut: it becomes whole byte by byte, and is looked at as soon as it is.
        None => {
            let mut header = [0; MAX_HEADER];
            let mut length = 0;
            for (slot, &byte) in header.iter_mut().zip(kept.iter().chain(input.first())) {
                *slot = byte;
                length += 1;
            }
            let header = header.get(..length).or_bug("a header is longer than the longest");
            extent(header.unwrap_or_default(), limit)?;
            Step::Keep(1)
        }
        Some(extent) => {
            let missing = extent.total().saturating_sub(kept.len());
            if missing <= input.len() { Step::Complete(missing, extent) } else { Step::Keep(input.len()) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Takes frames out of a stream that comes in pieces of `size` bytes.
    fn frames(stream: &[u8], size: usize, limit: usize) -> Result<Vec<Vec<u8>>, AbortCode> {
        let (mut kept, mut frames) = (Vec::new(), Vec::new());
        for piece in stream.chunks(size) {
            let mut input = piece;
            while !input.is_empty() {
                match step(&kept, input, limit)? {
                    Step::InPlace(extent) => {
                        frames.push(input[extent.header..extent.total()].to_vec());
                        input = &input[extent.total()..];
                    }
                    Step::Keep(count) => {
                        kept.extend_from_slice(&input[..count]);
                        input = &input[count..];
                    }
                    Step::Complete(count, extent) => {
                        kept.extend_from_slice(&input[..count]);
                        input = &input[count..];
                        assert_eq!(kept.len(), extent.total());
                        frames.push(kept[extent.header..].to_vec());
                        kept.clear();
                    }
                }
            }
        }
        assert!(kept.is_empty(), "a frame is left over");
        Ok(frames)
    }

    #[test]
    fn any_chunking_gives_the_same_frames() {
        let bodies: Vec<Vec<u8>> =
            [1, 2, 127, 128, 300, 1, 16_384].map(|n: usize| std::vec![n as u8; n]).into();
        let mut stream = Vec::new();
        for body in &bodies {
            let mut header = [0; 4];
            let mut writer = Writer::new(&mut header, 0);
            write_header(&mut writer, body.len());
            let length = writer.written();
            assert_eq!(length, header_len(body.len()));
            stream.extend_from_slice(&header[..length]);
            stream.extend_from_slice(body);
        }
        for size in [1, 2, 3, 5, 128, 129, 1000, 100_000] {
            assert_eq!(frames(&stream, size, 20_000), Ok(bodies.clone()), "pieces of {size}");
        }
    }

    #[test]
    fn a_length_above_the_limit_is_found_from_the_header() {
        for size in [1, 10] {
            assert_eq!(frames(&[0x65, 1], size, 100), Err(AbortCode::FrameTooLarge));
            assert_eq!(frames(&[0xff, 0xff, 0xff, 0xff, 0x0f], size, 100), Err(AbortCode::FrameTooLarge));
            assert_eq!(frames(&[0xff, 0xff, 0xff, 0x7f], size, 100), Err(AbortCode::FrameTooLarge));
            assert_eq!(frames(&[0x00], size, 100), Err(AbortCode::Malformed));
            assert_eq!(frames(&[0x81, 0x00], size, 100), Err(AbortCode::Malformed));
        }
    }
}
