//! What streams and lines share: moving bytes between a client and two halves, so that no future keeps any of it.

use core::future::{Future, pending, poll_fn};
use core::ops::Range;
use core::pin::pin;
use core::task::Poll;

use e_pigeon_core::{Client, Instant};
use embedded_io_async::{Read, Write};

use crate::clock::{now, sleep_until};
use crate::error::Error;

/// A client, what carries its link, and what is on its way.
#[derive(Debug)]
pub(crate) struct Carrier<'a, B, R, W> {
    pub(crate) client: &'a mut Client<B>,
    reader: R,
    writer: W,
    input: &'a mut [u8],
    output: &'a mut [u8],
    /// The part of `output` that the writer has not taken yet.
    unwritten: Range<usize>,
    /// The writer has taken something since it was flushed.
    is_unflushed: bool,
    /// The turn before did not wait: others get theirs before the next.
    is_eager: bool,
}

/// What has happened while it waited; `None` where that was nothing.
struct Moved<R, W> {
    read: Option<Result<usize, R>>,
    written: Option<Result<Sent, W>>,
}

/// What became of the output.
enum Sent {
    Bytes(usize),
    Flushed,
}

impl<'a, B, R, W> Carrier<'a, B, R, W>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: Read,
    W: Write,
{
    pub(crate) fn new(
        client: &'a mut Client<B>,
        reader: R,
        writer: W,
        input: &'a mut [u8],
        output: &'a mut [u8],
    ) -> Self {
        Self { client, reader, writer, input, output, unwritten: 0..0, is_unflushed: false, is_eager: false }
    }

    /// Lets the client do what is due; true where something was.
    pub(crate) fn pass_time(&mut self) -> bool {
        let now = now();
        let is_due = self.client.poll_timeout().is_some_and(|at| at <= now);
        if is_due {
            self.client.handle_timeout(now);
        }
        is_due
    }

    /// Takes from the client what it has to say, once all that it said before was written.
    pub(crate) fn fill(&mut self) {
        if !self.unwritten.is_empty() {
            return;
        }
        let (now, mut filled) = (now(), 0);
        while let Some(room @ [_, ..]) = self.output.get_mut(filled..) {
            // Only a datagram can be an error, and a stream has none.
            match self.client.poll_transmit(now, room) {
                Ok(count @ 1..) => filled += count,
                Ok(0) | Err(_) => break,
            }
        }
        self.unwritten = 0..filled;
    }

    /// True where the writer has taken, and sent on, all that there was.
    pub(crate) fn is_written(&self) -> bool {
        self.unwritten.is_empty() && !self.is_unflushed
    }

    /// Waits until something has come, could be written, or is due, and does it: one read and one write at most. `limit` is a
    /// deadline besides that of the client.
    ///
    /// What was read is with the client, and what was written is known, before this waits again: nothing is kept in the future.
    pub(crate) async fn exchange(&mut self, limit: Option<Instant>) -> Result<(), Error<R::Error, W::Error>> {
        if self.input.is_empty() || self.output.is_empty() {
            return Err(Error::NoBuffer);
        }
        let deadline = [self.client.poll_timeout(), limit].into_iter().flatten().min();
        let Moved { read, written } = self.wait(deadline).await;
        // What has come is taken also where the writer failed.
        let read = match read {
            None => Ok(()),
            Some(Ok(0)) => Err(Error::Ended),
            Some(Ok(count)) => {
                // It takes all: what it has no room for is more than it allowed the broker to send.
                self.client.handle_input(now(), self.input.get(..count).unwrap_or_default());
                Ok(())
            }
            Some(Err(error)) => Err(Error::Read(error)),
        };
        let written = match written {
            None => Ok(()),
            Some(Ok(Sent::Bytes(0))) => Err(Error::Stuck),
            Some(Ok(Sent::Bytes(count))) => {
                self.unwritten.start = self.unwritten.start.saturating_add(count).min(self.unwritten.end);
                self.is_unflushed = true;
                Ok(())
            }
            Some(Ok(Sent::Flushed)) => {
                self.is_unflushed = false;
                Ok(())
            }
            Some(Err(error)) => Err(Error::Write(error)),
        };
        self.pass_time();
        read.and(written)
    }

    /// Waits. Both halves are asked each time, so that neither keeps the other waiting.
    async fn wait(&mut self, deadline: Option<Instant>) -> Moved<R::Error, W::Error> {
        let Self { reader, writer, input, output, unwritten, is_unflushed, is_eager, .. } = self;
        let mut reading = pin!(reader.read(input));
        let mut writing = pin!(async {
            match output.get(unwritten.clone()) {
                Some(bytes @ [_, ..]) => writer.write(bytes).await.map(Sent::Bytes),
                _ if *is_unflushed => writer.flush().await.map(|()| Sent::Flushed),
                _ => pending().await,
            }
        });
        let mut sleeping = pin!(sleep_until(deadline));
        let mut is_first = true;
        poll_fn(|context| {
            // Where a half is always ready, a loop of turns would never give way to other tasks, or to the other arm of a `select`.
            if core::mem::take(is_eager) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let read = ready(reading.as_mut().poll(context));
            let written = ready(writing.as_mut().poll(context));
            let is_due = sleeping.as_mut().poll(context).is_ready();
            if read.is_none() && written.is_none() && !is_due {
                is_first = false;
                return Poll::Pending;
            }
            *is_eager = is_first;
            Poll::Ready(Moved { read, written })
        })
        .await
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
