//! What lies between two ends: a stream, of which any part may come, or what may damage, lose, repeat or reorder.

use e_pigeon_core::Framing;

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Line {
    framing: Framing,
    /// Datagrams, or all of a stream as one piece.
    pieces: Vec<Vec<u8>>,
}

impl Line {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, pieces: Vec::new() }
    }

    pub(super) fn put(&mut self, written: &[u8]) {
        match self.pieces.last_mut() {
            Some(stream) if self.framing != Framing::Datagram => stream.extend_from_slice(written),
            _ => self.pieces.push(written.to_vec()),
        }
    }

    /// Bytes that are under way.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// The next piece: at most so many bytes, or a datagram.
    pub(super) fn next(&mut self, most: usize) -> Option<Vec<u8>> {
        let first = self.pieces.first_mut().filter(|_| most > 0)?;
        if self.framing == Framing::Datagram || first.len() <= most {
            return Some(self.pieces.remove(0));
        }
        Some(first.drain(..most).collect())
    }

    /// Puts back what was not taken.
    pub(super) fn put_back(&mut self, rest: Vec<u8>) {
        match self.pieces.first_mut() {
            Some(stream) if self.framing != Framing::Datagram => drop(stream.splice(..0, rest)),
            _ => self.pieces.insert(0, rest),
        }
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
    }

    /// Something happens to the next datagram, or to a byte of a line; nothing to a stream.
    pub(super) fn suffer(&mut self, choice: u8) {
        let Some(first) = self.pieces.first_mut().filter(|first| !first.is_empty()) else { return };
        match (self.framing, choice % 3) {
            (Framing::Datagram, 0) => drop(self.pieces.remove(0)),
            (Framing::Datagram, 1) => {
                let again = first.clone();
                self.pieces.push(again);
            }
            (Framing::Datagram, _) => self.pieces.rotate_left(1),
            (Framing::Cobs, 0) => {
                first.remove(0);
                // The only byte that was under way.
                self.pieces.retain(|piece| !piece.is_empty());
            }
            (Framing::Cobs, 1) => first.insert(0, first[0]),
            (Framing::Cobs, _) => {
                let at = usize::from(choice) % first.len();
                first[at] ^= 1 << (choice % 8);
            }
            _ => {}
        }
    }
}
