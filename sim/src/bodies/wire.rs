//! The wire format: what is read is written as the same bytes, and what it borrows lies in what was read.

use e_pigeon_core::codec::{Malformed, Reader, Writer};
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::item::{DownItem, PresenceState, UpItem};
use e_pigeon_core::wire::kind;
use e_pigeon_core::{AttributesRef, DestinationRef, Target, Uuid, Value};

/// A frame as one of the two ends reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame<'a> {
    Control(Control<'a>),
    Up(UpItem<'a>),
    Down(DownItem<'a>),
}

impl<'a> Frame<'a> {
    fn read(up: bool, body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let first = reader.u8()?;
        if first < kind::MESSAGE {
            Control::read(first, &mut reader).map(Self::Control)
        } else if up {
            UpItem::read(first, &mut reader).map(Self::Up)
        } else {
            DownItem::read(first, &mut reader).map(Self::Down)
        }
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Control(control) => control.write(writer),
            Self::Up(item) => item.write(writer),
            Self::Down(item) => item.write(writer),
        }
    }

    /// The bytes of the body, written in pieces of at most `size`.
    fn written(&self, size: usize) -> Vec<u8> {
        let mut counter = Writer::counting();
        self.write(&mut counter);
        let total = counter.total();
        let (mut bytes, mut piece) = (Vec::with_capacity(total), vec![0; size]);
        while bytes.len() < total {
            let mut writer = Writer::new(&mut piece, bytes.len());
            self.write(&mut writer);
            assert_eq!(writer.total(), total);
            let written = writer.written();
            assert!(written > 0, "it must go on");
            bytes.extend_from_slice(&piece[..written]);
        }
        bytes
    }
}

/// The bytes are the body of a frame, read as either end does.
///
/// # Panics
///
/// Where the format breaks a promise.
pub fn wire(data: &[u8]) {
    for up in [true, false] {
        let Ok(frame) = Frame::read(up, data) else { continue };
        let written = frame.written(data.len() + 1);
        if matches!(frame, Frame::Control(Control::HelloOfVersion(_))) {
            // Of another version nothing is known but its number.
            assert!(data.starts_with(&written));
        } else {
            assert_eq!(written, data, "a second encoding was read: {frame:?}");
        }
        assert_eq!(frame.written(1 + data.len() % 7), written, "in pieces");
        let again = Frame::read(up, &written);
        assert_eq!(again, Ok(frame), "what was written is read as the same");
        borrowed(data, &frame);
    }
}

/// Everything that a frame has borrowed lies in the bytes that it was read from.
fn borrowed(data: &[u8], frame: &Frame<'_>) {
    match frame {
        Frame::Control(Control::Hello(_, attributes)) => attributes_inside(data, *attributes),
        Frame::Control(_) => {}
        Frame::Up(UpItem::Message(message)) => {
            inside(data, message.payload);
            if let Some(destination) = message.define {
                destination_inside(data, destination);
            }
        }
        Frame::Up(UpItem::Set(patch)) => {
            inside(data, patch.as_bytes());
            for (key, value) in patch.changes() {
                inside(data, key.as_bytes());
                value.into_iter().for_each(|value| value_inside(data, value));
            }
        }
        Frame::Up(UpItem::Watch(_, filter)) => inside(data, filter.as_bytes()),
        Frame::Up(UpItem::Decline(_) | UpItem::Unwatch(_)) => {}
        Frame::Down(DownItem::Deliver(deliver)) => inside(data, deliver.payload),
        Frame::Down(DownItem::Presence(_, _, PresenceState::Gone, attributes)) => {
            assert!(attributes.is_empty());
        }
        Frame::Down(DownItem::Presence(_, _, _, attributes)) => attributes_inside(data, *attributes),
        Frame::Down(_) => {}
    }
}

fn destination_inside(data: &[u8], destination: DestinationRef<'_>) {
    inside(data, destination.as_bytes());
    if let Target::AllOf(pairs) | Target::AnyOf(pairs) = destination.target() {
        assert!(pairs.clone().next().is_some(), "an empty filter is no filter");
        for pair in pairs {
            inside(data, pair.key.as_bytes());
            value_inside(data, pair.value);
        }
    }
    // What is nobody's is matched by nobody but those who are meant by name or by everyone.
    let matches = destination.matches(Uuid::nil(), AttributesRef::EMPTY);
    match destination.target() {
        Target::Uuid(uuid) => assert_eq!(matches, uuid.is_nil()),
        Target::Everyone => assert!(matches),
        Target::AllOf(_) | Target::AnyOf(_) => assert!(!matches),
    }
}

fn attributes_inside(data: &[u8], attributes: AttributesRef<'_>) {
    inside(data, attributes.as_bytes());
    let mut count = 0;
    for (key, value) in attributes.iter() {
        inside(data, key.as_bytes());
        value_inside(data, value);
        assert_eq!(attributes.get(key), Some(value));
        count += 1;
    }
    assert_eq!(attributes.len(), count);
}

fn value_inside(data: &[u8], value: Value<'_>) {
    match value {
        Value::Str(text) => inside(data, text.as_bytes()),
        Value::Bytes(bytes) => inside(data, bytes),
        Value::Bool(_) | Value::Int(_) => {}
    }
}

fn inside(data: &[u8], part: &[u8]) {
    let (all, part) = (data.as_ptr_range(), part.as_ptr_range());
    assert!(all.start <= part.start && part.end <= all.end, "it borrows from somewhere else");
}
