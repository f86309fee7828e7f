//! `send`: sends messages, and waits for what becomes of them.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use e_pigeon_core::{CloseReason, Destination, Event, Instant, Outgoing, SendError, Until};

use crate::args;
use crate::failure::Failure;
use crate::lines::{self, Lines};
use crate::session::{Link, Session, refused};
use crate::tally::Tally;
use crate::transport::{Next, Task, Turn};

/// How long the broker may take to confirm the goodbye after the last receipt.
const FAREWELL: Duration = Duration::from_secs(5);
/// The same where the program was interrupted or has given up: nobody wants to wait for it.
const HASTY: Duration = Duration::from_millis(300);
/// So many messages or bytes are handed over in a row; then they are written, and receipts are looked at.
const BATCH_MESSAGES: usize = 2048;
const BATCH_BYTES: usize = 256 * 1024;

pub(crate) fn run(arguments: args::Send) -> Result<u8, Failure> {
    let mut largest = 0;
    let (mut carrier, mut session) = Session::open(&arguments.client, |config| {
        config.receives = false;
        largest = config.max_payload;
    })?;
    let total = arguments.messages.len() as u64;
    let source = if arguments.messages.is_empty() {
        let delimiter = if arguments.nul { 0 } else { b'\n' };
        session.report.show_progress(None);
        Source::Stdin(Lines::of_stdin(delimiter, largest as usize, carrier.wake())?)
    } else {
        if total > 1 {
            session.report.show_progress(Some(total));
        }
        Source::Arguments(arguments.messages.into_iter().map(OsString::into_encoded_bytes).collect(), 0)
    };
    let mut sender = Sender {
        session,
        source,
        to: arguments.to,
        until: arguments.until.into(),
        time_to_live: arguments.expire,
        largest,
        tally: Tally::new(arguments.json),
        place: 0,
        met: false,
        blocked: false,
        more: false,
        refused: false,
        give_up_after: arguments.give_up_after,
        give_up: None,
        over: None,
    };
    carrier.run(&mut sender)
}

/// Where the messages come from.
enum Source {
    /// The arguments, and which of them is next.
    Arguments(Vec<Vec<u8>>, usize),
    Stdin(Lines),
}

impl Source {
    fn peek(&mut self) -> Result<lines::Next<'_>, Failure> {
        match self {
            Self::Arguments(messages, next) => {
                Ok(messages.get(*next).map_or(lines::Next::End, |message| lines::Next::Line(message)))
            }
            Self::Stdin(lines) => lines.peek(),
        }
    }

    fn advance(&mut self) {
        match self {
            Self::Arguments(_, next) => *next += 1,
            Self::Stdin(lines) => lines.advance(),
        }
    }

    fn is_at_end(&mut self) -> Result<bool, Failure> {
        Ok(self.peek()? == lines::Next::End)
    }
}

/// Why the sending is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// Every message has its receipt.
    Answered,
    GivenUp,
    /// With this exit code.
    Interrupted(u8),
    /// Nobody reads the receipts.
    Unread,
}

struct Sender {
    session: Session,
    source: Source,
    to: Destination,
    until: Until,
    time_to_live: Duration,
    /// The most bytes that a message may have here.
    largest: u32,
    tally: Tally,
    /// How many messages have come from the source.
    place: u64,
    /// The broker has had a session of this client.
    met: bool,
    /// The outbox is full.
    blocked: bool,
    /// The last batch ended early for the sake of the receipts.
    more: bool,
    /// The broker has refused the attributes.
    refused: bool,
    /// How long it may take altogether, until the first turn, and then until when.
    give_up_after: Option<Duration>,
    give_up: Option<Instant>,
    /// Why it is over, and when the program ends, whatever the broker has confirmed by then.
    over: Option<(Over, Instant)>,
}

impl Task for Sender {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Next, Failure> {
        self.session.set_attributes(turn)?;
        if let Some(after) = self.give_up_after.take() {
            self.give_up = Some(turn.now + after);
        }
        let mut ending = self.session.signals.take().map(|signal| Over::Interrupted(signal.exit_code()));

        let closed = self.handle_events(turn);
        let closed = match closed.and_then(|closed| self.tally.flush().map(|()| closed)) {
            Ok(closed) => closed,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                ending = ending.or(Some(Over::Unread));
                None
            }
            Err(error) => return Err(Failure::stdout(&error)),
        };
        match closed {
            None => {}
            Some(CloseReason::Requested) => {
                let over = self.over.map_or(Over::Answered, |(over, _)| over);
                return self.finish(turn, over);
            }
            Some(reason) => {
                // The reason is the line that ends the program; the sum goes before it.
                self.finish(turn, Over::GivenUp)?;
                return Err(Failure::failed(reason));
            }
        }

