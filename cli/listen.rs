//! `listen`: prints each message that comes.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use e_pigeon_core::{AckToken, CloseReason, Delivery, Event, Instant, MessageId, Uuid};

use crate::args;
use crate::context::{ClientContext, GOODBYE, Link, refused};
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signal;
use crate::terminal;
use crate::transport::{Next, Task, Turn};

/// How long the reader may take for what is printed when a signal comes.
const WRITING: Duration = Duration::from_millis(200);

pub(crate) fn run(arguments: &args::Listen) -> Result<u8, Failure> {
    // A message is acknowledged when stdout has taken it, and only then. That also limits what waits for stdout.
    let (mut carrier, context) = ClientContext::open(&arguments.client, Signal::success, |config| {
        config.manual_acknowledgement = true;
    })?;
    let printer = Printer {
        out: Output::start(carrier.wake())?,
        json: arguments.json,
        is_terminal: io::stdout().is_terminal(),
        delimiter: if arguments.nul { 0 } else { b'\n' },
        left: arguments.count,
        unwritten: VecDeque::new(),
    };
    let goodbye = context.goodbye();
    let is_endless = arguments.count.is_none();
    let listener = Listener { context, printer, is_endless, stage: Stage::Printing, outcome: Ok(0) };
    carrier.run(&mut ClientContext::polite(goodbye, listener))
}

/// How far it has got. The time is when the stage ends whatever has happened; without one it takes as long as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Printing,
    /// Nothing more is printed; what is printed is on its way to stdout.
    Writing(Option<Instant>),
    /// The goodbye is said.
    Closing(Option<Instant>),
}

struct Listener {
    context: ClientContext,
    printer: Printer,
    /// Only a signal ends it.
    is_endless: bool,
    stage: Stage,
    /// How it ends when the broker has confirmed the goodbye.
    outcome: Result<u8, Failure>,
}

impl Task for Listener {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Next, Failure> {
        self.context.set_attributes(turn)?;
        let signal = self.context.signals.take();
        let (written, outcome) = self.printer.written();
        if let Some(token) = written {
            turn.client.acknowledge(token);
        }
        if let Some(result) = self.take_events(turn) {
            return result.map(Next::Done);
        }
        self.printer.out.hand_over();

        if let Err(error) = outcome {
            // What was not written is not acknowledged.
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.outcome = Err(Failure::stdout(&error));
            }
            self.close(turn, Some(turn.now + GOODBYE));
        } else if signal.is_some() {
            self.stage = match self.stage {
                Stage::Printing | Stage::Writing(None) => Stage::Writing(Some(turn.now + WRITING)),
                Stage::Closing(None) => Stage::Closing(Some(turn.now + GOODBYE)),
                other => other,
            };
        } else if self.stage == Stage::Printing && self.printer.is_done() {
            self.stage = Stage::Writing(None);
        }
        if let Some(failure) = self.context.given_up(turn.now, self.is_endless) {
            return Err(failure);
        }
        if let Stage::Writing(until) = self.stage
            && (self.printer.out.is_drained() || until.is_some_and(|at| at <= turn.now))
        {
            self.close(turn, until.map(|_| turn.now + GOODBYE));
        }
        let patience = self.context.deadline(self.is_endless);
        let earliest = |until: Option<Instant>| [until, patience].into_iter().flatten().min();
        Ok(match self.stage {
            Stage::Printing => Next::Wait(patience),
            Stage::Writing(until) => Next::Hold(earliest(until)),
            Stage::Closing(Some(until)) if until <= turn.now || !turn.client.is_established() => {
                return std::mem::replace(&mut self.outcome, Ok(0)).map(Next::Done);
            }
            Stage::Closing(until) => Next::Wait(earliest(until)),
        })
    }
}

impl Listener {
    fn close(&mut self, turn: &mut Turn<'_>, until: Option<Instant>) {
        if !matches!(self.stage, Stage::Closing(_)) {
            self.context.close(turn.client);
        }
        self.stage = Stage::Closing(until);
    }

