//! A link over a stream that ends.

use core::time::Duration;

use e_pigeon_core::{Client, Instant};
use embedded_io_async::{Read, Write};

use crate::carrier::Carrier;
use crate::clock::now;
use crate::error::Error;

/// How long the other end may take to take the last words of a client that gives up its link.
const FAREWELL: Duration = Duration::from_secs(1);

/// One connection of a client over a stream that loses nothing and tells when it ends, such as TCP. The framing of the client's
/// config is [`Length`](e_pigeon_core::Framing::Length), the default. (PROTOCOL.md, "Framing")
///
/// It lives as long as the connection. Making it tells the client that it is connected; dropping it, that it no longer is,
/// whatever the reason. Closing what is under the halves is yours, in an order that lets what was written
/// arrive: `embassy-net` wants `close` and then `flush`.
#[derive(Debug)]
pub struct Stream<'a, B: AsRef<[u8]> + AsMut<[u8]>, R: Read, W: Write> {
    carrier: Carrier<'a, B, R, W>,
    /// Until when the last words may be on their way.
    farewell: Option<Instant>,
    is_over: bool,
}

impl<'a, B: AsRef<[u8]> + AsMut<[u8]>, R: Read, W: Write> Stream<'a, B, R, W> {
    /// Begins a connection: tells the client that it is connected. Halves that are `&mut` will do.
    ///
    /// `input` and `output` have room for a byte at least; the crate's front page says how much is good for what.
    pub fn new(
        client: &'a mut Client<B>,
        reader: R,
        writer: W,
        input: &'a mut [u8],
        output: &'a mut [u8],
    ) -> Self {
        client.handle_connected(now());
        let carrier = Carrier::new(client, reader, writer, input, output);
        Self { carrier, farewell: None, is_over: false }
    }

    /// The client, to poll its events and to give it commands between two turns. What is due to the transport is done by the
    /// turns: of its handlers you need none.
    pub fn client(&mut self) -> &mut Client<B> {
        self.carrier.client
    }

    /// Waits until bytes have come, there is room for bytes, or something is due, and does it.
    ///
    /// It returns after one read and one write at most, so that events can be polled: there may be some or none. Where nothing
    /// happens it does not return; where a half is always ready, it gives way to others once per turn. The future may be
    /// dropped wherever it waits, see the crate's front page.
    ///
    /// # Errors
    ///
    /// The stream is over; each variant says whose fault that is. The client knows already, and will want another connection,
    /// unless it has ended or [is broken](Error::Broken). Every further turn says [`Error::Released`].
    pub async fn turn(&mut self) -> Result<(), Error<R::Error, W::Error>> {
        let is_released = self.is_over && !self.carrier.client.is_broken();
        let result = if is_released { Err(Error::Released) } else { self.advance().await };
        if result.is_err() {
            self.end();
        }
        result
    }

    async fn advance(&mut self) -> Result<(), Error<R::Error, W::Error>> {
        if self.carrier.client.is_broken() {
            return Err(Error::Broken);
        }
        // What came of that is told before anything is waited for.
        if self.carrier.pass_time() {
            return Ok(());
        }
        self.carrier.fill();
        if self.carrier.client.wants_disconnect() {
            let now = now();
            let farewell = *self.farewell.get_or_insert(now + FAREWELL);
            if self.carrier.is_written() || farewell <= now {
                return Err(Error::Released);
            }
        }
        self.carrier.exchange(self.farewell).await
    }

    fn end(&mut self) {
        if !self.is_over {
            self.is_over = true;
            self.carrier.client.handle_disconnected(now());
        }
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>, R: Read, W: Write> Drop for Stream<'_, B, R, W> {
    fn drop(&mut self) {
        self.end();
    }
}
