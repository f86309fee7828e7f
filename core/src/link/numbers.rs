//! One direction of items across links: numbers, acknowledgements, windows.
//!
//! Numbers only, no payload: the machine is the same at both ends. Items have numbers 1, 2, 3 … within a session;
//! on a stream a number is never written, it is that of the item before plus one. (PROTOCOL.md, "Items")

use crate::error::AbortCode;
use crate::wire::window::Window;

/// The sending end of a session's items.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    /// The last number that was given to an item.
    assigned: u64,
    /// The last number that was written to this link.
    sent: u64,
    /// The last number that the peer has acknowledged.
    acknowledged: u64,
    window: Window,
    /// Messages that have a number and are not acknowledged.
    messages: u32,
    bytes: u32,
}

impl Sending {
    /// A new session: nothing was sent.
    pub(crate) fn fresh(window: Window) -> Self {
        Self { assigned: 0, sent: 0, acknowledged: 0, window, messages: 0, bytes: 0 }
    }

    /// The same session on a new link: what was not received is sent again, under the same numbers.
    pub(crate) fn resume(
        &mut self,
        received: u64,
        acknowledged: u64,
        window: Window,
    ) -> Result<(), AbortCode> {
        if received > self.assigned || acknowledged > received || acknowledged < self.acknowledged {
            return Err(AbortCode::BadAcknowledgement);
        }
        self.sent = received;
        self.acknowledged = acknowledged;
        self.window = window;
        Ok(())
    }

    /// The last number that was written to this link.
    #[cfg(feature = "lossy")]
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// True if items that have a number wait to be written to this link.
    pub(crate) fn repeats(&self) -> bool {
        self.sent < self.assigned
    }

    /// The number of the next item to be written.
    pub(crate) fn next(&self) -> u64 {
        self.sent + 1
    }

    /// True if the window allows a message of that many bytes.
    pub(crate) fn allows(&self, bytes: usize) -> bool {
        self.messages < self.window.messages
            && u64::from(self.bytes) + bytes as u64 <= u64::from(self.window.bytes)
    }

    /// What the peer lets be under way.
    #[cfg(feature = "alloc")]
    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Bytes of messages that have a number and are not acknowledged.
    #[cfg(feature = "alloc")]
    pub(crate) fn under_way(&self) -> u32 {
        self.bytes
    }

    /// True if the window allows no message at all, however long it waits.
    pub(crate) fn is_shut(&self) -> bool {
        self.window.messages == 0
    }

    /// Gives the next number to an item that is written now; a message counts against the window.
    pub(crate) fn assign(&mut self, message_bytes: Option<usize>) -> u64 {
        self.assigned += 1;
        self.sent = self.assigned;
        if let Some(bytes) = message_bytes {
            self.messages += 1;
            // No more than the window allows.
            self.bytes = self.bytes.saturating_add(bytes as u32);
        }
        self.assigned
    }

    /// Notes that so many items with numbers were written again.
    pub(crate) fn repeated(&mut self, count: u32) {
        self.sent += u64::from(count);
    }

    /// The peer has acknowledged `more` items; returns the last of them. If the last item that was sent is only
    /// `half_written`, the peer cannot have it.
    pub(crate) fn acknowledge(&mut self, more: u64, half_written: bool) -> Result<u64, AbortCode> {
        let whole = self.sent - u64::from(half_written);
        let up_to = self.acknowledged.checked_add(more).filter(|&up_to| up_to <= whole);
        self.acknowledged = up_to.ok_or(AbortCode::BadAcknowledgement)?;
        Ok(self.acknowledged)
    }

    /// An acknowledged message no longer counts against the window.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.release_many(1, bytes);
    }

    /// The same for so many messages, with bytes of all of them.
    pub(crate) fn release_many(&mut self, count: u32, bytes: usize) {
        self.messages = self.messages.saturating_sub(count);
        self.bytes = self.bytes.saturating_sub(bytes as u32);
    }

    /// The peer has changed its window.
    pub(crate) fn set_window(&mut self, window: Window) {
        self.window = window;
    }

    /// Lets no message out until the window is set again; returns what it was.
    #[cfg(feature = "alloc")]
    pub(crate) fn shut(&mut self) -> Window {
        core::mem::replace(&mut self.window, Window { messages: 0, bytes: 0 })
    }

    /// The last number that was acknowledged.
    #[cfg(any(feature = "alloc", feature = "lossy"))]
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }
}

/// The receiving end of a session's items.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Receiving {
    received: u64,
    /// The last number that is acknowledged to the peer, on this link or in its handshake.
    acknowledged: u64,
}

impl Receiving {
    /// The next item was received.
    #[cfg(any(feature = "alloc", test))]
    pub(crate) fn receive(&mut self) {
        self.received += 1;
    }

    /// So many items were received at once.
    pub(crate) fn receive_many(&mut self, count: u32) {
        self.received = self.received.saturating_add(u64::from(count));
    }

    /// The last number that was received.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The last number that is acknowledged to the peer.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How many more can be acknowledged if all up to `up_to` may be; `None` for none.
    pub(crate) fn due(&self, up_to: u64) -> Option<u64> {
        up_to.checked_sub(self.acknowledged).filter(|&more| more > 0)
    }

    /// An acknowledgement of so many more goes out.
    pub(crate) fn acknowledge(&mut self, more: u64) {
        self.acknowledged += more;
    }

    /// The handshake of a new link, or a state, acknowledges all up to that number.
    pub(crate) fn set_acknowledged(&mut self, acknowledged: u64) {
        self.acknowledged = acknowledged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { messages: 2, bytes: 100 };

    #[test]
    fn the_window_counts_messages_and_bytes() {
        let mut sending = Sending::fresh(WINDOW);
        assert!(sending.allows(100) && !sending.allows(101));
        sending.assign(Some(60));
        assert!(sending.allows(40) && !sending.allows(41));
        sending.assign(None);
        sending.assign(Some(40));
        assert!(!sending.allows(0), "two messages are under way");
        assert_eq!(sending.acknowledge(1, false), Ok(1));
        sending.release(60);
        assert_eq!(
            sending.acknowledge(2, true),
            Err(AbortCode::BadAcknowledgement),
            "the third is not whole"
        );
        assert!(sending.allows(60));
        assert_eq!(sending.acknowledge(3, false), Err(AbortCode::BadAcknowledgement));
        sending.set_window(Window { messages: 0, bytes: 0 });
        assert!(sending.is_shut() && !sending.allows(0));
    }

    #[test]
    fn a_resumed_session_repeats_what_was_not_received() {
        let mut sending = Sending::fresh(WINDOW);
        for _ in 0..5 {
            sending.assign(None);
        }
        assert_eq!(sending.resume(6, 0, WINDOW), Err(AbortCode::BadAcknowledgement));
        assert_eq!(sending.resume(2, 3, WINDOW), Err(AbortCode::BadAcknowledgement));
        sending.resume(3, 1, WINDOW).unwrap();
        assert!(sending.repeats());
        assert_eq!(sending.next(), 4);
        sending.repeated(1);
        sending.repeated(1);
        assert!(!sending.repeats());
    }

    #[test]
    fn the_receiving_end_tells_each_number_once() {
        let mut receiving = Receiving::default();
        (0..3).for_each(|_| receiving.receive());
        assert_eq!(receiving.received(), 3);
        assert_eq!(receiving.due(2), Some(2));
        receiving.acknowledge(2);
        assert_eq!((receiving.due(2), receiving.due(3)), (None, Some(1)));
        receiving.set_acknowledged(1);
        assert_eq!(receiving.due(3), Some(2));
    }
}
