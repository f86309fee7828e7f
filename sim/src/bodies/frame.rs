//! Framing: a stream gives the same frames and the same fault however it is cut, and frames give the stream back.

use e_pigeon_core::Code;
use e_pigeon_core::codec::Writer;
use e_pigeon_core::framing::{Step, header_len, step, write_header};

/// The most bytes of a header: what a reader keeps besides the largest body.
const MAX_HEADER: usize = 4;

/// What a reader made of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    /// The bodies of all frames that were whole.
    bodies: Vec<Vec<u8>>,
    /// What is kept of a frame that is not whole, or what is wrong with the stream.
    end: Result<Vec<u8>, Code>,
}

/// The first byte is kept for the choice of a framing, of which there is one; the second chooses the limit, the third
/// how the stream is cut at random; the others are the stream.
///
/// # Panics
///
/// Where the framing breaks a promise.
pub fn frame(data: &[u8]) {
    let [_framing, limit, seed, stream @ ..] = data else { return };
    length_delimited(stream, limit_of(*limit), *seed);
}

/// Limits from one byte to more than a stream of the fuzzer ever has.
fn limit_of(choice: u8) -> usize {
    match choice {
        0..=127 => usize::from(choice) + 1,
        128..=250 => usize::from(choice) * 16,
        _ => 1 << 20,
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
        assert_eq!(above, Err(Code::FrameTooLarge), "found from the header");
    }
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
