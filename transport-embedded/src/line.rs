//! A link over a line that never ends.

use e_pigeon_core::Client;
use embedded_io_async::{Read, Write};

use crate::carrier::Carrier;
use crate::clock::now;
use crate::error::Error;

/// The links of a client over a line without a carrier, such as a UART. The framing of the client's config is
/// [`Cobs`](e_pigeon_core::Framing::Cobs): whatever the line does to bytes costs frames, which are sent again. (PROTOCOL.md, "Lossy framed
/// transports")
///
/// Nobody tells whether there is anybody at the other end, or somebody else than before. So it counts as connected whenever the
/// client wants that, and the client finds out by silence. What it would have to say of a link that is over is not said: it
/// would reach whoever is there by now. It lives as long as the line is to be used; dropping it ends the link.
///
/// Also for what comes and goes but has no end of stream that could be relied on, such as USB serial: where a turn
/// fails because nobody is there, wait until somebody is, and go on.
#[derive(Debug)]
pub struct Line<'a, B: AsRef<[u8]> + AsMut<[u8]>, R: Read, W: Write> {
    carrier: Carrier<'a, B, R, W>,
}

impl<'a, B: AsRef<[u8]> + AsMut<[u8]>, R: Read, W: Write> Line<'a, B, R, W> {
    /// Takes a line into use. Halves that are `&mut` will do.
    ///
    /// `input` and `output` have room for a byte at least; the crate's front page says how much is good for what.
    pub fn new(
        client: &'a mut Client<B>,
        reader: R,
        writer: W,
        input: &'a mut [u8],
        output: &'a mut [u8],
    ) -> Self {
        Self { carrier: Carrier::new(client, reader, writer, input, output) }
    }

    /// The client, to poll its events and to give it commands between two turns. What is due to the transport is done by the
    /// turns: of its handlers you need none.
    pub fn client(&mut self) -> &mut Client<B> {
        self.carrier.client
    }

    /// Waits until bytes have come, there is room for bytes, or something is due, and does it.
    ///
    /// It returns after one read and one write at most, so that events can be polled: there may be some or none. Where nothing
    /// happens it does not return, so neither does it once the client [has ended](Client::is_closed); where a half is always
    /// ready, it gives way to others once per turn. The future may be dropped wherever it waits, see the crate's front page.
    ///
    /// # Errors
    ///
    /// The client [is broken](Error::Broken), or the reader or the writer failed. Then the client does not learn of it, because a line that loses bytes does nothing that it has
    /// not been made for: after an overrun or a parity error, go on with the next turn at once. Where the same error comes
    /// again and again, wait a moment in between: a turn does not.
    pub async fn turn(&mut self) -> Result<(), Error<R::Error, W::Error>> {
        if self.carrier.client.is_broken() {
            return Err(Error::Broken);
        }
        // What came of that is told before anything is waited for.
        if self.carrier.pass_time() || self.turn_over() {
            return Ok(());
        }
        self.carrier.fill();
        self.carrier.exchange(None).await
    }

    /// Ends a link that is over, before anything more is written, and begins one that is due; true where there was one.
    fn turn_over(&mut self) -> bool {
        let client = &mut *self.carrier.client;
        let is_over = client.wants_disconnect();
        if is_over {
            client.handle_disconnected(now());
        }
        let is_wanted = client.wants_connection();
        if is_wanted {
            client.handle_connected(now());
        }
        is_over || is_wanted
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>, R: Read, W: Write> Drop for Line<'_, B, R, W> {
    fn drop(&mut self) {
        self.carrier.client.handle_disconnected(now());
    }
}
