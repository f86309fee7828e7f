//! The fields of hostile frames, as the fuzzer likes them.

use arbitrary::{Arbitrary, Result, Unstructured};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{Attributes, Destination, Filter, Past, Secret, Taken, Uuid, Value};

/// Clients that a hostile peer may claim to be or write to. The first is honest.
pub(in crate::bodies) const CLIENTS: u8 = 4;
pub(super) const KEYS: [&str; 3] = ["a", "b", "c"];

pub(in crate::bodies) fn uuid(who: u8) -> Uuid {
    Uuid::from_u128(0x1000 + u128::from(who % CLIENTS))
}

/// The secret of an honest client, no byte of which is in that of a hostile one.
pub(in crate::bodies) fn secret(n: u8) -> Secret {
    Secret([0x70 + n; 16])
}

/// True where a fuzzer has found out a secret, which it does by looking at what is compared: a client with the
/// secret may rightly be displaced.
pub(in crate::bodies) fn has_secret(bytes: &[u8], n: u8) -> bool {
    bytes.windows(16).any(|part| part == secret(n).0)
}

/// Mostly small, sometimes at an end of a range.
#[derive(Clone, Copy, Debug)]
pub(in crate::bodies) struct Number(pub(in crate::bodies) u64);

impl Number {
    pub(in crate::bodies) fn u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl Arbitrary<'_> for Number {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self(match u.arbitrary::<u8>()? {
            choice @ 0..=199 => u64::from(choice % 8),
            200..=219 => u64::from(u.arbitrary::<u16>()?),
            220..=229 => u.arbitrary()?,
            230..=235 => u64::MAX,
            236..=240 => u64::MAX - 1,
            241..=245 => 1 << 63,
            246..=250 => u64::from(u32::MAX),
            251..=255 => 1 << 32,
        }))
    }
}

#[derive(Clone, Debug, Arbitrary)]
pub(in crate::bodies) enum Content {
    Bool(bool),
    Int(Number),
    Str(u8),
    Bytes(Vec<u8>),
}

/// Keys with values, of which those that no session may have are left out.
#[derive(Clone, Debug, Arbitrary)]
pub(in crate::bodies) struct Pairs(pub(super) Vec<(u8, Content)>);

impl Pairs {
    pub(super) fn with<T>(&self, most: usize, run: impl FnOnce(&[(&str, Value<'_>)]) -> T) -> T {
        let pairs: Vec<(&str, Value<'_>)> = self
            .0
            .iter()
            .take(most)
            .map(|(key, content)| {
                let key = KEYS[usize::from(*key) % KEYS.len()];
                (
                    key,
                    match content {
                        Content::Bool(value) => Value::Bool(*value),
                        Content::Int(value) => Value::Int(value.0.cast_signed()),
                        Content::Str(choice) => Value::Str(["", "x", "lobby"][usize::from(*choice) % 3]),
                        Content::Bytes(bytes) => Value::Bytes(&bytes[..bytes.len().min(64)]),
                    },
                )
            })
            .collect();
        run(&pairs)
    }

    pub(super) fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        self.with(4, |pairs| {
            for &(key, value) in pairs {
                // What breaks a limit is left out.
                let _ = attributes.set(key, value);
            }
        });
        attributes
    }
}

/// A filter, and what makes a destination of it.
#[derive(Clone, Debug, Arbitrary)]
pub(in crate::bodies) enum To {
    Uuid(u8, u8),
    AllOf(Pairs, u8),
    AnyOf(Pairs, u8),
    Everyone(u8),
}

impl To {
    pub(in crate::bodies) fn filter(&self) -> Filter {
        let made = match self {
            Self::AllOf(pairs, _) => pairs.with(2, Filter::all_of),
            Self::AnyOf(pairs, _) => pairs.with(4, Filter::any_of),
            Self::Uuid(..) | Self::Everyone(_) => Ok(Filter::everyone()),
        };
        made.unwrap_or_else(|_| Filter::everyone())
    }

    pub(in crate::bodies) fn destination(&self) -> Destination {
        let (to, options): (Destination, u8) = match self {
            Self::Uuid(who, options) => (uuid(*who).into(), *options),
            Self::AllOf(_, options) | Self::AnyOf(_, options) | Self::Everyone(options) => {
                (self.filter().into(), *options)
            }
        };
        let to = if options & 1 == 0 { to } else { to.exclude_self() };
        if options & 6 == 6 { to.only_connected() } else { to }
    }
}

#[derive(Clone, Copy, Debug, Arbitrary)]
pub(in crate::bodies) enum Before {
    Sent,
    Parked,
    Taken(Number, u8, Number, bool),
}

impl Before {
    pub(super) fn up(self) -> Past {
        match self {
            Self::Sent => Past::Sent,
            Self::Parked => Past::Parked,
            Self::Taken(recipients, epoch, session, answered_first) => Past::Taken(Taken {
                recipients: recipients.u32().max(1),
                epoch: u64::from(epoch % 3),
                session: session.0,
                answered_first,
            }),
        }
    }
}

/// What payloads are the front of.
pub(super) const PAYLOAD: [u8; 256] = [7; 256];

pub(super) fn window(messages: Number, bytes: Number) -> Window {
    Window { messages: messages.u32(), bytes: bytes.u32().saturating_mul(40) }
}
