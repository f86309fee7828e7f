//! A client of e-pigeon for embassy, over anything that [`embedded_io_async`] reads and writes, without `std` and without
//! an allocator.
//!
//! Use it on a microcontroller. A node without an executor drives [`e_pigeon_core`] itself, as `examples/firmware` of the
//! repository does; a program on an operating system uses `e-pigeon-smol` or `e-pigeon-mio`. Two things carry a link:
//!
//! - a [`Stream`] loses nothing and reports its end, such as a TCP socket of `embassy-net`. When it ends, connect another
//!   one and make another `Stream`.
//! - a [`Line`] may damage bytes and never ends, such as a UART. It cannot report whether anything is at its other end.
//!
//! # One task, and no lock
//!
//! The [`Client`] stays yours. A `Stream` or a `Line` borrows it, with the reader, the writer and two buffers, and has one
//! future: [`Stream::turn`]. A turn waits until bytes have come, there is room for bytes, or something is due, handles
//! each, and returns; then your task polls events and sends. So there is no second task, nothing is shared, no lock is held
//! over an await, and nothing has to be woken: a message that you send goes out with the next turn.
//!
//! Everything else that your task waits for goes beside the turn in a `select`, because a turn may be dropped at any time.
//! Other tasks use a channel to hand over messages and to get events.
//!
//! ```
//! use e_pigeon_core::{Client, Destination, Event, Message};
//! use e_pigeon_embedded::{Error, Stream, idle, now};
//! use embassy_futures::select::{Either, select};
//! use embassy_sync::{blocking_mutex::raw::NoopRawMutex, channel::Receiver};
//! use embedded_io_async::{Read, Write};
//!
//! type Readings<'a> = Receiver<'a, NoopRawMutex, [u8; 4], 8>;
//!
//! /// What is done with what comes, with a connection and without.
//! fn obey(client: &mut Client<&mut [u8]>) {
//!     while let Some((event, mut commands)) = client.next_event_with_commands() {
//!         if let Event::Message(message) = event {
//!             // An echo. Where the outbox is full it is lost: this one has no promises to keep.
//!             let _ = commands.send(now(), &Message::new(&message.from.into(), message.payload));
//!         }
//!     }
//! }
//!
//! /// One connection, from its beginning to its end.
//! async fn talk<R: Read, W: Write>(
//!     client: &mut Client<&mut [u8]>,
//!     (reader, writer): (R, W),
//!     to: &Destination,
//!     readings: Readings<'_>,
//! ) -> Error<R::Error, W::Error> {
//!     let (mut input, mut output) = ([0; 256], [0; 256]);
//!     let mut stream = Stream::new(client, reader, writer, &mut input, &mut output);
//!     loop {
//!         obey(stream.client());
//!         match select(stream.turn(), readings.receive()).await {
//!             Either::First(Ok(())) => {}
//!             Either::First(Err(error)) => return error,
//!             Either::Second(reading) => {
//!                 // Where the outbox is full, it is lost too. `examples/host.rs` keeps it until there is room.
//!                 let _ = stream.client().send(now(), &Message::new(to, &reading));
//!             }
//!         }
//!     }
//! }
//!
//! /// The task. `connect` is what your network stack has for that, with a time-out.
//! async fn run<R: Read, W: Write>(
//!     mut client: Client<&mut [u8]>,
//!     mut connect: impl AsyncFnMut() -> Option<(R, W)>,
//!     to: Destination,
//!     readings: Readings<'_>,
//! ) {
//!     while !client.is_closed() && !client.is_broken() {
//!         obey(&mut client);
//!         if !client.wants_connection() {
//!             idle(&mut client).await;
//!         } else if let Some(halves) = connect().await {
//!             let _why = talk(&mut client, halves, &to, readings).await;
//!         } else {
//!             client.handle_disconnected(now());
//!         }
//!     }
//! }
//! ```
//!
//! `examples/host.rs` is a complete program on embassy's executor, for a machine with an operating system.
//!
//! # Dropped futures
//!
//! [`Stream::turn`], [`Line::turn`] and [`idle`] may be dropped wherever they wait: no byte and no event is lost, and no
//! byte is written twice.
//!
//! This requires of `Read` and `Write` what `embedded-io-async` recommends but leaves open: **a `read`, `write` or `flush`
//! that is dropped before it was ready has read or written nothing.** (A turn itself drops the one where the other was
//! ready first.) It is so for the sockets of `embassy-net`, for buffered UARTs (`BufferedUart`), for receivers with a ring
//! (`RingBufferedUartRx`), for the pipes of `embassy-sync`. It is *not* so for a UART that moves the caller's buffer by
//! DMA, nor for most of TLS: of a transfer that is dropped, some bytes are gone. Put a buffered one in its place, or a pipe
//! and a task between. On a line it would cost frames, which are sent again; on a stream, where bytes are missing or come
//! twice, the protocol is broken, and each time the link ends.
//!
//! # The clock
//!
//! The clock is that of [`embassy_time`], for which each of embassy's HALs has a driver. [`now`] is the time for all calls
//! of the client; do not mix it with another clock.
//!
//! # Cost
//!
//! Besides the client and the halves: the two buffers, of any size from one byte on, and a few words. A larger input buffer
//! saves turns. The output buffer is what can be on its way besides what the writer keeps itself, so on a line it should
//! not be larger than what the line carries in some 100 ms: what waits there cannot be overtaken by anything. Nothing is
//! polled while there is nothing to do, so the executor can let the processor sleep.
#![no_std]
#![forbid(unsafe_code)]

mod carrier;
mod clock;
mod error;
mod line;
mod stream;

pub use clock::{idle, now};
pub use error::Error;
pub use line::Line;
pub use stream::Stream;

// What the documentation names.
#[cfg(doc)]
use e_pigeon_core::Client;

/// What the page on microcontrollers shows is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/EMBEDDED.md")]
struct Page;
