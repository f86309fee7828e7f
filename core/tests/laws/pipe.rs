//! What lies between two ends: a stream, of which any part may come, or datagrams, which come whole or not at all.

use e_pigeon_core::Framing;

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    framing: Framing,
    /// Datagrams, or all of a stream as one piece.
    pieces: Vec<Vec<u8>>,
}

/// What happens to the first frame or byte that is on its way, where the framing is lossy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    Lost,
    Twice,
    Later,
}

impl Pipe {
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing, pieces: Vec::new() }
    }

    pub(crate) fn put(&mut self, written: &[Vec<u8>]) {
        for piece in written {
            match self.pieces.last_mut() {
                Some(stream) if self.framing != Framing::Datagram => stream.extend_from_slice(piece),
                _ => self.pieces.push(piece.clone()),
            }
        }
    }

    /// Takes at most so many bytes, or as many datagrams as begin in them.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        let mut left = most;
        while left > 0 && !self.pieces.is_empty() {
            let length = self.pieces[0].len();
            if self.framing == Framing::Datagram || length <= left {
                taken.push(self.pieces.remove(0));
            } else {
                taken.push(self.pieces[0].drain(..left).collect());
            }
            left = left.saturating_sub(length);
        }
        taken
    }

    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
    }

    /// Does that to what is next, where it can happen to this framing.
    pub(crate) fn suffer(&mut self, mishap: Mishap) {
        if self.pieces.is_empty() {
            return;
        }
        match (self.framing, mishap) {
            (Framing::Datagram, Mishap::Lost) => drop(self.pieces.remove(0)),
            (Framing::Datagram, Mishap::Twice) => self.pieces.push(self.pieces[0].clone()),
            (Framing::Datagram, Mishap::Later) => self.pieces.rotate_left(1),
            // A byte of a line is damaged, lost, or comes twice.
            (Framing::Cobs, mishap) if !self.pieces[0].is_empty() => {
                let line = &mut self.pieces[0];
                match mishap {
                    Mishap::Lost => drop(line.remove(0)),
                    Mishap::Twice => line.insert(0, line[0]),
                    Mishap::Later => line[0] ^= 0x10,
                }
            }
            _ => {}
        }
    }
}
