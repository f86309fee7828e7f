//! What becomes of one message, as a future.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use e_pigeon_core::{MessageId, Receipt};

use crate::state::{Shared, Slot};

/// The answer to a message that was sent: a future of its final [`Receipt`].
///
/// It needs no polling to come true, holds up nothing, and can be dropped: then nobody hears what became of the
/// message, which goes its way all the same. Whoever would rather have receipts among the events of
/// [`Client::next_event`](crate::Client::next_event) says [`into_event`](Self::into_event).
#[derive(Debug)]
pub struct Answer {
    shared: Arc<Shared>,
    id: MessageId,
    receipt: Option<Receipt>,
}

/// The client ended before the message was answered. It is not known what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client ended before the receipt of the message arrived")
    }
}

impl std::error::Error for Unanswered {}

impl Answer {
    /// For a message that the state has a slot for.
    pub(crate) fn new(shared: Arc<Shared>, id: MessageId) -> Self {
        Self { shared, id, receipt: None }
    }

    /// The number of the message.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Waits for the first receipt: *accepted*, or the final one where that comes first.
    ///
    /// # Errors
    ///
    /// The client ended before.
    pub async fn accepted(&mut self) -> Result<Receipt, Unanswered> {
        poll_fn(|context| self.poll_receipt(context.waker(), false)).await
    }

    /// Lets the receipts, with those that have come already, be events of
    /// [`Client::next_event`](crate::Client::next_event).
    ///
    /// Whoever says this has to take events: while as many such receipts wait there as the outbox has places, no
    /// other receipt is handed out either.
    pub fn into_event(self) {
        self.shared.with(|state| match state.answers.insert(self.id, Slot::Event) {
            Some(Slot::Held(accepted, waker)) => {
                state.drop_waker(waker);
                if let Some(receipt) = accepted {
                    state.hand_out(receipt);
                }
            }
            Some(Slot::Done(receipt)) => state.hand_out(receipt),
            // It was awaited to its end already.
            Some(Slot::Event) | None => drop(state.answers.remove(&self.id)),
        });
    }

    fn poll_receipt(&mut self, waker: &Waker, is_final: bool) -> Poll<Result<Receipt, Unanswered>> {
        if let Some(receipt) = self.receipt {
            return Poll::Ready(Ok(receipt));
        }
        let (id, kept) = (self.id, &mut self.receipt);
        self.shared.with(|state| {
            let is_over = state.is_over();
            let mut before = None;
            let result = match state.answers.get_mut(&id) {
                Some(Slot::Done(receipt)) => {
                    *kept = Some(*receipt);
                    Poll::Ready(Ok(*receipt))
                }
                Some(Slot::Held(Some(receipt), _)) if !is_final => Poll::Ready(Ok(*receipt)),
                Some(Slot::Held(_, place)) if !is_over => {
                    before = place.replace(waker.clone());
                    Poll::Pending
                }
                _ => Poll::Ready(Err(Unanswered)),
            };
            if kept.is_some() {
                state.answers.remove(&id);
            }
            state.drop_waker(before);
            result
        })
    }
}

impl Future for Answer {
    type Output = Result<Receipt, Unanswered>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_receipt(context.waker(), true)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let id = self.id;
        self.shared.with(|state| {
            // One that became an event stays.
            if !matches!(state.answers.get(&id), Some(Slot::Event))
                && let Some(Slot::Held(_, waker)) = state.answers.remove(&id)
            {
                state.drop_waker(waker);
            }
            state.wanted -= 1;
            state.wake_driver_where_alone();
        });
    }
}
