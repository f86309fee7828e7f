//! Why a turn was not just a turn.

use core::fmt::{self, Debug, Display, Formatter};

/// Why a [`Stream`](crate::Stream) is over, or what happened to a [`Line`](crate::Line).
///
/// `R` and `W` are the errors of the reader and of the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<R, W = R> {
    /// The client has no more use for this stream: it gave up the link, or it has ended. Its last words are out, or had their
    /// second. Nothing went wrong here; its events say what has. Only of a stream.
    Released,
    /// The reader says that there will be no more: the other end has closed the stream. Nobody's fault; a line should not say
    /// so.
    Ended,
    /// The reader failed.
    Read(R),
    /// The writer failed.
    Write(W),
    /// The writer took nothing of what it was given, which [`embedded_io_async::Write`] forbids. The fault of its
    /// implementation.
    Stuck,
    /// The client has found [a bug in itself](e_pigeon_core::Client::is_broken), and so will each further turn. Make no other
    /// connection for it: end the program, or make a new client with a new boot.
    Broken,
    /// One of the buffers is empty, so nothing can be moved through it. The caller's fault.
    NoBuffer,
}

impl<R: Debug, W: Debug> Display for Error<R, W> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Released => f.write_str("the client ended the connection"),
            Self::Ended => f.write_str("the broker closed the connection"),
            Self::Read(error) => write!(f, "cannot read: {error:?}"),
            Self::Write(error) => write!(f, "cannot write: {error:?}"),
            Self::Stuck => f.write_str("the writer accepts no bytes and reports no error"),
            Self::Broken => f.write_str("internal error of the client; please report it"),
            Self::NoBuffer => f.write_str("a buffer is empty: give it at least one byte"),
        }
    }
}

impl<R: Debug, W: Debug> core::error::Error for Error<R, W> {}
