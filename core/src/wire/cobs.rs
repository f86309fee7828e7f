//! Frames on a line that damages bytes: consistent overhead byte stuffing, with a CRC-32 behind the content.
//!
//! A zero ends a frame and stands nowhere else, so after whatever damage the next zero is where reading goes on: a
//! damaged frame costs one frame. (PROTOCOL.md, "Lossy framed transports")

#[cfg(not(feature = "alloc"))]
use crc::NoTable;
use crc::{CRC_32_ISO_HDLC, Crc};

/// A table of 1 KiB makes it fast; if there is no allocator, flash costs more than the time of a slow line.
#[cfg(feature = "alloc")]
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
#[cfg(not(feature = "alloc"))]
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);
/// Bytes of the checksum.
pub const CHECKSUM: usize = 4;
/// The most bytes between two code bytes.
const MAX_RUN: usize = 254;

/// The most bytes that content of that many bytes, without the checksum, has on the line.
pub const fn stuffed_len(content: usize) -> usize {
    headroom(content) + content + CHECKSUM + 1
}

/// Where content of that many bytes has to lie in a buffer that [`stuff`] is given.
pub const fn headroom(content: usize) -> usize {
    1 + (content + CHECKSUM) / MAX_RUN
}

/// Makes a frame of the `content` bytes that lie in `buffer` behind the [`headroom`], and returns how many bytes it has
/// at the front of `buffer`: with the checksum, stuffed, with the zero at its end. `buffer` has [`stuffed_len`] bytes
/// or more; of a shorter one nothing is made.
pub fn stuff(buffer: &mut [u8], content: usize) -> usize {
    let start = headroom(content);
    // The buffer is too short.
    let Some(checksum) = buffer.get(start..start + content).map(|bytes| CRC.checksum(bytes)) else {
        return 0;
    };
    // It has no room for the checksum.
    let Some(room) = buffer.get_mut(start + content..start + content + CHECKSUM) else { return 0 };
    room.copy_from_slice(&checksum.to_le_bytes());
    if buffer.len() < stuffed_len(content) {
        return 0;
    }
    // What is written never overtakes what is read: the headroom is all that stuffing can add.
    let put = |at: usize, byte: u8, buffer: &mut [u8]| {
        if let Some(slot) = buffer.get_mut(at) {
            *slot = byte;
        }
    };
    let (mut code_at, mut end) = (0, 1);
    for at in start..start + content + CHECKSUM {
        let byte = buffer.get(at).copied().unwrap_or(0);
        if byte != 0 {
            put(end, byte, buffer);
            end += 1;
        }
        if byte == 0 || end - code_at > MAX_RUN {
            // At most 255.
            put(code_at, (end - code_at) as u8, buffer);
            code_at = end;
            end += 1;
        }
    }
    put(code_at, (end - code_at) as u8, buffer);
    put(end, 0, buffer);
    end + 1
}

/// A frame that came damaged: it is as if it had not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Takes frames out of the bytes of a line, whatever pieces they come in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unstuffing {
    /// A code byte of this frame was read.
    begun: bool,
    /// Bytes until the next code byte.
    run: u8,
    /// A zero stands where that run ends, unless the frame ends there.
    zero: bool,
    length: usize,
    too_long: bool,
}

impl Unstuffing {
    /// Takes bytes up to the end of the first frame, puts its content at the front of `content`, and returns how many
    /// bytes were taken, and how many the content has if the frame is whole. `content` keeps the front of a frame
    /// between calls. Nothing is kept beyond it: a frame that is longer counts as damaged.
    pub fn take(&mut self, input: &[u8], content: &mut [u8]) -> (usize, Option<Result<usize, Damaged>>) {
        for (at, &byte) in input.iter().enumerate() {
            if byte != 0 {
                self.byte(byte, content);
            } else if self.begun {
                return (at + 1, Some(core::mem::take(self).finish(content)));
            }
        }
        (input.len(), None)
    }

