//! Frames of the handshake and of the link itself, field by field in the order of PROTOCOL.md.
//!
//! By hand, though they are rare: what a serialiser makes of them takes more flash than all the rest of a client.

use super::kind;
use super::limits::{MAGIC, VERSION};
use super::state::StateFrame;
use super::window::Window;
use crate::codec::{Field, Malformed, Reader, Writer};
use crate::data::attributes::AttributesRef;
use crate::error::AbortCode;
use core::fmt;

fields! {
    /// What a client says about the session that it wants to resume.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Known {
        /// The life of the broker, least significant byte first.
        pub epoch: [u8; 8],
        /// The number of the session.
        pub session: u64,
        /// The last item that is whole in the inbox.
        pub received: u64,
        /// The last item that is acknowledged.
        pub acknowledged: u64,
        /// The window of the client if this session is resumed.
        pub window: Window,
    }

    /// The fields of a hello after magic and version, without the attributes.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub struct Hello {
        /// Who the client is.
        pub uuid: [u8; 16],
        /// The secret that proves it.
        pub secret: [u8; 16],
        /// The life of the client, least significant byte first.
        pub boot: [u8; 8],
        /// Counts up with each link of this boot.
        pub link: u64,
        /// The session that it had.
        pub known: Option<Known>,
        /// The window of the client if it gets a new session.
        pub window: Window,
        /// The largest payload that it takes.
        pub max_payload: u32,
        /// How many senders it can know by alias.
        pub aliases: u16,
        /// Whether destinations match it.
        pub receives: bool,
        /// How many items of presence it takes unacknowledged; 0: it never watches.
        pub presence: u16,
    }

    /// The items of a resumed session, as the broker knows them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Resumed {
        /// The last item that the broker has taken.
        pub received: u64,
        /// The last item that it has acknowledged.
        pub acknowledged: u64,
    }

    /// The fields of a welcome.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Welcome {
        /// The life of the broker, least significant byte first.
        pub epoch: [u8; 8],
        /// The number of the session.
        pub session: u64,
        /// Present if the session is that of the hello.
        pub resumed: Option<Resumed>,
        /// The window of the broker; no message at all: wait until it opens.
        pub window: Window,
        /// The largest payload that the broker takes.
        pub max_payload: u32,
        /// How many destinations it can know by alias.
        pub slots: u8,
        /// After how many milliseconds of silence each end says that it is there.
        pub keep_alive_ms: u32,
        /// For how many milliseconds the session stays without a link.
        pub session_ttl_ms: u64,
    }

    /// Why a link ends.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Abort {
        /// The reason.
        pub code: AbortCode,
        /// A number that helps: the version that is spoken, the limit that was broken; else 0.
        pub detail: u64,
    }
}

/// Without the secret.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("uuid", &uuid::Uuid::from_bytes(self.uuid))
            .field("boot", &u64::from_le_bytes(self.boot))
            .field("link", &self.link)
            .field("known", &self.known)
            .field("window", &self.window)
            .field("max_payload", &self.max_payload)
            .field("aliases", &self.aliases)
            .field("receives", &self.receives)
            .field("presence", &self.presence)
            .finish_non_exhaustive()
    }
}

/// One frame that is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// Client to broker, first.
    Hello(Hello, AttributesRef<'a>),
    /// A hello of a version that is not spoken here.
    HelloOfVersion(u64),
    /// Broker to client, first.
    Welcome(Welcome),
    /// Either way, last.
    Abort(Abort),
    /// Broker to client. Reserved.
    Challenge([u8; 32]),
    /// Client to broker. Reserved.
    Proof([u8; 32]),
    /// So many more items are acknowledged; at least one.
    Ack(u64),
    /// The window is now this.
    Window(Window),
    /// Nothing, but in time.
    Ping,
    /// The client leaves; true if its session ends with that.
    Goodbye(bool),
    /// The broker has noted it.
    Farewell,
    /// The state of this end; on lossy framed transports only.
    State(StateFrame),
}

impl Hello {
    /// Writes the body of the frame: kind and fields.
    pub fn write_frame(&self, attributes: AttributesRef<'_>, writer: &mut Writer<'_>) {
        writer.u8(kind::HELLO);
        writer.raw(&MAGIC);
        writer.u64(VERSION);
        self.write(writer);
        writer.raw(attributes.as_bytes());
    }
}

