//! Framing: a stream gives the same frames and the same fault however it is cut, and frames give the stream back.

use e_pigeon_core::AbortCode;
use e_pigeon_core::codec::Writer;
use e_pigeon_core::wire::cobs::{self, Damaged, Unstuffing};
use e_pigeon_core::wire::frame::{Step, header_len, step, write_header};

/// The most bytes of a header: what a reader keeps besides the largest body.
const MAX_HEADER: usize = 4;

/// What a reader made of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    /// The bodies of all frames that were whole.
    bodies: Vec<Vec<u8>>,
    /// What is kept of a frame that is not whole, or what is wrong with the stream.
    end: Result<Vec<u8>, AbortCode>,
}

/// The first byte chooses the framing, the second the limit, the third how the stream is cut at random; the others are
/// the stream. Where datagrams are the frames there is nothing to be found.
///
/// # Panics
///
/// Where the framing breaks a promise.
pub fn frame(data: &[u8]) {
    let [framing, limit, seed, stream @ ..] = data else { return };
    let limit = limit_of(*limit);
    if framing.is_multiple_of(2) {
        length_delimited(stream, limit, *seed);
    } else {
        stuffed(stream, limit, *seed);
    }
}

/// Limits from one byte to more than a stream of the fuzzer ever has.
fn limit_of(choice: u8) -> usize {
    match choice {
        0..=127 => usize::from(choice) + 1,
        128..=250 => usize::from(choice) * 16,
        _ => 1 << 16,
    }
}

fn length_delimited(stream: &[u8], limit: usize, seed: u8) {
    let whole = read(std::iter::once(stream), limit);
    assert_eq!(read(stream.chunks(1), limit), whole, "byte by byte");
    assert_eq!(read(pieces(stream, seed), limit), whole, "cut at random");
    let mut again = Vec::new();
    for body in &whole.bodies {
        assert!((1..=limit).contains(&body.len()), "a body of {} bytes, {limit} is the limit", body.len());
        put(&mut again, body);
    }
    again.extend_from_slice(whole.end.as_deref().unwrap_or_default());
    assert!(stream.starts_with(&again), "frames that are written give the stream that was read");
    assert!(whole.end.is_err() || again.len() == stream.len(), "every byte is in a frame or kept");
    // The other way round: whatever the stream is, it can be the body of a frame.
    if !stream.is_empty() {
        let mut framed = Vec::new();
        put(&mut framed, stream);
        assert_eq!(framed.len(), header_len(stream.len()) + stream.len());
        let expected = Read { bodies: vec![stream.to_vec()], end: Ok(Vec::new()) };
        assert_eq!(read(pieces(&framed, seed), stream.len()), expected);
        let above = read(pieces(&framed, seed), stream.len() - 1).end;
        assert_eq!(above, Err(AbortCode::FrameTooLarge), "found from the header");
    }
}

/// A line that damages bytes: its frames, and where they were damaged.
type Line = Vec<Result<Vec<u8>, Damaged>>;

fn stuffed(line: &[u8], limit: usize, seed: u8) {
    let whole = unstuff(std::iter::once(line), limit);
    assert_eq!(unstuff(line.chunks(1), limit), whole, "byte by byte");
    assert_eq!(unstuff(pieces(line, seed), limit), whole, "cut at random");
    let zeros = line.iter().filter(|&&byte| byte == 0).count();
    assert!(whole.len() <= zeros, "a zero ends a frame, and nothing else does");
    // Every frame that was whole comes again, and so does the line itself as the content of one. What is in front of a
    // frame, whatever it is, costs no more than itself.
    for content in whole.iter().flatten().map(Vec::as_slice).chain([line]) {
        let framed = stuff(content);
        assert_eq!(
            framed.iter().position(|&byte| byte == 0),
            Some(framed.len() - 1),
            "the zero is at the end"
        );
        let stream = [line, &[0], &framed].concat();
        let frames = unstuff(pieces(&stream, seed), content.len().max(limit));
        assert_eq!(frames.last(), Some(&Ok(content.to_vec())));
    }
}

/// A frame as it goes over a line.
pub(super) fn stuff(content: &[u8]) -> Vec<u8> {
    let at = cobs::headroom(content.len());
    let mut buffer = vec![0x55; cobs::stuffed_len(content.len())];
    buffer[at..at + content.len()].copy_from_slice(content);
    let length = cobs::stuff(&mut buffer, content.len());
    buffer.truncate(length);
    buffer
}

/// Reads a line that comes in pieces, as both machines do.
fn unstuff<'a>(pieces: impl Iterator<Item = &'a [u8]>, limit: usize) -> Line {
    let (mut unstuffing, mut frames) = (Unstuffing::default(), Vec::new());
    let mut content = vec![0; limit + cobs::CHECKSUM];
    for piece in pieces {
        let mut input = piece;
        while !input.is_empty() {
            let (taken, frame) = unstuffing.take(input, &mut content);
            assert!((1..=input.len()).contains(&taken), "it must go on");
            input = &input[taken..];
            frames.extend(frame.map(|frame| frame.map(|length| content[..length].to_vec())));
        }
    }
    frames
}

fn put(stream: &mut Vec<u8>, body: &[u8]) {
    let mut header = [0; MAX_HEADER];
    let mut writer = Writer::new(&mut header, 0);
    write_header(&mut writer, body.len());
    let written = writer.written();
    stream.extend(header.iter().take(written));
    stream.extend_from_slice(body);
}

/// Reads a stream that comes in pieces, as both machines do.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, limit: usize) -> Read {
    let (mut kept, mut bodies) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut input = piece;
        while !input.is_empty() {
            match step(&kept, input, limit) {
                Ok(Step::InPlace(extent)) => {
                    let (frame, rest) = input.split_at(extent.total());
                    bodies.push(frame[extent.header..].to_vec());
                    input = rest;
                }
                Ok(Step::Keep(count)) => {
                    assert!(count > 0, "it must go on");
                    kept.extend_from_slice(&input[..count]);
                    input = &input[count..];
                }
                Ok(Step::Complete(count, extent)) => {
                    kept.extend_from_slice(&input[..count]);
                    input = &input[count..];
                    assert_eq!(kept.len(), extent.total());
                    bodies.push(kept.split_off(extent.header));
                    kept.clear();
                }
                Err(code) => return Read { bodies, end: Err(code) },
            }
            assert!(kept.len() <= MAX_HEADER + limit, "more is kept than a frame may have");
        }
    }
    Read { bodies, end: Ok(kept) }
}

/// Cuts bytes into pieces of 1 to 16 bytes, or up to all that is left, as the seed says.
fn pieces(mut bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed) + 1;
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let most = if state >> 30 == 0 { bytes.len() } else { 16 };
        let size = 1 + (state >> 8) as usize % most;
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        bytes = rest;
        Some(piece)
    })
}
