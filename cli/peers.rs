//! `peers`: prints who is here, and goes on with the changes.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use e_pigeon_core::{
    AttributesRef, Change, CloseReason, Event, Filter, Instant, Peer, Roster, Uuid, Value, WatchError,
};

use crate::args;
use crate::failure::{Failure, plain};
use crate::session::{Link, Session};
use crate::value::write_value;

/// How long the broker may take to confirm the goodbye.
const FAREWELL: Duration = Duration::from_secs(2);
/// Peers that are remembered, to tell changes from what was known; far above what a broker allows by default.
const MAX_PEERS: usize = 1 << 20;

pub(crate) fn run(arguments: &args::Peers) -> Result<u8, Failure> {
    let mut session = Session::open(&arguments.client, |config| {
        config.receives = false;
        config.watches = 1;
    })?;
    let now = session.driver.now();
    let asked = session.driver.client().watch(now, &Filter::everyone());
    asked.map_err(|error: WatchError| Failure::failed(error))?;
    session.driver.flush();

    let mut roster = Roster::new(MAX_PEERS);
    let mut printer = Printer {
        out: BufWriter::with_capacity(64 * 1024, io::stdout().lock()),
        json: arguments.json,
        watch: arguments.watch,
        is_complete: false,
        outcome: Ok(()),
    };
    let mut closing: Option<(Instant, u8)> = None;
    loop {
        let limit = closing.map(|(at, _)| at.saturating_duration_since(session.driver.now()));
        let signal = session.wait(limit)?;
        let mut end = None;
        while let Some(event) = session.driver.client().poll_event() {
            if closing.is_none() {
                roster.apply(&event, |change| printer.change(change));
            }
            let link = Link::from_event(&event);
            match event {
                Event::PresenceSynced(_) if closing.is_none() => printer.complete(),
                Event::WatchRefused(_, reason) => {
                    end = Some(Err(Failure::failed(format_args!(
                        "the broker does not say who is here: {reason}"
                    ))));
                }
                Event::Closed(CloseReason::Requested) => end = Some(Ok(closing.map_or(0, |(_, code)| code))),
                Event::Closed(reason) => end = Some(Err(Failure::failed(reason))),
                _ => {}
            }
            session.tell(link);
        }
        if let Some(result) = end {
            return result;
        }
        let mut code = signal.map(|signal| if arguments.watch { 0 } else { signal.exit_code() });
        match printer.flush() {
            Ok(()) if printer.is_complete && !arguments.watch => code = code.or(Some(0)),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code = code.or(Some(0)),
            Err(error) => {
                return Err(Failure::failed(format_args!("cannot write to stdout: {}", plain(&error))));
            }
        }
        if let (Some(code), None) = (code, closing) {
            if !session.driver.client().is_established() {
                return Ok(code);
            }
            session.close();
            closing = Some((session.driver.now() + FAREWELL, code));
        }
        session.driver.flush();
        if let Some((at, code)) = closing
            && at <= session.driver.now()
        {
            return Ok(code);
        }
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
