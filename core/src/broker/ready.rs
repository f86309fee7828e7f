//! Links that want something: the list from which an adapter learns which link to serve.

use super::links::{LinkId, Links};
use alloc::collections::VecDeque;

/// A link that wants something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It has something to write: call `poll_transmit` until it returns 0.
    Transmit(LinkId),
    /// It goes on reading: offer it the input that was not taken.
    Resume(LinkId),
    /// All that could be said was given out: write it, close the transport, and call `handle_disconnected`.
    Close(LinkId),
}

/// All links that want something, each once for each kind.
#[derive(Debug, Default)]
pub(super) struct ReadyList {
    list: VecDeque<Ready>,
}

impl ReadyList {
    /// Adds a link. Links that are gone leave the list before it grows.
    #[inline(never)] // Most often a link stands in it already, and nothing is added.
    pub(super) fn push(&mut self, ready: Ready, links: &Links) {
        if self.list.len() == self.list.capacity() {
            self.remove_gone(links);
        }
        self.list.push_back(ready);
    }

    #[cold]
    fn remove_gone(&mut self, links: &Links) {
        let is_there =
            |&(Ready::Transmit(id) | Ready::Resume(id) | Ready::Close(id)): &Ready| links.find(id).is_some();
        self.list.retain(is_there);
    }

    /// Gives back memory that is not in use.
    pub(super) fn give_back(&mut self) {
        self.list.shrink_to(2 * self.list.len());
    }

    /// The next link, which leaves the list.
    pub(super) fn pop(&mut self, links: &mut Links) -> Option<Ready> {
        while let Some(ready) = self.list.pop_front() {
            let (Ready::Transmit(id) | Ready::Resume(id) | Ready::Close(id)) = ready;
            // It was closed since it was added.
            let Some(index) = links.find(id) else { continue };
            match ready {
                Ready::Transmit(_) => links.unlist(index),
                Ready::Resume(_) => links.unlist_resume(index),
                Ready::Close(_) => {}
            }
            return Some(ready);
        }
        None
    }
}
