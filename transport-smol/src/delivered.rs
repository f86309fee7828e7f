//! The outcome of one message, as a future.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use e_pigeon_core::{MessageId, Receipt};

use crate::state::{Shared, Slot};

/// The outcome of a message that was sent: a future of its final [`Receipt`].
///
/// The message is delivered without polling this, and also if this is dropped; the receipt is lost then. To get receipts as
/// events of [`Client::next_event`](crate::Client::next_event) use [`into_event`](Self::into_event).
#[derive(Debug)]
pub struct Delivered {
    shared: Arc<Shared>,
    id: MessageId,
    receipt: Option<Receipt>,
}

/// The client ended while the message was in flight: its outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight;

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client ended before the receipt of the message arrived")
    }
}

impl std::error::Error for InFlight {}

impl Delivered {
    /// For a message that has a slot in the shared state.
    pub(crate) fn new(shared: Arc<Shared>, id: MessageId) -> Self {
        Self { shared, id, receipt: None }
    }

    /// The number of the message.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Waits for the first receipt: *accepted*, or the final one if that comes first.
    ///
    /// # Errors
    ///
    /// [`InFlight`] if the client ends before that.
    pub async fn accepted(&mut self) -> Result<Receipt, InFlight> {
        poll_fn(|context| self.poll_receipt(context.waker(), false)).await
    }

    /// Turns the receipts of this message, also those that have come already, into events of
    /// [`Client::next_event`](crate::Client::next_event).
    ///
    /// The application has to take events then: while as many such receipts wait as the outbox has places, no other receipt is
    /// handed out either.
    pub fn into_event(self) {
        self.shared.with(|state| match state.in_flight.insert(self.id, Slot::Event) {
            Some(Slot::Held(accepted, waker)) => {
                state.drop_waker(waker);
                if let Some(receipt) = accepted {
                    state.hand_out(receipt);
                }
            }
            Some(Slot::Done(receipt)) => state.hand_out(receipt),
            // The final receipt was returned already.
            Some(Slot::Event) | None => drop(state.in_flight.remove(&self.id)),
        });
    }

    fn poll_receipt(&mut self, waker: &Waker, is_final: bool) -> Poll<Result<Receipt, InFlight>> {
        if let Some(receipt) = self.receipt {
            return Poll::Ready(Ok(receipt));
        }
        let (id, kept) = (self.id, &mut self.receipt);
        self.shared.with(|state| {
            let is_over = state.is_over();
            let mut before = None;
            let result = match state.in_flight.get_mut(&id) {
                Some(Slot::Done(receipt)) => {
                    *kept = Some(*receipt);
                    Poll::Ready(Ok(*receipt))
                }
                Some(Slot::Held(Some(receipt), _)) if !is_final => Poll::Ready(Ok(*receipt)),
                Some(Slot::Held(_, place)) if !is_over => {
                    before = place.replace(waker.clone());
                    Poll::Pending
                }
                _ => Poll::Ready(Err(InFlight)),
            };
            if kept.is_some() {
                state.in_flight.remove(&id);
            }
            state.drop_waker(before);
            result
        })
    }
}

impl Future for Delivered {
    type Output = Result<Receipt, InFlight>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_receipt(context.waker(), true)
    }
}

impl Drop for Delivered {
    fn drop(&mut self) {
        let id = self.id;
        self.shared.with(|state| {
            // A slot whose receipts are events stays.
            if !matches!(state.in_flight.get(&id), Some(Slot::Event))
                && let Some(Slot::Held(_, waker)) = state.in_flight.remove(&id)
            {
                state.drop_waker(waker);
            }
            state.wanted -= 1;
            state.wake_driver_where_alone();
        });
    }
}
