//! The list of ready links, from which an adapter learns which link to serve. Routing writes its effects on links here, so
//! it needs to know no links.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::num::NonZeroU64;

/// The name of a link of a broker. It never names another link later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId {
    index: u32,
    generation: NonZeroU64,
}

impl LinkId {
    pub(crate) fn new(index: u32, generation: NonZeroU64) -> Self {
        Self { index, generation }
    }

    /// A small number, for tables of adapters. No other open link has it, but a later link may.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// What the embedder has to do for a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// The link has something to write: call `poll_transmit` until it returns 0.
    Transmit(LinkId),
    /// The link reads again: call `handle_input` with the input that it has not read before.
    Resume(LinkId),
    /// The link has ended: write what `poll_transmit` has returned, close the transport, and call `handle_disconnected`.
    Close(LinkId),
}

/// The reasons why a link is in the list.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    /// It has something to write.
    listed: bool,
    /// It had something to write, and has not written everything since. An acknowledgement that is not urgent waits for
    /// that.
    awake: bool,
    /// It reads again.
    resumes: bool,
}

/// All ready links, each at most once for each reason.
#[derive(Debug, Default)]
pub(crate) struct ReadyList {
    list: VecDeque<Ready>,
    /// By the index of a link. The marks are not stored with the links, because a message to many recipients changes many
    /// of them.
    marks: Vec<Mark>,
    /// The generation of the link at each index; `None` if there is no link.
    generations: Vec<Option<NonZeroU64>>,
}

impl ReadyList {
    /// Adds a link.
    pub(crate) fn add_link(&mut self, id: LinkId) {
        let places = self.marks.len().max(id.index() + 1);
        self.marks.resize(places, Mark::default());
        self.generations.resize(places, None);
        if let Some(mark) = self.marks.get_mut(id.index()) {
            *mark = Mark::default();
        }
        if let Some(generation) = self.generations.get_mut(id.index()) {
            *generation = Some(id.generation);
        }
    }

    /// Removes a link. Its entries in the list are skipped.
    pub(crate) fn remove_link(&mut self, id: LinkId) {
        if let Some(generation) = self.generations.get_mut(id.index()) {
            *generation = None;
        }
    }

    /// Marks a link as having something to write.
    #[inline]
    pub(crate) fn wake(&mut self, id: LinkId) {
        // A session may name a link that is gone. Its index has a mark all the same, unless memory was given back.
        let Some(mark) = self.marks.get_mut(id.index()) else { return };
        mark.awake = true;
        if !core::mem::replace(&mut mark.listed, true) {
            self.push(Ready::Transmit(id));
        }
    }

    /// Marks a link as reading again.
    #[cold]
    pub(crate) fn resume(&mut self, id: LinkId) {
        let mark = self.marks.get_mut(id.index());
        if mark.is_some_and(|mark| !core::mem::replace(&mut mark.resumes, true)) {
            self.push(Ready::Resume(id));
        }
    }

    /// Adds a link that is to be closed. Must be called once for each link.
    pub(crate) fn close(&mut self, id: LinkId) {
        self.push(Ready::Close(id));
    }

    /// Marks a link as having written everything.
    #[inline]
    pub(crate) fn idle(&mut self, index: u32) {
        if let Some(mark) = self.marks.get_mut(index as usize) {
            mark.awake = false;
        }
    }

    /// True if a link had something to write and has not written everything.
    #[inline]
    pub(crate) fn is_awake(&self, index: u32) -> bool {
        self.marks.get(index as usize).is_some_and(|mark| mark.awake)
    }

    /// Adds an entry. Links that are gone leave the list before it grows.
    #[inline(never)] // Most often a link stands in it already, and nothing is added.
    fn push(&mut self, ready: Ready) {
        if self.list.len() == self.list.capacity() {
            self.remove_gone();
        }
        self.list.push_back(ready);
    }

    #[cold]
    fn remove_gone(&mut self) {
        let Self { list, generations, .. } = self;
        list.retain(|ready| is_there(generations, *ready));
    }

    /// Gives back memory that is not in use; all links have smaller indices than `places`.
    pub(crate) fn give_back(&mut self, places: usize) {
        self.list.shrink_to(2 * self.list.len());
        self.marks.truncate(places);
        self.marks.shrink_to(2 * self.marks.len());
        self.generations.truncate(places);
        self.generations.shrink_to(2 * self.generations.len());
    }

    /// Removes the next entry.
    pub(crate) fn pop(&mut self) -> Option<Ready> {
        while let Some(ready) = self.list.pop_front() {
            // The link may have ended since it was added.
            if !is_there(&self.generations, ready) {
                continue;
            }
            let (Ready::Transmit(id) | Ready::Resume(id) | Ready::Close(id)) = ready;
            if let Some(mark) = self.marks.get_mut(id.index()) {
                match ready {
                    Ready::Transmit(_) => (mark.listed, mark.awake) = (false, true),
                    Ready::Resume(_) => mark.resumes = false,
                    Ready::Close(_) => {}
                }
            }
            return Some(ready);
        }
        None
    }
}

fn is_there(generations: &[Option<NonZeroU64>], ready: Ready) -> bool {
    let (Ready::Transmit(id) | Ready::Resume(id) | Ready::Close(id)) = ready;
    generations.get(id.index()) == Some(&Some(id.generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_link_is_named_once_for_each_kind_and_one_that_is_gone_never() {
        let mut ready = ReadyList::default();
        let link = |index, generation| LinkId::new(index, NonZeroU64::new(generation).unwrap());
        let (old, other) = (link(0, 1), link(1, 2));
        ready.add_link(old);
        ready.add_link(other);
        for id in [old, old, other] {
            ready.wake(id);
        }
        ready.resume(old);
        assert_eq!(ready.pop(), Some(Ready::Transmit(old)));
        assert!(ready.is_awake(0));
        ready.remove_link(old);
        let new = link(0, 3);
        ready.add_link(new);
        assert!(!ready.is_awake(0));
        ready.wake(new);
        ready.close(other);
        let rest: Vec<_> = core::iter::from_fn(|| ready.pop()).collect();
        assert_eq!(rest, [Ready::Transmit(other), Ready::Transmit(new), Ready::Close(other)]);
        ready.idle(0);
        assert!(!ready.is_awake(0));
        ready.wake(new);
        assert_eq!(ready.pop(), Some(Ready::Transmit(new)));
    }

    #[test]
    fn the_list_grows_no_further_than_what_lives() {
        let mut ready = ReadyList::default();
        for generation in 1..10_000 {
            let id = LinkId::new(0, NonZeroU64::new(generation).unwrap());
            ready.add_link(id);
            ready.wake(id);
            ready.resume(id);
            ready.remove_link(id);
        }
        assert!(ready.list.capacity() < 16, "{}", ready.list.capacity());
        assert_eq!(ready.pop(), None);
    }
}
