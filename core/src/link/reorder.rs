//! Items that came before an earlier one that is missing, kept until it comes.

use crate::codec::shift;
use core::ops::Range;

/// The number of an item and the length of its body stand in front of it.
const HEAD: usize = 8 + 4;

/// Items behind each other in a buffer of the caller, in no order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reorder {
    used: usize,
}

impl Reorder {
    /// Nothing is kept any more.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    /// Keeps an item; false if it has no room.
    pub(crate) fn keep(&mut self, buffer: &mut [u8], number: u64, body: &[u8]) -> bool {
        // It has no room, and the item comes again.
        let Some(room) = buffer.get_mut(self.used..).and_then(|free| free.get_mut(..HEAD + body.len()))
        else {
            return false;
        };
        let (head, rest) = room.split_at_mut(HEAD);
        // A frame is far shorter than that.
        let length = (body.len() as u32).to_le_bytes();
        for (to, from) in head.iter_mut().zip(number.to_le_bytes().into_iter().chain(length)) {
            *to = from;
        }
        rest.copy_from_slice(body);
        self.used += HEAD + body.len();
        true
    }

    /// Where the body of that item lies, if it is kept.
    pub(crate) fn find(&self, buffer: &[u8], number: u64) -> Option<Range<usize>> {
        let mut at = 0;
        while at < self.used {
            let head = buffer.get(at..)?.first_chunk::<HEAD>()?;
            let (of, length) = head.split_at(8);
            let length = length.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))? as usize;
            let body = at + HEAD..at + HEAD + length;
            if *of == number.to_le_bytes() {
                return Some(body);
            }
            at = body.end;
        }
        None
    }

    /// The item whose body lies there is kept no longer.
    pub(crate) fn remove(&mut self, buffer: &mut [u8], body: &Range<usize>) {
        let start = body.start.saturating_sub(HEAD);
        if body.end <= self.used && self.used <= buffer.len() {
            shift(buffer, body.end..self.used, start);
            self.used -= body.end - start;
        } else {
            bug!("an item lies outside the buffer that keeps it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_by_their_numbers_and_make_room_when_they_go() {
        let mut buffer = [0; 64];
        let mut reorder = Reorder::default();
        assert!(reorder.keep(&mut buffer, 7, b"seven") && reorder.keep(&mut buffer, 5, b""));
        assert!(reorder.keep(&mut buffer, 9, &[9; 20]));
        assert!(!reorder.keep(&mut buffer, 6, b"six"), "61 bytes are in use");
        let seven = reorder.find(&buffer, 7).unwrap();
        assert_eq!(&buffer[seven.clone()], b"seven");
        reorder.remove(&mut buffer, &seven);
        assert_eq!(reorder.find(&buffer, 7), None);
        assert_eq!(reorder.find(&buffer, 5).map(|body| body.len()), Some(0));
        assert_eq!(&buffer[reorder.find(&buffer, 9).unwrap()], [9; 20]);
        assert!(reorder.keep(&mut buffer, 6, b"six"));
        reorder.clear();
        assert_eq!(reorder.find(&buffer, 6), None);
    }
}