    /// Prints what has come. Returns how the client has ended, if it has.
    fn take_events(&mut self, turn: &mut Turn<'_>) -> Option<Result<u8, Failure>> {
        let mut ended = None;
        loop {
            match self.stage {
                // Messages behind the last that was asked for are left to the next program with this identity.
                Stage::Printing if self.printer.is_done() => break,
                Stage::Writing(_) => break,
                Stage::Printing | Stage::Closing(_) => {}
            }
            let Some(event) = turn.client.poll_event() else { break };
            let link = Link::from_event(&event);
            match event {
                Event::Message(message) if self.stage == Stage::Printing => self.printer.print(&message),
                Event::AttributesRefused(reason) => ended = Some(Err(refused(reason))),
                Event::Closed(CloseReason::Requested) => {
                    ended = Some(std::mem::replace(&mut self.outcome, Ok(0)));
                }
                Event::Closed(reason) => ended = Some(Err(Failure::failed(reason))),
                _ => {}
            }
            self.context.tell(link, turn.trouble.as_deref());
        }
        ended
    }
}

/// Messages on their way to stdout.
struct Printer {
    out: Output,
    json: bool,
    is_terminal: bool,
    delimiter: u8,
    /// How many messages are still to be printed, where there is a limit.
    left: Option<u64>,
    /// The messages that stdout has not taken yet, each with the position of its end.
    unwritten: VecDeque<(u64, AckToken)>,
}

impl Printer {
    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// The last message that stdout has taken since the last time, and why it takes no more.
    fn written(&mut self) -> (Option<AckToken>, io::Result<()>) {
        let (position, outcome) = self.out.written();
        let mut last = None;
        while self.unwritten.front().is_some_and(|(end, _)| *end <= position) {
            last = self.unwritten.pop_front().map(|(_, token)| token);
        }
        (last, outcome)
    }

    fn print(&mut self, message: &Delivery<'_>) {
        // An output only collects, so it takes everything.
        let _ = self.write(message).and_then(|()| self.out.write_all(&[self.delimiter]));
        self.unwritten.push_back((self.out.position(), message.token));
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
    }

    fn write(&mut self, message: &Delivery<'_>) -> io::Result<()> {
        if self.json {
            let repeated = message.maybe_repeated;
            let shown = self.is_terminal;
            write_json(&mut self.out, message.from, message.id, message.payload, repeated, shown)
        } else if self.is_terminal {
            terminal::write_text(&mut self.out, message.payload)
        } else {
            self.out.write_all(message.payload)
        }
    }
}

/// Writes a message as one JSON object. On a terminal no control character is left in it.
fn write_json(
    out: &mut impl Write,
    from: Uuid,
    id: MessageId,
    payload: &[u8],
    maybe_repeated: bool,
    is_terminal: bool,
) -> io::Result<()> {
    write!(out, r#"{{"from":"{from}","id":{id},"#)?;
    match std::str::from_utf8(payload) {
        Ok(text) => {
            out.write_all(br#""payload":"#)?;
            if is_terminal {
                terminal::write_json(&mut *out, text)?;
            } else {
                serde_json::to_writer(&mut *out, text)?;
            }
        }
        Err(_) => write!(out, r#""payload_base64":"{}""#, BASE64.encode(payload))?,
    }
    if maybe_repeated {
        out.write_all(br#","maybe_repeated":true"#)?;
    }
    out.write_all(b"}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(payload: &[u8], maybe_repeated: bool) -> String {
        let mut out = Vec::new();
        let id = MessageId(3);
        write_json(&mut out, Uuid::from_u128(7), id, payload, maybe_repeated, false).expect("a vector");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn json_objects() {
        let from = r#""from":"00000000-0000-0000-0000-000000000007","id":3"#;
        assert_eq!(json(b"hi \"you\"\n", false), format!(r#"{{{from},"payload":"hi \"you\"\n"}}"#));
        assert_eq!(json(b"", true), format!(r#"{{{from},"payload":"","maybe_repeated":true}}"#));
        assert_eq!(json(b"\xff\x00", false), format!(r#"{{{from},"payload_base64":"/wA="}}"#));
    }
}
