//! The window of one direction. (PROTOCOL.md, "Windows")

use crate::codec::{Malformed, Reader, Writer};

/// How much may be under way unacknowledged in one direction. Counts messages only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Messages.
    pub messages: u32,
    /// Bytes of payload.
    pub bytes: u32,
}

impl Window {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { messages: reader.u32()?, bytes: reader.u32()? })
    }

    pub(super) fn write(self, writer: &mut Writer<'_>) {
        writer.u32(self.messages);
        writer.u32(self.bytes);
    }
}
