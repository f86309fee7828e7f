//! `send`: sends messages, and waits for what becomes of them.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::time::Duration;

use e_pigeon_core::{
    CloseReason, Destination, Event, Instant, Message, MessageId, Receipt, Retain, SendError,
};

use crate::args;
use crate::context::{ClientContext, GOODBYE, Link, refused};
use crate::failure::Failure;
use crate::lines::{self, Lines};
use crate::output::Output;
use crate::signals::Signal;
use crate::tally::Tally;
use crate::transport::{Next, Task, Turn};

/// How long the broker may take to confirm the goodbye after the last receipt.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long the reader may take for the last lines if the program was interrupted or has given up.
const WRITING: Duration = Duration::from_millis(200);
/// So many messages or bytes are handed over in a row; then they are written, and receipts are looked at.
const BATCH_MESSAGES: usize = 2048;
const BATCH_BYTES: usize = 256 * 1024;
/// A message that has waited for so long gets a line that names its destination.
const QUIET: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: args::Send) -> Result<u8, Failure> {
    let mut largest = 0;
    let (mut carrier, mut context) = ClientContext::open(&arguments.client, Signal::exit_code, |config| {
        config.receives = false;
        largest = config.max_payload;
    })?;
    let total = arguments.messages.len() as u64;
    let source = if arguments.messages.is_empty() {
        let delimiter = if arguments.nul { 0 } else { b'\n' };
        if io::stdin().is_terminal() {
            context.report.line("each line is a message; Ctrl-D ends");
        } else {
            context.report.show_progress(None);
        }
        Source::Stdin(Lines::of_stdin(delimiter, largest as usize, carrier.wake())?)
    } else {
        if total > 1 {
            context.report.show_progress(Some(total));
        }
        Source::Arguments(arguments.messages.into_iter().map(OsString::into_encoded_bytes).collect(), 0)
    };
    if arguments.to.has_star {
        context.report.line("note: * in --to matches only itself; there are no wildcards");
    }
    let mut to = arguments.to.destination;
    if arguments.exclude_self {
        to = to.exclude_self();
    }
    if arguments.only_connected {
        to = to.only_connected();
    }
    let json = arguments.json.then(|| Output::start(carrier.wake())).transpose()?;
    let goodbye = context.goodbye();
    let sender = Sender {
        context,
        source,
        to,
        until: arguments.until.into(),
        time_to_live: arguments.expire,
        largest,
        tally: Tally::new(json),
        place: 0,
        blocked: false,
        more: false,
        refused: false,
        accepted: None,
        quiet_since: None,
        over: None,
        settled: None,
    };
    carrier.run(&mut ClientContext::polite(goodbye, sender))
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
#[derive(Clone, Debug, PartialEq, Eq)]
enum Over {
    /// Every message has its receipt.
    Answered,
    /// It cannot go on, or not any longer.
    Failed(Failure),
    /// With this exit code.
    Interrupted(u8),
    /// Nobody reads the receipts.
    Unread,
}

struct Sender {
    context: ClientContext,
    source: Source,
    to: Destination,
    until: Retain,
    time_to_live: Duration,
    /// The most bytes that a message may have here.
    largest: u32,
    tally: Tally,
    /// How many messages have come from the source.
    place: u64,
    /// The outbox is full.
    blocked: bool,
    /// The last batch ended early for the sake of the receipts.
    more: bool,
    /// The broker has refused the attributes.
    refused: bool,
    /// The message that the broker accepted last, and for how many sessions.
    accepted: Option<(MessageId, u32)>,
    /// When the last receipt came, until there is a line about what is still waited for.
    quiet_since: Option<Instant>,
    /// Why it is over, and when the program ends, whatever the broker has confirmed by then.
    over: Option<(Over, Instant)>,
    /// The same when there is nothing more to say than what is on its way to stdout, and when the program ends whatever
    /// of that is written.
    settled: Option<(Over, Option<Instant>)>,
}

impl Task for Sender {
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Next, Failure> {
        self.context.set_attributes(turn)?;
        let signal = self.context.signals.take();
        let mut ending = signal.map(|signal| Over::Interrupted(signal.exit_code()));
        if self.settled.is_some() {
            return self.finish(turn, ending);
        }

        let closed = self.handle_events(turn);
        if let Err(error) = self.tally.hand_over() {
            ending = Some(match error.kind() {
                io::ErrorKind::BrokenPipe => Over::Unread,
                _ => Over::Failed(Failure::stdout(&error)),
            });
        }
        match closed {
            None => {}
            Some(CloseReason::Requested) => {
                let over = self.over.take().map_or(Over::Answered, |(over, _)| over);
                return self.settle(turn, over);
            }
            Some(reason) => return self.settle(turn, Over::Failed(Failure::failed(reason))),
        }

        if self.over.is_none() {
            if self.tally.has_room() {
                self.feed(turn)?;
            } else {
                self.more = false;
            }
            if self.source.is_at_end()? && turn.client.unanswered().is_empty() {
                ending = ending.or(Some(Over::Answered));
            }
            self.say_what_is_waited_for(turn);
        }
        // With all receipts there, a goodbye that takes its time is not worth an error.
        if ending.is_none() && self.over.is_none() {
            ending = self.context.given_up(turn.now, false).map(Over::Failed);
        }
        // An interruption overrules a goodbye that takes its time.
        if let Some(ending) = ending
            && self.over.as_ref().is_none_or(|(over, _)| *over == Over::Answered)
        {
            let is_patient = ending == Over::Answered && self.context.met;
            if !is_patient && !turn.client.is_established() {
                return self.settle(turn, ending);
            }
            self.context.close(turn.client);
            self.more = false;
            let limit = if ending == Over::Answered { FAREWELL } else { GOODBYE };
            self.over = Some((ending, turn.now + limit));
        }
        self.context.report.progress(self.tally.ended());
        if self.over.as_ref().is_some_and(|(_, at)| *at <= turn.now)
            && let Some((over, _)) = self.over.take()
        {
            return self.settle(turn, over);
        }
        let deadlines = match &self.over {
            Some((_, at)) => [Some(*at), None],
            None => [self.context.deadline(false), self.quiet_since.map(|since| since + QUIET)],
        };
        Ok(Next::Wait(if self.more { Some(turn.now) } else { deadlines.into_iter().flatten().min() }))
    }
}

impl Sender {
    /// Takes all events, and returns why the client was closed if it was.
    fn handle_events(&mut self, turn: &mut Turn<'_>) -> Option<CloseReason> {
        while let Some(event) = turn.client.poll_event() {
            let link = Link::from_event(&event);
            match event {
                Event::Receipt(receipt) => {
                    self.tally.receipt(&receipt);
                    self.quiet_since = Some(turn.now);
                    if let Receipt::Accepted { id, recipients, last: false, .. } = receipt {
                        tracing::debug!("message {} is accepted for {recipients}", id.0);
                        self.accepted = Some((id, recipients));
                    }
                }
                Event::CapacityAvailable => self.blocked = false,
                Event::AttributesRefused(reason) => {
                    self.refused = true;
                    self.context.report.line(format_args!("error: {}", refused(reason).line));
                }
                Event::Closed(reason) => return Some(reason),
                _ => {}
            }
            self.context.tell(link, turn.trouble.as_deref());
        }
        None
    }

    /// After a while without a receipt, says once who has not confirmed the message that was accepted last.
    fn say_what_is_waited_for(&mut self, turn: &mut Turn<'_>) {
        if self.quiet_since.is_none_or(|since| turn.now < since + QUIET) {
            return;
        }
        self.quiet_since = None;
        let Some((id, recipients)) = self.accepted else { return };
        if !turn.client.unanswered().contains(&id) {
            return;
        }
        match recipients {
            0 => self.context.report.line("waiting for a session that matches --to"),
            1 => self.context.report.line("waiting for 1 recipient that is away, or slow"),
            // Which of them have confirmed is known only in the end.
            many => self
                .context
                .report
                .line(format_args!("waiting for some of {many} recipients that are away, or slow")),
        }
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
            let message = Message::new(&self.to, line).retain(self.until).time_to_live(self.time_to_live);
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
        self.context.report.line(format_args!(
            "error: message {place} is too large: {length} bytes, at most {max}; send it in parts"
        ));
    }

    /// Counts what has no answer, and lets the last lines be written.
    fn settle(&mut self, turn: &mut Turn<'_>, over: Over) -> Result<Next, Failure> {
        for id in turn.client.unanswered() {
            self.tally.unanswered(id);
        }
        let limit = if over == Over::Answered { None } else { Some(turn.now + WRITING) };
        self.settled = Some((over, limit));
        self.finish(turn, None)
    }

    /// Ends with the exit code when all lines are written.
    fn finish(&mut self, turn: &mut Turn<'_>, ending: Option<Over>) -> Result<Next, Failure> {
        let Some((mut over, mut limit)) = self.settled.take() else { return Ok(Next::Done(1)) };
        if let (None, Some(interrupted)) = (limit, ending) {
            (over, limit) = (interrupted, Some(turn.now + WRITING));
        }
        if let Err(error) = self.tally.hand_over() {
            over = match error.kind() {
                io::ErrorKind::BrokenPipe => Over::Unread,
                _ => Over::Failed(Failure::stdout(&error)),
            };
            limit = Some(turn.now);
        }
        if !self.tally.is_drained() && limit.is_none_or(|at| turn.now < at) {
            self.settled = Some((over, limit));
            return Ok(Next::Hold(limit));
        }
        self.context.report.hide_progress();
        let complete = self.source.is_at_end()?;
        if over != Over::Unread {
            let mut summary = self.tally.summary();
            match &self.source {
                _ if complete => {}
                Source::Arguments(messages, next) => {
                    summary.push_str(&format!("; {} not sent", messages.len() - next));
                }
                Source::Stdin(_) => summary.push_str("; stdin was not read to its end"),
            }
            self.context.report.line(summary);
        }
        match over {
            Over::Interrupted(code) => Ok(Next::Done(code)),
            // The reason is the last line.
            Over::Failed(failure) => Err(failure),
            Over::Unread => Ok(Next::Done(0)),
            Over::Answered => {
                Ok(Next::Done(if complete && self.tally.is_good() && !self.refused { 0 } else { 1 }))
            }
        }
    }
}
