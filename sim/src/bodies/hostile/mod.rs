//! Frames that a hostile peer would write: well-formed, with fields as the fuzzer likes them, or damaged after that.

mod carrier;
mod down;
mod fields;
mod up;

pub(super) use carrier::Carrier;
pub(super) use down::DownFrame;
pub(super) use fields::{CLIENTS, Number, To, has_secret, secret, uuid};
pub(super) use up::{HelloParts, UpFrame};

use arbitrary::Arbitrary;
use carrier::Write;

/// Bytes of a stream or a line: a frame, a frame that was damaged, or anything.
#[derive(Clone, Debug, Arbitrary)]
pub(super) enum Chunk<F> {
    Frame(F),
    Frames(F, F),
    Damaged(F, u16, u8),
    Cut(F, u16),
    Raw(Vec<u8>),
}

impl<F: Write> Chunk<F> {
    pub(super) fn bytes(&self, by: &mut Carrier) -> Vec<u8> {
        match self {
            Self::Frame(frame) => by.carry(frame),
            Self::Frames(first, second) => [by.carry(first), by.carry(second)].concat(),
            Self::Damaged(frame, at, with) => {
                let mut bytes = by.carry(frame);
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= with;
                bytes
            }
            Self::Cut(frame, at) => {
                let mut bytes = by.carry(frame);
                bytes.truncate(usize::from(*at) % (bytes.len() + 1));
                bytes
            }
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}
