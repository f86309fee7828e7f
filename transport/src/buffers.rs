//! The sizes of buffers, and how one is filled.

/// One read takes as much as this, and everything that it brought is handled before the next.
pub const INPUT: usize = 256 * 1024;

/// What a link keeps of the input that the broker has not taken, when all links are busy: so much is read at once then, and of a
/// link that has left something before. The rest stays in its socket. More than the 256 small messages that a broker takes in
/// one call.
pub(crate) const UNTAKEN: usize = 16 * 1024;

/// All links together keep so much beyond that.
pub(crate) const UNTAKEN_BESIDES: usize = 1024 * 1024;

/// One write gives as much as this; who has more gets the next turn after the others. It is also the most that is kept
/// for a link whose socket does not take it.
///
/// The largest packet of a loopback, and of what a network card is given to cut up, has 64 KiB with its headers: a write of
/// 64 KiB without them would be two.
pub const OUTPUT: usize = 63 * 1024;

/// The same on a line, which may need a second for a kilobyte: what waits here cannot be overtaken by anything, and is sent
/// again when its answer is long in coming.
pub(crate) const LINE_OUTPUT: usize = 1024;

/// Fills `output` with what `poll` writes to the front of the room that it is given, until that is nothing; returns how
/// much there is.
pub fn fill(output: &mut [u8], mut poll: impl FnMut(&mut [u8]) -> usize) -> usize {
    let mut filled = 0;
    while filled < output.len() {
        match poll(&mut output[filled..]) {
            0 => break,
            count => filled += count,
        }
    }
    filled
}
