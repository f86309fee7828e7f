//! What has happened so far, as the clients saw it: written by their threads, read by the story and by the check.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use e_pigeon_core::Established;

use super::content::Label;

/// A final receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) delivered: u32,
    pub(crate) recipients: u32,
}

/// One message, as its sender knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// The broker has said that it has it.
    pub(crate) accepted: bool,
    /// Its final receipts, which are to be one.
    pub(crate) answers: Vec<Answer>,
}

/// One client, as it sees itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    pub(crate) is_up: bool,
    pub(crate) fresh: u64,
    pub(crate) resumed: u64,
    pub(crate) lost: u64,
    /// What came, in the order in which it came.
    pub(crate) received: Vec<Label>,
    /// How many messages were none of the demo's, or not whole.
    pub(crate) damaged: u64,
    /// Why it has ended, if it has before its time.
    pub(crate) failure: Option<String>,
}

impl Member {
    pub(crate) fn established(&mut self, how: Established) {
        self.is_up = true;
        *match how {
            Established::Fresh => &mut self.fresh,
            Established::Resumed => &mut self.resumed,
            Established::Lost => &mut self.lost,
        } += 1;
    }
}

/// All that has happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    /// By stream and number.
    pub(crate) sent: Vec<Vec<Sent>>,
    pub(crate) members: Vec<Member>,
    /// The senders may send.
    pub(crate) flowing: bool,
    /// Everybody may leave.
    pub(crate) over: bool,
}

impl Records {
    pub(crate) fn new(streams: usize, members: usize) -> Self {
        Self { sent: vec![Vec::new(); streams], members: vec![Member::default(); members], ..Self::default() }
    }

    /// How many messages of each stream were sent.
    pub(crate) fn sent_so_far(&self) -> Vec<usize> {
        self.sent.iter().map(Vec::len).collect()
    }

    /// How many messages from the beginning of each stream the broker is known to have had.
    pub(crate) fn accepted_so_far(&self) -> Vec<usize> {
        let known = |sent: &&Sent| sent.accepted || !sent.answers.is_empty();
        self.sent.iter().map(|stream| stream.iter().take_while(known).count()).collect()
    }

    pub(crate) fn delivered(&self) -> usize {
        self.members.iter().map(|member| member.received.len()).sum()
    }

    pub(crate) fn are_up(&self, members: &[usize]) -> bool {
        members.iter().all(|member| self.members[*member].is_up)
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.sent.iter().flatten().filter(|sent| sent.answers.is_empty()).count()
    }
}

/// The records, for many threads.
#[derive(Debug)]
pub(crate) struct Shared {
    records: Mutex<Records>,
    changed: Condvar,
}

impl Shared {
    pub(crate) fn new(records: Records) -> Self {
        Self { records: Mutex::new(records), changed: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called after a change that somebody may wait for.
    pub(crate) fn tell(&self) {
        self.changed.notify_all();
    }

    /// Waits until it is so, at most until `limit`. Says whether it came to be so.
    pub(crate) fn wait(&self, limit: Instant, mut is_so: impl FnMut(&Records) -> bool) -> bool {
        let mut records = self.lock();
        loop {
            if is_so(&records) {
                return true;
            }
            let left = limit.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return false;
            }
            records = self.changed.wait_timeout(records, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
