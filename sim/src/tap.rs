//! Reads along what passes through a connection: for the trace and for the table of coverage, never for the model.

use crate::coverage::{Coverage, Path};
use crate::message::Key;
use crate::setup::Medium;
use crate::step::client_of;
use core::time::Duration;
use e_pigeon_core::codec::{Malformed, Reader};
use e_pigeon_core::wire::cobs::Unstuffing;
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::frame::{Step, step};
use e_pigeon_core::wire::item::{Deliver, DeliveryPast, DownItem, MessageItem, UpItem};
use e_pigeon_core::wire::kind;
use e_pigeon_core::wire::state::Prefix;
use e_pigeon_core::{Past, Uuid};
use std::collections::BTreeMap;

/// No frame of a small world is longer.
const LIMIT: usize = 1 << 20;
/// Nor on a line, where room for it is kept all the time.
const LINE_LIMIT: usize = 1 << 13;

/// What one end of a connection has read, as frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap {
    kept: Vec<u8>,
    unstuffing: Unstuffing,
    /// Which link the frame is of that is read now, the number of its item, and the highest so far, where they are written.
    tag: u32,
    number: u64,
    highest: u64,
    /// Which sender and last id an alias means, where this reads deliveries.
    aliases: BTreeMap<u8, (usize, u64, u64)>,
    /// The window that the handshake named for the items that are read here, and what of it is used.
    window: Option<u32>,
    messages: u64,
    /// What this end acknowledges of the other direction.
    pub(crate) acknowledged: u64,
    /// Which link was welcomed last, and the epoch in the first welcome that it had: others are not for it.
    pub(crate) welcome: Option<(u32, u64)>,
    /// How long a session stays while it is away, as that welcome says.
    pub(crate) named: Option<Duration>,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Control(Control<'a>),
    Up(UpItem<'a>),
    Down(DownItem<'a>),
}

impl<'a> Frame<'a> {
    /// Reads the body of a frame that goes up, or down.
    pub(crate) fn read(body: &'a [u8], up: bool) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let frame_kind = reader.u8()?;
        if frame_kind < kind::MESSAGE {
            return Control::read(frame_kind, &mut reader).map(Self::Control);
        }
        if up {
            UpItem::read(frame_kind, &mut reader).map(Self::Up)
        } else {
            DownItem::read(frame_kind, &mut reader).map(Self::Down)
        }
    }
}

/// A frame in words. Payloads are only counted.
impl core::fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Control(Control::Hello(hello, attributes)) => {
                let client = client_of(Uuid::from_bytes(hello.uuid));
                write!(f, "Hello of {client}, link {}, attributes {attributes:?}, ", hello.link)?;
                match hello.known {
                    Some(known) => write!(
                        f,
                        "knows session {}, received {}, acknowledged {}",
                        known.session, known.received, known.acknowledged
                    ),
                    None => f.write_str("knows no session"),
                }
            }
            Self::Control(Control::Welcome(welcome)) => {
                let (session, window) = (welcome.session, welcome.window.messages);
                write!(f, "Welcome to session {session}, window {window}, {:?}", welcome.resumed)
            }
            Self::Control(control) => write!(f, "{control:?}"),
            Self::Up(UpItem::Message(message)) => {
                let bytes = message.payload.len();
                write!(f, "{:?}, {bytes} bytes", MessageItem { payload: &[], ..message })
            }
            Self::Up(item) => write!(f, "{item:?}"),
            Self::Down(DownItem::Deliver(deliver)) => {
                let bytes = deliver.payload.len();
                write!(f, "{:?}, {bytes} bytes", Deliver { payload: &[], ..deliver })
            }
            Self::Down(item) => write!(f, "{item:?}"),
        }
    }
}

impl Tap {
    /// Takes in bytes that arrive, and calls `each` for every frame that is whole with them.
    pub(crate) fn feed(&mut self, medium: Medium, bytes: &[u8], mut each: impl FnMut(&mut Self, &[u8])) {
        match medium {
            Medium::Stream => self.feed_stream(bytes, each),
            Medium::Serial => self.feed_line(bytes, each),
            Medium::Datagrams => self.frame(bytes, &mut each),
        }
    }

    fn feed_line(&mut self, bytes: &[u8], mut each: impl FnMut(&mut Self, &[u8])) {
        let mut content = core::mem::take(&mut self.kept);
        content.resize(LINE_LIMIT, 0);
        let mut input = bytes;
        while !input.is_empty() {
            let (taken, frame) = self.unstuffing.take(input, &mut content);
            input = &input[taken..];
            if let Some(Ok(length)) = frame {
                self.frame(&content[..length], &mut each);
            }
        }
        self.kept = content;
    }

    /// A frame with its prefix.
    fn frame(&mut self, frame: &[u8], each: &mut impl FnMut(&mut Self, &[u8])) {
        let mut reader = Reader::new(frame);
        let Ok(prefix) = Prefix::read(&mut reader) else { return };
        (self.tag, self.number) = (prefix.tag, prefix.number);
        each(self, reader.rest());
        self.highest = self.highest.max(prefix.number);
    }

