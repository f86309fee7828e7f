//! `send`: sends messages, and waits for what becomes of them.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use e_pigeon_core::{CloseReason, Destination, Event, Instant, Outgoing, SendError, Until};

use crate::args;
use crate::failure::{Failure, plain};
use crate::lines::{Lines, Next};
use crate::session::{Link, Session};
use crate::tally::Tally;

/// How long the broker may take to confirm the goodbye after the last receipt.
const FAREWELL: Duration = Duration::from_secs(5);
/// The same where the program was interrupted or has given up: nobody wants to wait for it.
const HASTY: Duration = Duration::from_millis(300);
/// So many messages or bytes are handed over in a row; then they are written, and receipts are looked at.
const BATCH_MESSAGES: usize = 2048;
const BATCH_BYTES: usize = 256 * 1024;

pub(crate) fn run(arguments: args::Send) -> Result<u8, Failure> {
    let mut largest = 0;
    let mut session = Session::open(&arguments.client, |config| {
        config.receives = false;
        largest = config.max_payload;
    })?;
    let total = arguments.messages.len() as u64;
    let source = if arguments.messages.is_empty() {
        let delimiter = if arguments.nul { 0 } else { b'\n' };
        session.report.show_progress(None);
        Source::Stdin(Lines::of_stdin(delimiter, largest as usize, session.waker())?)
    } else {
        if total > 1 {
            session.report.show_progress(Some(total));
        }
        Source::Arguments(arguments.messages.into_iter().map(OsString::into_encoded_bytes).collect(), 0)
    };
    let give_up = arguments.give_up_after.map(|after| session.driver.now() + after);
    let sender = Sender {
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
    };
    sender.run(give_up)
}

/// Where the messages come from.
enum Source {
    /// The arguments, and which of them is next.
    Arguments(Vec<Vec<u8>>, usize),
    Stdin(Lines),
}

impl Source {
    fn peek(&mut self) -> Result<Next<'_>, Failure> {
        match self {
            Self::Arguments(messages, next) => {
                Ok(messages.get(*next).map_or(Next::End, |message| Next::Line(message)))
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
        Ok(self.peek()? == Next::End)
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
}

impl Sender {
    fn run(mut self, give_up: Option<Instant>) -> Result<u8, Failure> {
        let mut over: Option<(Over, Instant)> = None;
        loop {
            let now = self.session.driver.now();
            let deadline = over.map(|(_, at)| at).or(give_up);
            let mut limit = deadline.map(|at| at.saturating_duration_since(now));
            if self.more {
                limit = Some(Duration::ZERO);
            }
            let signal = self.session.wait(limit)?;
            let mut ending = signal.map(|signal| Over::Interrupted(signal.exit_code()));

            let closed = self.handle_events();
            let closed = match closed.and_then(|closed| self.tally.flush().map(|()| closed)) {
                Ok(closed) => closed,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    ending = ending.or(Some(Over::Unread));
                    None
                }
                Err(error) => {
                    return Err(Failure::failed(format_args!("cannot write to stdout: {}", plain(&error))));
                }
            };
            match closed {
                None => {}
                Some(CloseReason::Requested) => {
                    return self.finish(over.map_or(Over::Answered, |(over, _)| over));
                }
                Some(reason) => {
                    // The reason is the line that ends the program; the sum goes before it.
                    self.finish(Over::GivenUp)?;
                    return Err(Failure::failed(reason));
                }
            }

            let now = self.session.driver.now();
            if over.is_none() {
                self.feed(now)?;
                if self.session.driver.client().unanswered().next().is_none() && self.source.is_at_end()? {
                    ending = ending.or(Some(Over::Answered));
                }
                if give_up.is_some_and(|at| at <= now) {
                    ending = ending.or(Some(Over::GivenUp));
                }
            }
            // An interruption overrules a goodbye that takes its time.
            if let Some(ending) = ending
                && over.is_none_or(|(over, _)| over == Over::Answered)
            {
                let patient = ending == Over::Answered && self.met;
                if !patient && !self.session.driver.client().is_established() {
                    return self.finish(ending);
                }
                self.session.close();
                self.more = false;
                over = Some((ending, now + if ending == Over::Answered { FAREWELL } else { HASTY }));
            }
            self.session.report.progress(self.tally.ended());
            self.session.driver.flush();
            if let Some((over, at)) = over
                && at <= self.session.driver.now()
            {
                return self.finish(over);
            }
        }
    }

    /// Takes all events, and returns why the client was closed if it was.
    fn handle_events(&mut self) -> io::Result<Option<CloseReason>> {
        while let Some(event) = self.session.driver.client().poll_event() {
            let link = Link::from_event(&event);
            match event {
                Event::Receipt(receipt) => self.tally.receipt(&receipt)?,
                Event::Established(_) => self.met = true,
                Event::CapacityAvailable => self.blocked = false,
                Event::AttributesRefused(reason) => {
                    self.refused = true;
                    self.session.report.line(format_args!(
                        "error: the broker refuses the attributes: {reason}; change --set"
                    ));
                }
                Event::Closed(reason) => return Ok(Some(reason)),
                _ => {}
            }
            self.session.tell(link);
        }
        Ok(None)
    }

    /// Hands messages over until there is none, or no room for it, or others have waited long enough.
    fn feed(&mut self, now: Instant) -> Result<(), Failure> {
        self.more = false;
        let mut bytes = 0;
        for _ in 0..BATCH_MESSAGES {
            if self.blocked || bytes > BATCH_BYTES {
                break;
            }
            let line = match self.source.peek()? {
                Next::Wait | Next::End => return Ok(()),
                Next::Line(line) => line,
                Next::TooLong(length) => {
                    self.skip(length, self.largest);
                    continue;
                }
            };
            let mut message = Outgoing::new(&self.to, line);
            message.until = self.until;
            message.time_to_live = self.time_to_live;
            match self.session.driver.client().send(now, &message) {
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

    /// Tells what became of everything, and returns the exit code.
    fn finish(&mut self, over: Over) -> Result<u8, Failure> {
        self.session.report.hide_progress();
        let complete = self.source.is_at_end()?;
        let mut unanswered = self.session.driver.client().unanswered();
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
        Ok(match over {
            Over::Interrupted(code) => code,
            _ if complete && self.tally.is_good() && !self.refused => 0,
            _ => 1,
        })
    }
}
