//! The files of vectors, and frames as they are read and written.

use e_pigeon_core::codec::{Malformed, Reader, Writer};
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::item::{DownItem, UpItem};
use e_pigeon_core::wire::kind;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) direction: String,
    pub(crate) verdict: String,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn docs(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(path)
}

/// The vectors of a file, in its order. A name stands once in it.
pub(crate) fn vectors(file: &str) -> Vec<Vector> {
    let text = std::fs::read_to_string(docs("vectors").join(file)).expect(file);
    let mut all: Vec<Vector> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, direction, verdict, hex] = columns.as_slice() else { panic!("{file}: {line}") };
        assert!(all.iter().all(|other| other.name != *name), "{file}: {name} stands twice");
        let bytes = from_hex(hex).unwrap_or_else(|| panic!("{file}: {name}"));
        let [name, direction, verdict] = [name, direction, verdict].map(|text| String::from(*text));
        all.push(Vector { name, direction, verdict, bytes });
    }
    all
}

pub(crate) fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = hex.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Control(Control<'a>),
    Up(UpItem<'a>),
    Down(DownItem<'a>),
}

/// Reads a body as the end does that gets it.
pub(crate) fn decode<'a>(up: bool, bytes: &'a [u8]) -> Result<Frame<'a>, Malformed> {
    let mut reader = Reader::new(bytes);
    let first = reader.u8()?;
    if first < kind::MESSAGE {
        Control::read(first, &mut reader).map(Frame::Control)
    } else if up {
        UpItem::read(first, &mut reader).map(Frame::Up)
    } else {
        DownItem::read(first, &mut reader).map(Frame::Down)
    }
}

pub(crate) fn encode(frame: &Frame<'_>) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 13];
    let mut writer = Writer::new(&mut buffer, 0);
    match frame {
        Frame::Control(control) => control.write(&mut writer),
        Frame::Up(item) => item.write(&mut writer),
        Frame::Down(item) => item.write(&mut writer),
    }
    let written = writer.written();
    assert_eq!(written, writer.total());
    buffer.truncate(written);
    buffer
}

/// Directions in which a vector goes, as a list of "up?".
pub(crate) fn directions(vector: &Vector) -> &'static [bool] {
    match vector.direction.as_str() {
        "up" => &[true],
        "down" => &[false],
        "both" => &[true, false],
        other => panic!("{}: {other}", vector.name),
    }
}
