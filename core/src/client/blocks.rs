//! Bytes in chains of small blocks: any length fits wherever blocks are free, and nothing is ever moved.

use super::memory::{Cutter, NONE, Table, record};
use crate::bug::OrBug;
use crate::codec::shift;
use core::ops::Range;

/// Bytes of content in a block, where there are that many in all.
const BLOCK: u32 = 96;
const NO_BLOCK: &str = "a block lies outside the memory";

record! {
    /// The next block of the chain, or the next free one.
    NEXT: u32,
    /// The content of the block follows.
    => CONTENT
}

/// The blocks, those in use and those that are free.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    table: Table,
    /// Bytes of content in a block.
    size: u32,
    first_free: u32,
    available: u32,
}

impl Blocks {
    /// Blocks for so many bytes in all.
    pub(super) fn new(cutter: &mut Cutter, bytes: u32) -> Self {
        let size = bytes.clamp(1, BLOCK);
        let table = cutter.table(CONTENT + size as usize, bytes.div_ceil(size));
        Self { table, size, first_free: NONE, available: 0 }
    }

    /// Makes all blocks free.
    pub(super) fn format(&mut self, m: &mut [u8]) {
        for block in (0..self.table.count()).rev() {
            self.table.set(m, block, NEXT, self.first_free);
            self.first_free = block;
        }
        self.available = self.table.count();
    }

    /// How many blocks hold so many bytes.
    pub(super) fn needed(&self, length: usize) -> u32 {
        // Lengths were checked against limits that came from 32 bits; a block is never empty.
        (length as u32).saturating_add(self.size - 1).checked_div(self.size).unwrap_or(0)
    }

    /// True if so many bytes fit the blocks that are free.
    pub(super) fn hold(&self, length: usize) -> bool {
        u64::from(self.available) * u64::from(self.size) >= length as u64
    }

    /// How many blocks are free.
    pub(super) fn available(&self) -> u32 {
        self.available
    }

    /// Lets `write` put `length` bytes into free blocks, which the caller has seen to, and returns the first; `None`
    /// where it puts in more or less.
    pub(super) fn fill(
        &mut self,
        m: &mut [u8],
        length: usize,
        write: impl FnOnce(&mut Filler<'_>),
    ) -> Option<u32> {
        let first = self.first_free;
        let mut filler = Filler {
            m,
            table: self.table,
            block: NONE,
            next: first,
            at: 0,
            end: 0,
            used: 0,
            left: Some(length),
        };
        write(&mut filler);
        let Filler { block: last, next, used, left, .. } = filler;
        if left != Some(0) {
            return None;
        }
        if last == NONE {
            return Some(NONE);
        }
        self.first_free = next;
        self.table.set(m, last, NEXT, NONE);
        self.available -= used;
        Some(first)
    }

    /// Frees a chain.
    pub(super) fn free(&mut self, m: &mut [u8], first: u32) {
        let mut block = first;
        while block != NONE {
            let record = self.table.record_mut::<CONTENT>(m, block).or_bug("a block has no record");
            let Some(record) = record else { return };
            let next = NEXT.of(record);
            NEXT.put(record, self.first_free);
            self.first_free = block;
            self.available += 1;
            block = next;
        }
    }

    /// The bytes of a chain from `skip` on, `length` of them, piece by piece.
    pub(super) fn pieces<'m>(
        &self,
        m: &'m [u8],
        first: u32,
        skip: usize,
        length: usize,
    ) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        let mut ranges = Ranges { table: self.table, block: first, skip, left: length };
        core::iter::from_fn(move || {
            let range = ranges.next(m)?;
            m.get(range).or_bug(NO_BLOCK)
        })
    }

    /// Copies the first `length` bytes of a chain to another place in memory.
    pub(super) fn copy(&self, m: &mut [u8], first: u32, length: usize, mut to: usize) {
        let mut ranges = Ranges { table: self.table, block: first, skip: 0, left: length };
        while let Some(range) = ranges.next(m) {
            let length = range.len();
            shift(m, range, to);
            to += length;
        }
    }
}

/// Puts bytes into free blocks, one behind the other.
pub(super) struct Filler<'m> {
    m: &'m mut [u8],
    table: Table,
    /// The block that is being filled, and the one behind it.
    block: u32,
    next: u32,
    /// What is left of it.
    at: usize,
    end: usize,
    /// How many blocks were begun.
    used: u32,
    /// How many bytes are still to come; `None` if more came than were to.
    left: Option<usize>,
}

impl Filler<'_> {
    /// What was put in is not to be kept.
    #[cfg(feature = "typed")]
    pub(super) fn fail(&mut self) {
        self.left = None;
    }

    /// Adds bytes.
    pub(super) fn put(&mut self, mut part: &[u8]) {
        self.left = self.left.and_then(|left| left.checked_sub(part.len()));
        if self.left.is_none() {
            return;
        }
        while !part.is_empty() {
            if self.at == self.end {
                self.begin_block();
            }
            let Some(room) = self.m.get_mut(self.at..self.end).or_bug(NO_BLOCK) else { return };
            let count = part.len().min(room.len());
            let (now, later) = part.split_at(count);
            if let Some(room) = room.get_mut(..count) {
                room.copy_from_slice(now);
            }
            part = later;
            self.at += count;
        }
    }

    fn begin_block(&mut self) {
        self.block = self.next;
        self.next = self.table.get(self.m, self.block, NEXT);
        let content = self.table.range(self.block, CONTENT);
        (self.at, self.end) = (content.start, content.end);
        self.used += 1;
    }
}

/// Goes along a chain.
struct Ranges {
    table: Table,
    block: u32,
    skip: usize,
    left: usize,
}

impl Ranges {
    fn next(&mut self, m: &[u8]) -> Option<Range<usize>> {
        while self.left > 0 && self.block != NONE {
            let range = self.table.range(self.block, CONTENT);
            let here = self.skip.min(range.len());
            let start = range.start + here;
            let end = range.end.min(start + self.left);
            self.skip -= here;
            self.left -= end - start;
            if self.left > 0 {
                self.block = self.table.get(m, self.block, NEXT);
            }
            if start < end {
                return Some(start..end);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn what_is_filled_in_comes_out_whatever_was_freed_before() {
        let mut cutter = Cutter::default();
        let mut blocks = Blocks::new(&mut cutter, 10 * BLOCK);
        let mut m = std::vec![0; cutter.used()];
        blocks.format(&mut m);
        let content: Vec<u8> = (0..=255).cycle().take(4 * BLOCK as usize).collect();
        let mut chains = Vec::new();
        for round in 0..200_usize {
            let length = round * 37 % (3 * BLOCK as usize + 1);
            while blocks.available() < blocks.needed(length) {
                let (chain, length): (u32, usize) = chains.remove(round % chains.len());
                let found: Vec<u8> = blocks.pieces(&m, chain, 0, length).flatten().copied().collect();
                assert_eq!(found, content[..length]);
                let tail: Vec<u8> = blocks.pieces(&m, chain, length / 2, length).flatten().copied().collect();
                assert!(tail.starts_with(&content[length / 2..length]));
                blocks.free(&mut m, chain);
            }
            let (a, b) = content[..length].split_at(length / 3);
            let filled = blocks.fill(&mut m, length, |filler| {
                filler.put(a);
                filler.put(b);
            });
            chains.push((filled.unwrap(), length));
        }
        chains.into_iter().for_each(|(chain, _)| blocks.free(&mut m, chain));
        assert_eq!(blocks.available(), 10);
    }
}
