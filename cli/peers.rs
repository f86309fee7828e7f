//! `peers`: prints the sessions, and goes on with the changes.

use std::io::{self, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use e_pigeon_core::{
    AttributesRef, CloseReason, Event, Filter, Instant, Peer, RefusalReason, Roster, RosterChange, Uuid,
    Value,
};

use crate::args;
use crate::context::{ClientContext, GOODBYE, Link, refused};
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signal;
use crate::transport::{Next, Task, Turn};
use crate::value::write_value;

/// How long the broker may take to confirm the goodbye when everything is printed.
const FAREWELL: Duration = Duration::from_secs(2);
/// Peers that are remembered, to tell changes from what was known; far above what a broker allows by default.
const MAX_PEERS: usize = 1 << 20;

pub(crate) fn run(arguments: &args::Peers) -> Result<u8, Failure> {
    let watch = arguments.watch;
    let code = if watch { Signal::success } else { Signal::exit_code };
    let (mut carrier, context) = ClientContext::open(&arguments.client, code, |config| {
        config.receives = false;
        config.watches = 1;
    })?;
    let out = Output::start(carrier.wake())?;
    let printer = Printer { out, json: arguments.json, watch, is_complete: false };
    let roster = Roster::new(MAX_PEERS);
    let goodbye = context.goodbye();
    let watcher = Watcher { context, roster, printer, code, is_asked: false, closing: None, failure: None };
    carrier.run(&mut ClientContext::polite(goodbye, watcher))
}

struct Watcher {
    context: ClientContext,
    roster: Roster,
    printer: Printer,
    /// The exit code for a signal.
    code: fn(Signal) -> u8,
    /// The broker was asked for the sessions.
    is_asked: bool,
    /// When the program ends, whatever the broker has confirmed by then, and with which exit code.
    closing: Option<(Instant, u8)>,
    /// Why it ends with an error all the same.
    failure: Option<Failure>,
}

impl Task for Watcher {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Next, Failure> {
        self.context.set_attributes(turn)?;
        if !std::mem::replace(&mut self.is_asked, true) {
            turn.client.watch(&Filter::everyone()).map_err(Failure::failed)?;
        }
        let watch = self.printer.watch;
        let signal = self.context.signals.take();
        let (_, outcome) = self.printer.out.written();
        if let Some(result) = self.take_events(turn) {
            return result.map(Next::Done);
        }
        self.printer.out.hand_over();
        let mut end = signal.map(|signal| (GOODBYE, (self.code)(signal)));
        match outcome {
            Ok(()) if self.printer.is_complete && !watch && self.printer.out.is_drained() => {
                end = end.or(Some((FAREWELL, 0)));
            }
            Ok(()) => {}
            Err(error) => {
                if error.kind() != io::ErrorKind::BrokenPipe {
                    self.failure = Some(Failure::stdout(&error));
                }
                end = Some((GOODBYE, 0));
            }
        }
        if self.closing.is_none()
            && let Some(failure) = self.context.given_up(turn.now, watch)
        {
            return Err(failure);
        }
        if let Some((patience, code)) = end {
            if self.closing.is_none() {
                self.context.close(turn.client);
            }
            let until = turn.now + patience;
            // A signal overrules a goodbye that takes its time.
            self.closing = Some(self.closing.map_or((until, code), |(at, code)| (at.min(until), code)));
        }
        Ok(match self.closing {
            Some((at, code)) if at <= turn.now || !turn.client.is_established() => {
                return self.failure.take().map_or(Ok(Next::Done(code)), Err);
            }
            Some((at, _)) => Next::Wait(Some(at)),
            None if self.printer.out.has_room() => Next::Wait(self.context.deadline(watch)),
            // The broker keeps further changes until the reader goes on.
            None => Next::Hold(self.context.deadline(watch)),
        })
    }
}

impl Watcher {
    /// Prints what has come. Returns how the client has ended, if it has.
    fn take_events(&mut self, turn: &mut Turn<'_>) -> Option<Result<u8, Failure>> {
        let mut ended = None;
        while self.closing.is_some() || self.printer.out.has_room() {
            let Some(event) = turn.client.poll_event() else { break };
            if self.closing.is_none() {
                self.roster.apply(&event, |change| self.printer.change(change));
            }
            let link = Link::from_event(&event);
            match event {
                Event::PresenceSynced(_) if self.closing.is_none() => self.printer.complete(),
                Event::WatchRefused(_, reason) => ended = Some(Err(unwatched(reason))),
                Event::AttributesRefused(reason) => ended = Some(Err(refused(reason))),
                Event::Closed(CloseReason::Requested) => {
                    let code = self.closing.map_or(0, |(_, code)| code);
                    ended = Some(self.failure.take().map_or(Ok(code), Err));
                }
                Event::Closed(reason) => ended = Some(Err(Failure::failed(reason))),
                _ => {}
            }
            self.context.tell(link, turn.trouble.as_deref());
        }
        ended
    }
}

/// The broker does not list its sessions.
fn unwatched(reason: RefusalReason) -> Failure {
    let advice = match reason {
        RefusalReason::NotAllowed => {
            "its policy forbids it for this session: connect with another --identity or --set"
        }
        _ => "start it with a larger --max-watches",
    };
    Failure::failed(format_args!("the broker does not list its sessions: {reason}; {advice}"))
}

/// Peers on their way to stdout.
struct Printer {
    out: Output,
    json: bool,
    watch: bool,
    /// The first snapshot is whole.
    is_complete: bool,
}

impl Printer {
    fn change(&mut self, change: RosterChange<'_>) {
        // Without --watch one snapshot is all that was asked for.
        if self.watch || !self.is_complete {
            // An output only collects, so it takes everything.
            let _ = write_change(&mut self.out, change, self.json);
        }
    }

    fn complete(&mut self) {
        let is_first = !std::mem::replace(&mut self.is_complete, true);
        if is_first && self.watch && self.json {
            let _ = self.out.write_all(b"{\"event\":\"snapshot\"}\n");
        }
    }
}

fn write_change(out: &mut impl Write, change: RosterChange<'_>, json: bool) -> io::Result<()> {
    let (event, id, peer) = match change {
        RosterChange::Here(_, id, peer) => ("here", id, Some(peer)),
        RosterChange::Changed(_, id, peer) => ("changed", id, Some(peer)),
        RosterChange::Gone(_, id) => ("gone", id, None),
        // A change that this program does not know.
        _ => return Ok(()),
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
    fn newcomer_11_the_advice_fits_the_reason() {
        assert!(unwatched(RefusalReason::BrokerFull).line.ends_with("start it with a larger --max-watches"));
        let line = unwatched(RefusalReason::NotAllowed).line;
        assert!(line.contains("not allowed") && !line.contains("--max-watches"), "{line}");
    }

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
