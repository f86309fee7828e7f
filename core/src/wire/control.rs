//! Frames of the handshake and of the link itself. They are rare, so postcard and serde write and read them.
//!
//! Postcard reads some integers in more than one encoding. What was read is canonical exactly if it is as long as
//! the encoding that would be written for it, and nothing is left over.

use super::lossy::State;
use super::{MAGIC, VERSION, kind};
use crate::attributes::AttributesRef;
use crate::codec::{Malformed, Reader, Writer};
use crate::error::Code;
use postcard::ser_flavors::Size;
use serde::{Deserialize, Serialize};

/// How much may be under way unacknowledged in one direction. Counts messages only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Messages.
    pub messages: u32,
    /// Bytes of payload.
    pub bytes: u32,
}

/// What a client says about the session that it wants to resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Where the items of a resumed session stand at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// The last item that the broker has taken.
    pub received: u64,
    /// The last item that it has acknowledged.
    pub acknowledged: u64,
}

/// The fields of a welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    pub code: Code,
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
    State(State),
}

fn read_postcard<'a, T: Serialize + Deserialize<'a>>(reader: &mut Reader<'a>) -> Result<T, Malformed> {
    let bytes = reader.rest();
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(|_| Malformed)?;
    if encoded_len(&value) != bytes.len() - rest.len() {
        return Err(Malformed);
    }
    *reader = Reader::new(rest);
    Ok(value)
}

fn encoded_len<T: Serialize>(value: &T) -> usize {
    // Counting cannot fail.
    postcard::serialize_with_flavor(value, Size::default()).unwrap_or(usize::MAX)
}

fn write_postcard<T: Serialize>(writer: &mut Writer<'_>, value: &T) {
    let mut buffer = [0; 128];
    // The longest of these structures has 118 bytes; a test holds that.
    if let Ok(bytes) = postcard::to_slice(value, &mut buffer) {
        writer.raw(bytes);
    }
}

impl<'a> Control<'a> {
    /// Reads what follows a control frame's byte of kind.
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
                let hello: Hello = read_postcard(reader)?;
                Self::Hello(hello, AttributesRef::read(reader)?)
            }
            kind::WELCOME => Self::Welcome(read_postcard(reader)?),
            kind::ABORT => {
                let code = Code::from_code(reader.u8()?).ok_or(Malformed)?;
                Self::Abort(Abort { code, detail: reader.u64()? })
            }
            kind::CHALLENGE => Self::Challenge(reader.array()?),
            kind::PROOF => Self::Proof(reader.array()?),
            kind::ACK => match reader.u64()? {
                0 => return Err(Malformed),
                more => Self::Ack(more),
            },
            kind::WINDOW => Self::Window(Window { messages: reader.u32()?, bytes: reader.u32()? }),
            kind::PING => Self::Ping,
            kind::GOODBYE => Self::Goodbye(reader.bool()?),
            kind::FAREWELL => Self::Farewell,
            kind::STATE => Self::State(State::read(reader)?),
            _ => return Err(Malformed),
        };
        reader.finish()?;
        Ok(control)
    }

    /// Writes the body of the frame: kind and fields.
    pub fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Hello(hello, attributes) => {
                writer.u8(kind::HELLO);
                writer.raw(&MAGIC);
                writer.u64(VERSION);
                write_postcard(writer, hello);
                writer.raw(attributes.as_bytes());
            }
            Self::HelloOfVersion(version) => {
                writer.u8(kind::HELLO);
                writer.raw(&MAGIC);
                writer.u64(*version);
            }
            Self::Welcome(welcome) => {
                writer.u8(kind::WELCOME);
                write_postcard(writer, welcome);
            }
            Self::Abort(abort) => {
                writer.u8(kind::ABORT);
                writer.u8(abort.code as u8);
                writer.u64(abort.detail);
            }
            Self::Challenge(nonce) => {
                writer.u8(kind::CHALLENGE);
                writer.raw(nonce);
            }
            Self::Proof(proof) => {
                writer.u8(kind::PROOF);
                writer.raw(proof);
            }
            Self::Ack(more) => {
                writer.u8(kind::ACK);
                writer.u64(*more);
            }
            Self::Window(window) => {
                writer.u8(kind::WINDOW);
                writer.u32(window.messages);
                writer.u32(window.bytes);
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_structures_fit_their_buffer() {
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
        assert_eq!(encoded_len(&hello), 121);
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
        assert!(encoded_len(&welcome) <= 80, "{}", encoded_len(&welcome));
    }
}
