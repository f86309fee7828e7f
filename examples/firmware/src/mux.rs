//! Several links on one serial line. It loses and damages nothing; the firmware and whoever is at its other end both use this.
//!
//! What goes over the line are pieces: the number of a channel, a length, and so many bytes of the link on that channel. The first
//! piece on a channel begins a link. A piece without bytes ends it, and each end says that once: a channel is free again
//! when both have.

/// The bytes in front of each piece.
pub const HEAD: usize = 2;
/// The most bytes that a piece has.
pub const MAX_PIECE: usize = 255;

/// A part of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'b> {
    /// Bytes came on that channel.
    Bytes(u8, &'b [u8]),
    /// The far end has nothing more to say on that channel.
    End(u8),
}

/// Takes pieces out of what comes in, however that is cut.
#[derive(Debug, Default)]
pub struct Reader {
    channel: Option<u8>,
    /// Bytes of the piece that are still to come.
    left: u8,
}

impl Reader {
    /// Nothing has come yet.
    pub const fn new() -> Self {
        Self { channel: None, left: 0 }
    }

    /// The next piece, or part of one, at the front of `input`, which is moved behind it.
    pub fn take<'b>(&mut self, input: &mut &'b [u8]) -> Option<Piece<'b>> {
        loop {
            if self.left > 0 {
                let count = input.len().min(usize::from(self.left));
                let (bytes, rest) = input.split_at_checked(count)?;
                let channel = self.channel.filter(|_| !bytes.is_empty())?;
                *input = rest;
                // No more than were left.
                self.left -= count as u8;
                if self.left == 0 {
                    self.channel = None;
                }
                return Some(Piece::Bytes(channel, bytes));
            }
            let (&byte, rest) = input.split_first()?;
            *input = rest;
            match self.channel {
                None => self.channel = Some(byte),
                Some(channel) if byte == 0 => {
                    self.channel = None;
                    return Some(Piece::End(channel));
                }
                Some(_) => self.left = byte,
            }
        }
    }
}
