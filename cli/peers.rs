//! `peers`: prints who is here, and goes on with the changes.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use e_pigeon_core::{AttributesRef, Change, CloseReason, Event, Filter, Instant, Peer, Roster, Uuid, Value};

use crate::args;
use crate::failure::Failure;
use crate::session::{Link, Session, refused};
use crate::transport::{Next, Task, Turn};
use crate::value::write_value;

/// How long the broker may take to confirm the goodbye.
const FAREWELL: Duration = Duration::from_secs(2);
/// Peers that are remembered, to tell changes from what was known; far above what a broker allows by default.
const MAX_PEERS: usize = 1 << 20;

pub(crate) fn run(arguments: &args::Peers) -> Result<u8, Failure> {
    let (mut carrier, session) = Session::open(&arguments.client, |config| {
        config.receives = false;
        config.watches = 1;
    })?;
    let printer = Printer {
        out: BufWriter::with_capacity(64 * 1024, io::stdout().lock()),
        json: arguments.json,
        watch: arguments.watch,
        is_complete: false,
        outcome: Ok(()),
    };
    let roster = Roster::new(MAX_PEERS);
    carrier.run(&mut Watcher { session, roster, printer, is_asked: false, closing: None })
}

struct Watcher<W: Write> {
    session: Session,
    roster: Roster,
    printer: Printer<W>,
    /// The broker will be asked who is here.
    is_asked: bool,
    /// When the program ends, whatever the broker has confirmed by then, and with which exit code.
    closing: Option<(Instant, u8)>,
}

impl<W: Write> Task for Watcher<W> {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Next, Failure> {
        self.session.set_attributes(turn)?;
        if !std::mem::replace(&mut self.is_asked, true) {
            turn.client.watch(&Filter::everyone()).map_err(Failure::failed)?;
        }
        let signal = self.session.signals.take();
        if let Some(result) = self.take_events(turn) {
            return result.map(Next::Done);
        }
        let watch = self.printer.watch;
        let mut code = signal.map(|signal| if watch { 0 } else { signal.exit_code() });
        match self.printer.flush() {
            Ok(()) if self.printer.is_complete && !watch => code = code.or(Some(0)),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code = code.or(Some(0)),
            Err(error) => return Err(Failure::stdout(&error)),
        }
        if let (Some(code), None) = (code, self.closing) {
            if !turn.client.is_established() {
                return Ok(Next::Done(code));
            }
            self.session.close(turn.client);
            self.closing = Some((turn.now + FAREWELL, code));
        }
        Ok(match self.closing {
            Some((at, code)) if at <= turn.now => Next::Done(code),
            closing => Next::Wait(closing.map(|(at, _)| at)),
        })
    }
}

impl<W: Write> Watcher<W> {
    /// Prints what has come. Returns how the client has ended, if it has.
    fn take_events(&mut self, turn: &mut Turn<'_>) -> Option<Result<u8, Failure>> {
        let mut ended = None;
        while let Some(event) = turn.client.poll_event() {
            if self.closing.is_none() {
                self.roster.apply(&event, |change| self.printer.change(change));
            }
            let link = Link::from_event(&event);
            match event {
                Event::PresenceSynced(_) if self.closing.is_none() => self.printer.complete(),
                Event::WatchRefused(_, reason) => {
                    let line = format!(
                        "the broker does not say who is here: {reason}; start it with a larger --max-watches"
                    );
                    ended = Some(Err(Failure::failed(line)));
                }
                Event::AttributesRefused(reason) => ended = Some(Err(refused(reason))),
                Event::Closed(CloseReason::Requested) => {
                    ended = Some(Ok(self.closing.map_or(0, |(_, code)| code)));
                }
                Event::Closed(reason) => ended = Some(Err(Failure::failed(reason))),
                _ => {}
            }
            self.session.tell(link, turn.trouble.as_deref());
        }
        ended
    }
}

