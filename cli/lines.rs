//! Messages from stdin: one a line, read ahead by a thread and no further than a few batches.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use crate::failure::Failure;
use crate::wake::Wake;

/// What one read takes at most, and so about the size of a batch.
const CHUNK: usize = 64 * 1024;
/// How many batches may wait. With the one in hand, that bounds what is read ahead.
const BATCHES: usize = 4;

/// Lines that came together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    /// Ends here; begins where the one before ends.
    To(usize),
    /// Was so many bytes long, and is not kept.
    TooLong(u64),
}

/// What is next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A line, without what ends it.
    Line(&'a [u8]),
    /// A line of so many bytes, more than the limit.
    TooLong(u64),
    /// Nothing yet; the loop is woken when to look again.
    Wait,
    /// Nothing any more.
    End,
}

/// Cuts a stream of chunks into lines.
#[derive(Debug)]
struct Cutter {
    delimiter: u8,
    /// The most bytes that a line may have.
    limit: usize,
    partial: Vec<u8>,
    /// How long the line is by now in which the last chunk ended.
    length: u64,
}

impl Cutter {
    fn new(delimiter: u8, limit: usize) -> Self {
        Self { delimiter, limit, partial: Vec::new(), length: 0 }
    }

    /// Takes a chunk, and returns the lines that it completes.
    fn cut(&mut self, chunk: &[u8]) -> Batch {
        let mut batch = Batch::default();
        let mut left = chunk;
        while let Some(end) = left.iter().position(|byte| *byte == self.delimiter) {
            self.keep(&left[..end]);
            self.complete(&mut batch);
            left = &left[end + 1..];
        }
        self.keep(left);
        batch
    }

    /// Takes the end of the stream; a last line needs no delimiter.
    fn end(&mut self) -> Batch {
        let mut batch = Batch::default();
        if self.length > 0 {
            self.complete(&mut batch);
        }
        batch
    }

    fn keep(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        if self.length <= self.limit as u64 {
            self.partial.extend_from_slice(piece);
        }
    }

    fn complete(&mut self, batch: &mut Batch) {
        if self.length <= self.limit as u64 {
            batch.bytes.extend_from_slice(&self.partial);
            batch.lines.push(Line::To(batch.bytes.len()));
        } else {
            batch.lines.push(Line::TooLong(self.length));
        }
        self.partial.clear();
        self.length = 0;
    }
}

/// The lines of stdin, for an event loop.
#[derive(Debug)]
pub(crate) struct Lines {
    batches: Receiver<io::Result<Batch>>,
    batch: Batch,
    /// Which line of the batch is next, and where it begins.
    line: usize,
    from: usize,
    ended: bool,
}

impl Lines {
    /// Starts to read. `wake` is called when there is something new.
    ///
    /// The thread ends with stdin, or with the program: nothing waits for it.
    pub(crate) fn of_stdin(delimiter: u8, limit: usize, wake: Wake) -> Result<Self, Failure> {
        let (sender, batches) = sync_channel(BATCHES);
        std::thread::Builder::new()
            .name("stdin".into())
            .spawn(move || {
                read(io::stdin().lock(), Cutter::new(delimiter, limit), &sender, &wake);
                // The end can be seen only when the sender is gone.
                drop(sender);
                wake();
            })
            .map_err(|error| Failure::system("start a thread for stdin", &error))?;
        Ok(Self::from_batches(batches))
    }

    fn from_batches(batches: Receiver<io::Result<Batch>>) -> Self {
        Self { batches, batch: Batch::default(), line: 0, from: 0, ended: false }
    }

    /// Says what is next, and stays there.
    pub(crate) fn peek(&mut self) -> Result<Next<'_>, Failure> {
        while self.line == self.batch.lines.len() {
            if self.ended {
                return Ok(Next::End);
            }
            match self.batches.try_recv() {
                Ok(Ok(batch)) => (self.batch, self.line, self.from) = (batch, 0, 0),
                Ok(Err(error)) => return Err(Failure::system("read stdin", &error)),
                Err(TryRecvError::Empty) => return Ok(Next::Wait),
                Err(TryRecvError::Disconnected) => self.ended = true,
            }
        }
        Ok(match self.batch.lines[self.line] {
            Line::To(end) => Next::Line(&self.batch.bytes[self.from..end]),
            Line::TooLong(length) => Next::TooLong(length),
        })
    }

    /// Goes to the next line.
    pub(crate) fn advance(&mut self) {
        if let Some(line) = self.batch.lines.get(self.line) {
            if let Line::To(end) = line {
                self.from = *end;
            }
            self.line += 1;
        }
    }
}