    fn byte(&mut self, byte: u8, content: &mut [u8]) {
        if self.run > 0 {
            self.run -= 1;
            self.put(byte, content);
            return;
        }
        if self.zero {
            self.put(0, content);
        }
        (self.begun, self.run, self.zero) = (true, byte - 1, byte <= MAX_RUN as u8);
    }

    fn put(&mut self, byte: u8, content: &mut [u8]) {
        match content.get_mut(self.length) {
            Some(slot) => {
                *slot = byte;
                self.length += 1;
            }
            None => self.too_long = true,
        }
    }

    /// The content of a frame that ends here.
    fn finish(self, content: &[u8]) -> Result<usize, Damaged> {
        let length = self.length.checked_sub(CHECKSUM).ok_or(Damaged)?;
        let (bytes, rest) = content.split_at_checked(length).ok_or(Damaged)?;
        let checksum = rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let is_whole = self.run == 0 && !self.too_long && checksum == Some(CRC.checksum(bytes));
        if is_whole { Ok(length) } else { Err(Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn stuffed(content: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0x55; stuffed_len(content.len())];
        let at = headroom(content.len());
        buffer[at..at + content.len()].copy_from_slice(content);
        let length = stuff(&mut buffer, content.len());
        buffer.truncate(length);
        buffer
    }

    fn frames(line: &[u8], size: usize, room: usize) -> Vec<Result<Vec<u8>, Damaged>> {
        let (mut unstuffing, mut content, mut frames) = (Unstuffing::default(), vec![0; room], Vec::new());
        for piece in line.chunks(size) {
            let mut input = piece;
            while !input.is_empty() {
                let (taken, frame) = unstuffing.take(input, &mut content);
                input = &input[taken..];
                frames.extend(frame.map(|frame| frame.map(|length| content[..length].to_vec())));
            }
        }
        frames
    }

    fn contents() -> Vec<Vec<u8>> {
        let mut contents = vec![vec![0], vec![0; 5], vec![7], vec![1, 0, 2], vec![0; 600]];
        for length in [1, 249, 250, 251, 252, 253, 254, 255, 256, 504, 505, 508, 509, 3_000] {
            contents.push((0..length).map(|n: usize| (n % 255) as u8 + 1).collect());
            contents.push((0..length).map(|n: usize| (n % 255) as u8).collect());
        }
        contents
    }

    #[test]
    fn content_comes_back_whatever_the_pieces() {
        let contents = contents();
        let line: Vec<u8> = contents.iter().flat_map(|content| stuffed(content)).collect();
        let whole: Vec<_> = contents.into_iter().map(Ok).collect();
        for size in [1, 2, 3, 7, 254, 255, 1_000, 1 << 20] {
            assert_eq!(frames(&line, size, 3_004), whole, "pieces of {size}");
        }
    }

    #[test]
    fn a_zero_stands_at_the_end_of_a_frame_and_nowhere_else() {
        for content in contents() {
            let frame = stuffed(&content);
            assert!(frame.len() <= stuffed_len(content.len()));
            assert_eq!(frame.iter().position(|&byte| byte == 0), Some(frame.len() - 1));
        }
    }

    #[test]
    fn a_damaged_frame_costs_one_frame() {
        let (good, bad) = (stuffed(b"good"), stuffed(b"this one is damaged"));
        for at in 0..bad.len() - 1 {
            for bit in 0..8 {
                let mut line = good.clone();
                line.extend_from_slice(&bad);
                line[good.len() + at] ^= 1 << bit;
                line.extend_from_slice(&good);
                let frames = frames(&line, 5, 64);
                let whole: Vec<_> = frames.iter().flatten().collect();
                assert_eq!(whole, [b"good", b"good"], "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_frame_that_is_too_long_or_too_short_counts_as_damaged() {
        assert_eq!(frames(&stuffed(&[9; 61]), 10, 64), [Err(Damaged)]);
        assert_eq!(frames(&stuffed(&[9; 60]), 10, 64), [Ok(vec![9; 60])]);
        assert_eq!(frames(&[0, 0, 1, 0, 0, 2, 7, 0, 5, 1, 0], 1, 64), [const { Err(Damaged) }; 3]);
    }
}