impl<'a> Control<'a> {
    /// Reads what follows the byte of kind of a control frame from a client.
    pub fn read(frame_kind: u8, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let control = match frame_kind {
            kind::HELLO => {
                if reader.array::<4>()? != MAGIC {
                    return Err(Malformed);
                }
                let version = reader.u64()?;
                if version != VERSION {
                    reader.rest();
                    return Ok(Self::HelloOfVersion(version));
                }
                Self::Hello(Hello::read(reader)?, AttributesRef::read(reader)?)
            }
            kind::PROOF => Self::Proof(reader.array()?),
            kind::GOODBYE => Self::Goodbye(reader.bool()?),
            _ => return Self::read_down(frame_kind, reader),
        };
        reader.finish()?;
        Ok(control)
    }

    /// The same for a control frame from a broker, of a kind that it may send.
    pub fn read_down(frame_kind: u8, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let control = match frame_kind {
            kind::WELCOME => Self::Welcome(Welcome::read(reader)?),
            kind::ABORT => Self::Abort(Abort::read(reader)?),
            kind::CHALLENGE => Self::Challenge(reader.array()?),
            kind::ACK => match reader.u64()? {
                0 => return Err(Malformed),
                more => Self::Ack(more),
            },
            kind::WINDOW => Self::Window(Window::read(reader)?),
            kind::PING => Self::Ping,
            kind::FAREWELL => Self::Farewell,
            kind::STATE if cfg!(feature = "lossy") => Self::State(StateFrame::read(reader)?.checked()?),
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(control)
    }

    /// Writes the body of the frame: kind and fields.
    pub fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Hello(hello, attributes) => hello.write_frame(*attributes, writer),
            Self::HelloOfVersion(version) => {
                writer.u8(kind::HELLO);
                writer.raw(&MAGIC);
                writer.u64(*version);
            }
            Self::Welcome(welcome) => writer.frame(kind::WELCOME, welcome),
            Self::Challenge(nonce) => writer.frame(kind::CHALLENGE, nonce),
            Self::Proof(proof) => writer.frame(kind::PROOF, proof),
            link => link.write_link(writer),
        }
    }

    /// The same for a frame of the link itself, which is all of them but those of the handshake; of these it writes
    /// nothing. Inlined, because of a frame that is known only so much is left as that one takes.
    #[inline(always)]
    pub(crate) fn write_link(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Abort(abort) => writer.frame(kind::ABORT, abort),
            Self::Ack(more) => writer.frame(kind::ACK, more),
            Self::Window(window) => writer.frame(kind::WINDOW, window),
            Self::Ping => writer.u8(kind::PING),
            Self::Goodbye(end) => writer.frame(kind::GOODBYE, end),
            Self::Farewell => writer.u8(kind::FAREWELL),
            Self::State(state) => writer.frame(kind::STATE, state),
            Self::Hello(..)
            | Self::HelloOfVersion(_)
            | Self::Welcome(_)
            | Self::Challenge(_)
            | Self::Proof(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Writer<'_>)) -> usize {
        let mut counter = Writer::counting();
        write(&mut counter);
        counter.total()
    }

    #[test]
    fn the_longest_structures_are_as_long_as_the_limits_allow() {
        let window = Window { messages: u32::MAX, bytes: u32::MAX };
        let known =
            Known { epoch: [1; 8], session: u64::MAX, received: u64::MAX, acknowledged: u64::MAX, window };
        let hello = Hello {
            uuid: [1; 16],
            secret: [1; 16],
            boot: [1; 8],
            link: u64::MAX,
            known: Some(known),
            window,
            max_payload: u32::MAX,
            aliases: u16::MAX,
            receives: true,
            presence: u16::MAX,
        };
        assert_eq!(written(|writer| hello.write(writer)), 121);
        let resumed = Some(Resumed { received: u64::MAX, acknowledged: u64::MAX });
        let welcome = Welcome {
            epoch: [1; 8],
            session: u64::MAX,
            resumed,
            window,
            max_payload: u32::MAX,
            slots: 16,
            keep_alive_ms: u32::MAX,
            session_ttl_ms: u64::MAX,
        };
        assert_eq!(written(|writer| welcome.write(writer)), 70);
    }
}