    fn feed_stream(&mut self, bytes: &[u8], mut each: impl FnMut(&mut Self, &[u8])) {
        let mut input = bytes;
        while !input.is_empty() {
            match step(&self.kept, input, LIMIT) {
                Ok(Step::InPlace(extent)) => {
                    let (frame, rest) = input.split_at(extent.total());
                    input = rest;
                    each(self, &frame[extent.header..]);
                }
                Ok(Step::Keep(count)) => {
                    self.kept.extend_from_slice(&input[..count]);
                    input = &input[count..];
                }
                Ok(Step::Complete(count, extent)) => {
                    self.kept.extend_from_slice(&input[..count]);
                    input = &input[count..];
                    let kept = core::mem::take(&mut self.kept);
                    each(self, &kept[extent.header..]);
                }
                // Whoever reads it ends the connection.
                Err(_) => return,
            }
        }
    }

    /// What numbers and states of lossy media show, the same in both directions.
    fn note_lossy(&mut self, frame: &Frame<'_>, coverage: &mut Coverage) {
        if let Frame::Control(Control::State(state)) = frame {
            self.acknowledged = self.acknowledged.max(state.acknowledged);
            if state.beyond != 0 {
                coverage.hit(Path::GapTold);
            }
        }
        if (1..=self.highest).contains(&self.number) {
            coverage.hit(Path::ItemAgain);
        } else if self.number > self.highest + 1 {
            coverage.hit(Path::ItemEarly);
        }
    }

    /// Notes what a frame from a client shows.
    pub(crate) fn note_up(&mut self, frame: &Frame<'_>, coverage: &mut Coverage) {
        self.note_lossy(frame, coverage);
        match frame {
            Frame::Control(Control::Ack(more)) => self.acknowledged += more,
            Frame::Up(UpItem::Message(message)) => {
                self.messages += 1;
                let past = match message.retry {
                    None => return,
                    Some(Past::Sent) => Path::RetrySent,
                    Some(Past::Parked) => Path::RetryParked,
                    Some(Past::Taken(_)) => Path::RetryTaken,
                };
                coverage.hit(past);
            }
            Frame::Up(UpItem::Decline(_)) => coverage.hit(Path::Declined),
            _ => {}
        }
    }

    /// Notes what a frame from the broker shows. Returns which message a delivery is, and whether it may be repeated.
    pub(crate) fn note_down(&mut self, frame: &Frame<'_>, coverage: &mut Coverage) -> Option<(Key, bool)> {
        self.note_lossy(frame, coverage);
        match frame {
            Frame::Control(Control::Welcome(welcome)) => {
                if self.welcome.is_none_or(|(tag, _)| tag != self.tag) {
                    self.welcome = Some((self.tag, u64::from_le_bytes(welcome.epoch)));
                    self.named = Some(Duration::from_millis(welcome.session_ttl_ms));
                }
                self.window = Some(welcome.window.messages);
                if welcome.window.messages == 0 {
                    coverage.hit(Path::WelcomedShut);
                }
            }
            Frame::Control(Control::Window(window)) => {
                coverage.hit(if window.messages == 0 { Path::Narrowed } else { Path::WindowOpened });
            }
            Frame::Control(Control::Ack(more)) => self.acknowledged += more,
            Frame::Down(DownItem::Accepted(accepted)) if accepted.recipients == 0 => {
                coverage.hit(Path::Parked);
            }
            Frame::Down(DownItem::Void(_)) => coverage.hit(Path::Voided),
            Frame::Down(DownItem::Deliver(deliver)) => return self.delivery(deliver, coverage),
            _ => {}
        }
        None
    }

    fn delivery(&mut self, deliver: &Deliver<'_>, coverage: &mut Coverage) -> Option<(Key, bool)> {
        self.messages += 1;
        if let Some(origin) = deliver.define {
            let sender = client_of(Uuid::from_bytes(origin.uuid));
            if self.aliases.insert(deliver.alias, (sender, origin.boot, 0)).is_some() {
                coverage.hit(Path::AliasReused);
            }
        }
        if deliver.late {
            coverage.hit(Path::Released);
        }
        if matches!(deliver.retry, Some(DeliveryPast::Taken { .. })) {
            coverage.hit(Path::OfferedAgain);
        }
        let (sender, boot, last) = self.aliases.get_mut(&deliver.alias)?;
        *last = last.wrapping_add_signed(deliver.id_step);
        Some(((*sender, *boot, *last), deliver.retry.is_some()))
    }

    /// Which link the frame is of that is read now, where frames say so.
    pub(crate) fn tag(&self) -> u32 {
        self.tag
    }

    /// The number of the item that is read now, where it is written.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// True where frames have tags and items their numbers.
    pub(crate) fn is_lossy(&self) -> bool {
        self.tag != 0
    }

    /// True where a frame is not whole.
    pub(crate) fn is_inside_frame(&self) -> bool {
        !self.kept.is_empty()
    }

    /// The window of the items that are read at the other end.
    pub(crate) fn window(&self) -> Option<u32> {
        self.window
    }

    /// True where as many messages were read as the window has, and not yet acknowledged as far as the other end knows.
    pub(crate) fn is_full(&self, window: Option<u32>, acknowledged: u64) -> bool {
        window.is_some_and(|window| {
            window > 0 && self.messages.saturating_sub(acknowledged) >= u64::from(window)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use e_pigeon_core::Broker;

    #[test]
    fn frames_are_read_whatever_the_pieces() {
        let mut tap = Tap::default();
        let mut frames = Vec::new();
        let bytes = [Broker::FULL, &[1, 8]].concat();
        for byte in bytes {
            tap.feed(Medium::Stream, &[byte], |_, body| {
                frames.push(Frame::read(body, false).unwrap().to_string());
            });
        }
        assert_eq!(frames, ["Abort(Abort { code: Full, detail: 0 })", "Ping"]);
    }
}
