//! Futures that are given up: nothing may be lost with them.
//!
//! A future that is dropped must leave nothing undone that another of its kind would wait for: no event that it had
//! taken already, no wake-up that only it had asked for. An adapter whose interface is made of futures shows that by being put
//! through the whole kit with each of its futures wrapped in [`renewed`], and by a test of its own with [`at_most`].

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Polls a future so many times, and drops it where that was not enough.
///
/// It is dropped right after the last poll, so nobody waits for its wake-up any more: whoever tries again has to find what
/// has happened meanwhile.
pub async fn at_most<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Makes a future, and drops it for another one whenever it was polled so many times and is woken again.
///
/// So it is dropped at each point where it waits, at the moment when that for which it waited has happened.
///
/// ```
/// # use std::task::{Context, Waker};
/// use e_pigeon_sim::conformance::dropping::renewed;
///
/// let mut made = 0;
/// let mut future = Box::pin(renewed(1, async || made += 1));
/// // It is ready at once, so one is enough.
/// assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
/// drop(future);
/// assert_eq!(made, 1);
/// ```
pub async fn renewed<T>(polls: u32, mut make: impl AsyncFnMut() -> T) -> T {
    loop {
        let mut future = pin!(make());
        let mut left = polls;
        let result = poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            future.as_mut().poll(context).map(Some)
        })
        .await;
        if let Some(result) = result {
            return result;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    /// Ready when it is polled for the third time.
    fn third() -> impl Future<Output = ()> {
        let mut polls = 0;
        poll_fn(move |_| {
            polls += 1;
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    fn polls_until_ready(future: impl Future, most: usize) -> Option<usize> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        (1..=most).find(|_| future.as_mut().poll(&mut context).is_ready())
    }

    #[test]
    fn a_future_is_given_up_after_so_many_polls() {
        assert_eq!(polls_until_ready(at_most(2, third()), 9), Some(2));
        assert_eq!(polls_until_ready(at_most(4, third()), 9), Some(3));
    }

    #[test]
    fn a_future_is_made_anew_after_so_many_polls() {
        assert_eq!(polls_until_ready(renewed(3, async || third().await), 9), Some(3));
        assert_eq!(polls_until_ready(renewed(2, async || third().await), 9), None);
        let mut made = 0;
        let _ = polls_until_ready(
            renewed(2, async || {
                made += 1;
                third().await;
            }),
            9,
        );
        assert_eq!(made, 5, "one for each two polls");
    }
}
