//! Frames of the handshake and of the link itself, field by field in the order of PROTOCOL.md.
//!
//! By hand, though they are rare: what a serialiser makes of them takes more flash than all the rest of a client.

use super::kind;
use super::limits::{MAGIC, VERSION};
use super::state::StateFrame;
use super::window::Window;
use crate::codec::{Malformed, Reader, Writer};
use crate::data::attributes::AttributesRef;
use crate::error::AbortCode;
use core::fmt;

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
    /// The window of the client where this session is resumed.
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
    /// The window of the client where it gets a new session.
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

/// Where the items of a resumed session stand at the broker.
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
    /// Present where the session is that of the hello.
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
    /// The client leaves; true where its session ends with that.
    Goodbye(bool),
    /// The broker has noted it.
    Farewell,
    /// Where this end stands; on lossy framed transports only.
    State(StateFrame),
}

impl Known {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            epoch: reader.array()?,
            session: reader.u64()?,
            received: reader.u64()?,
            acknowledged: reader.u64()?,
            window: Window::read(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.raw(&self.epoch);
        writer.u64(self.session);
        writer.u64(self.received);
        writer.u64(self.acknowledged);
        self.window.write(writer);
    }
}

impl Hello {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            uuid: reader.array()?,
            secret: reader.array()?,
            boot: reader.array()?,
            link: reader.u64()?,
            known: if reader.bool()? { Some(Known::read(reader)?) } else { None },
            window: Window::read(reader)?,
            max_payload: reader.u32()?,
            aliases: reader.u16()?,
            receives: reader.bool()?,
            presence: reader.u16()?,
        })
    }

    /// Writes the body of the frame: kind and fields.
    pub fn write_frame(&self, attributes: AttributesRef<'_>, writer: &mut Writer<'_>) {
        writer.u8(kind::HELLO);
        writer.raw(&MAGIC);
        writer.u64(VERSION);
        self.write(writer);
        writer.raw(attributes.as_bytes());
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.raw(&self.uuid);
        writer.raw(&self.secret);
        writer.raw(&self.boot);
        writer.u64(self.link);
        writer.bool(self.known.is_some());
        if let Some(known) = &self.known {
            known.write(writer);
        }
        self.window.write(writer);
        writer.u32(self.max_payload);
        writer.u32(u32::from(self.aliases));
        writer.bool(self.receives);
        writer.u32(u32::from(self.presence));
    }
}

impl Welcome {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (epoch, session) = (reader.array()?, reader.u64()?);
        let resumed = if reader.bool()? {
            Some(Resumed { received: reader.u64()?, acknowledged: reader.u64()? })
        } else {
            None
        };
        Ok(Self {
            epoch,
            session,
            resumed,
            window: Window::read(reader)?,
            max_payload: reader.u32()?,
            slots: reader.u8()?,
            keep_alive_ms: reader.u32()?,
            session_ttl_ms: reader.u64()?,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.raw(&self.epoch);
        writer.u64(self.session);
        writer.bool(self.resumed.is_some());
        if let Some(resumed) = &self.resumed {
            writer.u64(resumed.received);
            writer.u64(resumed.acknowledged);
        }
        self.window.write(writer);
        writer.u32(self.max_payload);
        writer.u8(self.slots);
        writer.u32(self.keep_alive_ms);
        writer.u64(self.session_ttl_ms);
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
            kind::ABORT => {
                let code = AbortCode::from_code(reader.u8()?).ok_or(Malformed)?;
                Self::Abort(Abort { code, detail: reader.u64()? })
            }
            kind::CHALLENGE => Self::Challenge(reader.array()?),
            kind::ACK => match reader.u64()? {
                0 => return Err(Malformed),
                more => Self::Ack(more),
            },
            kind::WINDOW => Self::Window(Window::read(reader)?),
            kind::PING => Self::Ping,
            kind::FAREWELL => Self::Farewell,
            kind::STATE if cfg!(feature = "lossy") => Self::State(StateFrame::read(reader)?),
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
            Self::Welcome(welcome) => {
                writer.u8(kind::WELCOME);
                welcome.write(writer);
            }
            Self::Challenge(nonce) => {
                writer.u8(kind::CHALLENGE);
                writer.raw(nonce);
            }
            Self::Proof(proof) => {
                writer.u8(kind::PROOF);
                writer.raw(proof);
            }
            link => link.write_link(writer),
        }
    }

    /// The same for a frame of the link itself, which is all of them but those of the handshake; of these it writes
    /// nothing. Inlined, because of a frame that is known only so much is left as that one takes.
    #[inline(always)]
    pub(crate) fn write_link(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Abort(abort) => {
                writer.u8(kind::ABORT);
                writer.u8(abort.code as u8);
                writer.u64(abort.detail);
            }
            Self::Ack(more) => {
                writer.u8(kind::ACK);
                writer.u64(*more);
            }
            Self::Window(window) => {
                writer.u8(kind::WINDOW);
                window.write(writer);
            }
            Self::Ping => writer.u8(kind::PING),
            Self::Goodbye(end) => {
                writer.u8(kind::GOODBYE);
                writer.u8(u8::from(*end));
            }
            Self::Farewell => writer.u8(kind::FAREWELL),
            Self::State(state) => {
                writer.u8(kind::STATE);
                state.write(writer);
            }
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
