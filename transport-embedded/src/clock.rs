//! The time, and waiting for it.

use core::future::pending;

use e_pigeon_core::{Client, Instant};
use embassy_time::{Duration, Timer};

/// The longest sleep, in microseconds: an hour. Whoever wakes asks for the deadline again, so a shorter sleep than there could be
/// does no harm, and whatever the rate of the clock, so much can be counted in its ticks.
const LONGEST: u64 = 3_600_000_000;

/// The time that the client is to be told: that of embassy's clock.
pub fn now() -> Instant {
    Instant::from_micros(embassy_time::Instant::now().as_micros())
}

/// Sleeps until then, or for an hour; for ever where that is never.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    let Some(deadline) = deadline else { return pending().await };
    let left = deadline.as_micros().saturating_sub(now().as_micros()).min(LONGEST);
    // A timer waits once in any case, and whoever drops it then would never see the end of it.
    if left > 0 {
        // A part of a tick counts as one, so it is never woken before the time and made to look again and again.
        Timer::after(Duration::from_micros(left)).await;
    }
}

/// Lets time pass for a client that has no connection: waits until something is due, and lets the client do it.
///
/// It returns at once where the client [wants a connection](Client::wants_connection), and otherwise after each thing that was
/// due, or an hour: poll events and ask again. A client that has [ended](Client::is_closed) has nothing to wait for, and so
/// this waits for ever. Beside a connection it is not needed.
///
/// The future may be dropped wherever it waits.
pub async fn idle<B: AsRef<[u8]> + AsMut<[u8]>>(client: &mut Client<B>) {
    if !client.wants_connection() {
        sleep_until(client.poll_timeout()).await;
        client.handle_timeout(now());
    }
}