fn read(mut input: impl Read, mut cutter: Cutter, sender: &SyncSender<io::Result<Batch>>, wake: &Wake) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let (batch, last) = match input.read(&mut chunk) {
            Ok(0) => (Ok(cutter.end()), true),
            Ok(count) => (Ok(cutter.cut(&chunk[..count])), false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => (Err(error), true),
        };
        let empty = batch.as_ref().is_ok_and(|batch| batch.lines.is_empty());
        // A full channel stops the reading here; a closed one means that nobody wants to know.
        if !empty && sender.send(batch).is_err() {
            return;
        }
        wake();
        if last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines of `input`, read in chunks of `size`; too long ones as their length.
    fn lines(input: &[u8], delimiter: u8, size: usize) -> Vec<Result<Vec<u8>, u64>> {
        let (sender, batches) = sync_channel(1000);
        let mut cutter = Cutter::new(delimiter, 5);
        for chunk in input.chunks(size) {
            sender.send(Ok(cutter.cut(chunk))).expect("room");
        }
        sender.send(Ok(cutter.end())).expect("room");
        drop(sender);
        let mut lines = Lines::from_batches(batches);
        let mut all = Vec::new();
        loop {
            match lines.peek().expect("no error") {
                Next::Line(line) => all.push(Ok(line.to_vec())),
                Next::TooLong(length) => all.push(Err(length)),
                Next::Wait => panic!("everything is there"),
                Next::End => return all,
            }
            lines.advance();
        }
    }

    fn check(input: &[u8], delimiter: u8, expected: &[Result<&[u8], u64>]) {
        for size in 1..=input.len().max(1) {
            let found = lines(input, delimiter, size);
            let found: Vec<_> = found.iter().map(|line| line.as_deref().map_err(|length| *length)).collect();
            assert_eq!(found, expected, "in chunks of {size}");
        }
    }

    #[test]
    fn a_line_is_a_message() {
        check(b"one\ntwo\n", b'\n', &[Ok(b"one"), Ok(b"two")]);
    }

    #[test]
    fn a_last_line_without_newline_counts() {
        check(b"one\ntwo", b'\n', &[Ok(b"one"), Ok(b"two")]);
    }

    #[test]
    fn an_empty_line_is_an_empty_message() {
        check(b"\n\na\n\n", b'\n', &[Ok(b""), Ok(b""), Ok(b"a"), Ok(b"")]);
        check(b"\n", b'\n', &[Ok(b"")]);
        check(b"", b'\n', &[]);
    }

    #[test]
    fn only_the_newline_is_removed() {
        check(b"a\r\n b \n", b'\n', &[Ok(b"a\r"), Ok(b" b ")]);
    }

    #[test]
    fn nul_instead_of_newline() {
        check(b"a\nb\0\0c", 0, &[Ok(b"a\nb"), Ok(b""), Ok(b"c")]);
    }

    #[test]
    fn too_long_lines_are_not_kept() {
        check(b"12345\n123456\n1\n", b'\n', &[Ok(b"12345"), Err(6), Ok(b"1")]);
        check(b"1\n12345678901234567890", b'\n', &[Ok(b"1"), Err(20)]);
        let mut cutter = Cutter::new(b'\n', 5);
        for _ in 0..1000 {
            cutter.cut(b"1234");
            assert!(cutter.partial.len() <= 5);
        }
    }

    #[test]
    fn reading_waits_and_goes_on() {
        let (sender, batches) = sync_channel(1);
        let mut lines = Lines::from_batches(batches);
        assert_eq!(lines.peek(), Ok(Next::Wait));
        sender.send(Ok(Cutter::new(b'\n', 5).cut(b"a\n"))).expect("room");
        assert_eq!(lines.peek(), Ok(Next::Line(b"a")));
        assert_eq!(lines.peek(), Ok(Next::Line(b"a")), "peeking stays");
        lines.advance();
        assert_eq!(lines.peek(), Ok(Next::Wait));
        sender.send(Err(io::Error::other("gone"))).expect("room");
        assert_eq!(lines.peek().expect_err("told").line, "cannot read stdin: gone");
    }
}