/// Peers on their way to stdout.
struct Printer<W: Write> {
    out: W,
    json: bool,
    watch: bool,
    /// The first snapshot is whole.
    is_complete: bool,
    outcome: io::Result<()>,
}

impl<W: Write> Printer<W> {
    fn change(&mut self, change: Change<'_>) {
        // Without --watch one snapshot is all that was asked for.
        if self.outcome.is_ok() && (self.watch || !self.is_complete) {
            self.outcome = write_change(&mut self.out, change, self.json);
        }
    }

    fn complete(&mut self) {
        let is_first = !std::mem::replace(&mut self.is_complete, true);
        if is_first && self.watch && self.json && self.outcome.is_ok() {
            self.outcome = self.out.write_all(b"{\"event\":\"snapshot\"}\n");
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        std::mem::replace(&mut self.outcome, Ok(()))?;
        self.out.flush()
    }
}

fn write_change(out: &mut impl Write, change: Change<'_>, json: bool) -> io::Result<()> {
    let (event, id, peer) = match change {
        Change::Here(_, id, peer) => ("here", id, Some(peer)),
        Change::Changed(_, id, peer) => ("changed", id, Some(peer)),
        Change::Gone(_, id) => ("gone", id, None),
    };
    let state = match peer {
        Some(peer) if peer.is_connected() => "connected",
        Some(_) => "away",
        None => "gone",
    };
    let attributes = peer.map_or(AttributesRef::EMPTY, Peer::attributes);
    if json { write_json(out, event, id, state, attributes) } else { write_line(out, id, state, attributes) }
}

fn write_line(out: &mut impl Write, id: Uuid, state: &str, attributes: AttributesRef<'_>) -> io::Result<()> {
    write!(out, "{id} {state}")?;
    for (key, value) in attributes.iter() {
        write!(out, " {key}=")?;
        write_value(out, value)?;
    }
    out.write_all(b"\n")
}

fn write_json(
    out: &mut impl Write,
    event: &str,
    id: Uuid,
    state: &str,
    attributes: AttributesRef<'_>,
) -> io::Result<()> {
    write!(out, r#"{{"event":"{event}","id":"{id}","state":"{state}","attributes":{{"#)?;
    for (place, (key, value)) in attributes.iter().enumerate() {
        // A key needs no escapes.
        write!(out, r#"{}"{key}":"#, if place == 0 { "" } else { "," })?;
        match value {
            Value::Bool(value) => write!(out, "{value}")?,
            Value::Int(value) => write!(out, "{value}")?,
            Value::Str(value) => serde_json::to_writer(&mut *out, value)?,
            Value::Bytes(value) => write!(out, r#"{{"base64":"{}"}}"#, BASE64.encode(value))?,
        }
    }
    out.write_all(b"}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use e_pigeon_core::Attributes;

    #[test]
    fn lines_and_objects() {
        let mut attributes = Attributes::new();
        for (key, value) in [
            ("name", Value::Str("anna b")),
            ("seven", Value::Str("7")),
            ("level", Value::Int(-7)),
            ("root", Value::Bool(true)),
            ("key", Value::Bytes(&[0, 255])),
        ] {
            attributes.set(key, value).expect("an attribute");
        }
        let id = Uuid::from_u128(7);
        let (mut line, mut json) = (Vec::new(), Vec::new());
        write_line(&mut line, id, "away", attributes.as_ref()).expect("a vector");
        write_json(&mut json, "here", id, "away", attributes.as_ref()).expect("a vector");
        let line = String::from_utf8(line).expect("text");
        assert!(line.starts_with("00000000-0000-0000-0000-000000000007 away "), "{line}");
        for pair in [" name=\"anna b\"", " seven=\"7\"", " level=-7", " root=true", " key=0x00ff"] {
            assert!(line.contains(pair), "{pair} in {line}");
        }
        let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(json["attributes"]["name"], "anna b");
        assert_eq!(json["attributes"]["level"], -7);
        assert_eq!(json["attributes"]["key"]["base64"], "AP8=");
        assert_eq!(json["state"], "away");
    }
}