        if self.over.is_none() {
            self.feed(turn)?;
            if self.source.is_at_end()? && turn.client.unanswered().is_empty() {
                ending = ending.or(Some(Over::Answered));
            }
            if self.give_up.is_some_and(|at| at <= turn.now) {
                ending = ending.or(Some(Over::GivenUp));
            }
        }
        // An interruption overrules a goodbye that takes its time.
        if let Some(ending) = ending
            && self.over.is_none_or(|(over, _)| over == Over::Answered)
        {
            let patient = ending == Over::Answered && self.met;
            if !patient && !turn.client.is_established() {
                return self.finish(turn, ending);
            }
            self.session.close(turn.client);
            self.more = false;
            self.over = Some((ending, turn.now + if ending == Over::Answered { FAREWELL } else { HASTY }));
        }
        self.session.report.progress(self.tally.ended());
        if let Some((over, at)) = self.over
            && at <= turn.now
        {
            return self.finish(turn, over);
        }
        let deadline = self.over.map(|(_, at)| at).or(self.give_up);
        Ok(Next::Wait(if self.more { Some(turn.now) } else { deadline }))
    }
}

impl Sender {
    /// Takes all events, and returns why the client was closed if it was.
    fn handle_events(&mut self, turn: &mut Turn<'_>) -> io::Result<Option<CloseReason>> {
        while let Some(event) = turn.client.poll_event() {
            let link = Link::from_event(&event);
            match event {
                Event::Receipt(receipt) => self.tally.receipt(&receipt)?,
                Event::Established(_) => self.met = true,
                Event::CapacityAvailable => self.blocked = false,
                Event::AttributesRefused(reason) => {
                    self.refused = true;
                    self.session.report.line(format_args!("error: {}", refused(reason).line));
                }
                Event::Closed(reason) => return Ok(Some(reason)),
                _ => {}
            }
            self.session.tell(link, turn.trouble.as_deref());
        }
        Ok(None)
    }

    /// Hands messages over until there is none, or no room for it, or others have waited long enough.
    fn feed(&mut self, turn: &mut Turn<'_>) -> Result<(), Failure> {
        self.more = false;
        let mut bytes = 0;
        for _ in 0..BATCH_MESSAGES {
            if self.blocked || bytes > BATCH_BYTES {
                break;
            }
            let line = match self.source.peek()? {
                lines::Next::Wait | lines::Next::End => return Ok(()),
                lines::Next::Line(line) => line,
                lines::Next::TooLong(length) => {
                    self.skip(length, self.largest);
                    continue;
                }
            };
            let mut message = Outgoing::new(&self.to, line);
            message.until = self.until;
            message.time_to_live = self.time_to_live;
            match turn.client.send(&message) {
                Ok(_) => {
                    bytes += line.len();
                    self.tally.sent();
                    self.advance();
                }
                // The line stays where it is until a receipt makes room.
                Err(SendError::Full) => self.blocked = true,
                Err(SendError::TooLarge { max }) => {
                    let length = line.len() as u64;
                    self.skip(length, max);
                }
                // The event says why.
                Err(SendError::Closed) => return Ok(()),
                Err(error) => return Err(Failure::failed(error)),
            }
        }
        self.more = !self.blocked;
        Ok(())
    }

    fn advance(&mut self) {
        self.place += 1;
        self.source.advance();
    }

    /// Passes over a message that can never be sent.
    fn skip(&mut self, length: u64, max: u32) {
        self.advance();
        self.tally.too_large();
        let place = self.place;
        self.session.report.line(format_args!(
            "error: message {place} is too large: {length} bytes, at most {max}; send it in parts"
        ));
    }

    /// Tells what became of everything, and ends with the exit code.
    fn finish(&mut self, turn: &mut Turn<'_>, over: Over) -> Result<Next, Failure> {
        self.session.report.hide_progress();
        let complete = self.source.is_at_end()?;
        let mut unanswered = turn.client.unanswered().into_iter();
        let told = unanswered.try_for_each(|id| self.tally.unanswered(id)).and_then(|()| self.tally.flush());
        if over != Over::Unread && told.is_ok() {
            let mut summary = self.tally.summary();
            match &self.source {
                _ if complete => {}
                Source::Arguments(messages, next) => {
                    summary.push_str(&format!("; {} not sent", messages.len() - next));
                }
                Source::Stdin(_) => summary.push_str("; stdin was not read to its end"),
            }
            self.session.report.line(summary);
        }
        Ok(Next::Done(match over {
            Over::Interrupted(code) => code,
            _ if complete && self.tally.is_good() && !self.refused => 0,
            _ => 1,
        }))
    }
}
