//! `listen`: prints each message that comes.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use e_pigeon_core::{CloseReason, Event, Instant, MessageId, Received, Token, Uuid};

use crate::args;
use crate::failure::Failure;
use crate::session::{Link, Session, refused};
use crate::transport::{Next, Task, Turn};

/// How long the broker may take to confirm the goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

pub(crate) fn run(arguments: &args::Listen) -> Result<u8, Failure> {
    // A message counts as taken when it has left the program, and only then.
    let (mut carrier, session) =
        Session::open(&arguments.client, |config| config.manual_acknowledgement = true)?;
    let printer = Printer {
        out: BufWriter::with_capacity(64 * 1024, io::stdout().lock()),
        json: arguments.json,
        delimiter: if arguments.nul { 0 } else { b'\n' },
        left: arguments.count,
        printed: None,
    };
    carrier.run(&mut Listener { session, printer, closing: false, deadline: None })
}

struct Listener<W: Write> {
    session: Session,
    printer: Printer<W>,
    /// The goodbye is said.
    closing: bool,
    /// When the program ends, whatever the broker has confirmed by then.
    deadline: Option<Instant>,
}

impl<W: Write> Task for Listener<W> {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Next, Failure> {
        self.session.set_attributes(turn)?;
        let signal = self.session.signals.take();
        let (ended, outcome) = self.take_events(turn);
        match outcome.and_then(|()| self.printer.flush()) {
            Ok(Some(token)) => turn.client.acknowledge(token),
            Ok(None) => {}
            // Nobody reads any more. What did not get out is not acknowledged, and its sender is told.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.printer.stop();
                self.deadline = self.deadline.or(Some(turn.now + FAREWELL));
            }
            Err(error) => return Err(Failure::stdout(&error)),
        }
        if let Some(result) = ended {
            return result.map(Next::Done);
        }
        if signal.is_some() && self.deadline.is_none() {
            self.deadline = Some(turn.now + FAREWELL);
            if !turn.client.is_established() {
                return Ok(Next::Done(0));
            }
        }
        if !self.closing && (signal.is_some() || self.printer.is_done()) {
            self.printer.stop();
            self.session.close(turn.client);
            self.closing = true;
        }
        if self.deadline.is_some_and(|at| at <= turn.now) {
            return Ok(Next::Done(0));
        }
        Ok(Next::Wait(self.deadline))
    }
}

impl<W: Write> Listener<W> {
    /// Prints what has come. Returns how the client has ended, if it has, and what stdout says.
    fn take_events(&mut self, turn: &mut Turn<'_>) -> (Option<Result<u8, Failure>>, io::Result<()>) {
        let mut ended = None;
        let mut outcome = Ok(());
        // What comes after the last message that was asked for is left to whoever is this client next.
        while outcome.is_ok() && (self.closing || !self.printer.is_done()) {
            let Some(event) = turn.client.poll_event() else { break };
            let link = Link::from_event(&event);
            match event {
                Event::Message(message) => outcome = self.printer.print(&message),
                Event::AttributesRefused(reason) => ended = Some(Err(refused(reason))),
                Event::Closed(CloseReason::Requested) => ended = Some(Ok(0)),
                Event::Closed(reason) => ended = Some(Err(Failure::failed(reason))),
                _ => {}
            }
            self.session.tell(link, turn.trouble.as_deref());
        }
        (ended, outcome)
    }
}

/// Messages on their way to stdout.
struct Printer<W: Write> {
    out: W,
    json: bool,
    delimiter: u8,
    /// How many messages are still to be printed, where there is a limit.
    left: Option<u64>,
    /// The last message that was printed and not flushed yet.
    printed: Option<Token>,
}

impl<W: Write> Printer<W> {
    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints no more.
    fn stop(&mut self) {
        self.left = Some(0);
        self.printed = None;
    }

    /// Prints a message, unless all that were asked for are printed.
    fn print(&mut self, message: &Received<'_>) -> io::Result<()> {
        if self.is_done() {
            return Ok(());
        }
        if self.json {
            write_json(&mut self.out, message.from, message.id, message.payload, message.maybe_repeated)?;
        } else {
            self.out.write_all(message.payload)?;
        }
        self.out.write_all(&[self.delimiter])?;
        self.printed = Some(message.token);
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Ok(())
    }

    /// Gives out what is printed, and returns the last message that is.
    fn flush(&mut self) -> io::Result<Option<Token>> {
        if self.printed.is_some() {
            self.out.flush()?;
        }
        Ok(self.printed.take())
    }
}

/// Writes a message as one JSON object.
fn write_json(
    out: &mut impl Write,
    from: Uuid,
    id: MessageId,
    payload: &[u8],
    maybe_repeated: bool,
) -> io::Result<()> {
    write!(out, r#"{{"from":"{from}","id":{id},"#)?;
    match std::str::from_utf8(payload) {
        Ok(text) => {
            out.write_all(br#""payload":"#)?;
            serde_json::to_writer(&mut *out, text)?;
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
        write_json(&mut out, Uuid::from_u128(7), MessageId(3), payload, maybe_repeated).expect("a vector");
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
