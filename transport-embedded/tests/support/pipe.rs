//! Bytes in memory that one writes and another reads, in pieces of any size, with faults at will.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

/// What a half says when it fails.
pub type Fault = ErrorKind;

/// One direction. Whoever is dropped while waiting has read and written nothing.
#[derive(Clone, Debug)]
pub struct Pipe(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    bytes: VecDeque<u8>,
    /// Bytes that have room, and that are moved at a time.
    room: usize,
    piece: usize,
    /// Bytes that go through until it is cut.
    until_cut: usize,
    /// It was cut: the reader is told of the end, or gets an error.
    end: Option<Result<(), Fault>>,
    /// Told to the next reader, once.
    fault: Option<Fault>,
    /// What has to be flushed before a reader sees it; `None` where nothing is held back.
    held: Option<VecDeque<u8>>,
    wakers: Vec<Waker>,
}

impl Inner {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    fn wait(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|other| other.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }

    fn take(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.piece).min(self.bytes.len());
        for (to, from) in out.iter_mut().zip(self.bytes.drain(..count)) {
            *to = from;
        }
        count
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let taken = self.bytes.len() + self.held.as_ref().map_or(0, VecDeque::len);
        let count = bytes.len().min(self.piece).min(self.room.saturating_sub(taken)).min(self.until_cut);
        self.held.as_mut().unwrap_or(&mut self.bytes).extend(&bytes[..count]);
        // Whoever holds back gives it out when it has no room for more.
        if taken + count == self.room
            && let Some(held) = &mut self.held
        {
            self.bytes.extend(held.drain(..));
        }
        self.until_cut -= count;
        if self.until_cut == 0 && self.end.is_none() {
            self.cut(Ok(()));
        }
        count
    }

    fn cut(&mut self, end: Result<(), Fault>) {
        self.end = Some(end);
        self.bytes.clear();
        self.wake();
    }
}

impl Pipe {
    pub fn new(room: usize, piece: usize) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            bytes: VecDeque::new(),
            room,
            piece,
            until_cut: usize::MAX,
            end: None,
            fault: None,
            held: None,
            wakers: Vec::new(),
        })))
    }

    /// Readers see only what was flushed.
    pub fn holding(self) -> Self {
        self.0.borrow_mut().held = Some(VecDeque::new());
        self
    }

    /// It is cut when so many bytes have gone through.
    pub fn cut_after(&self, bytes: usize) {
        self.0.borrow_mut().until_cut = bytes;
    }

    /// What is in it is gone, and nothing more goes through.
    pub fn cut(&self, end: Result<(), Fault>) {
        self.0.borrow_mut().cut(end);
    }

    /// Nothing more is written; what is in it can be read to its end.
    pub fn finish(&self) {
        let mut inner = self.0.borrow_mut();
        inner.end.get_or_insert(Ok(()));
        inner.wake();
    }

    pub fn is_cut(&self) -> bool {
        self.0.borrow().end.is_some()
    }

    /// The next who reads is told so.
    pub fn fail_once(&self, fault: Fault) {
        let mut inner = self.0.borrow_mut();
        inner.fault = Some(fault);
        inner.wake();
    }

    /// Takes what is there, without waiting.
    pub fn take_all(&self) -> Vec<u8> {
        let mut inner = self.0.borrow_mut();
        let bytes: Vec<u8> = inner.bytes.drain(..).collect();
        if !bytes.is_empty() {
            inner.wake();
        }
        bytes
    }

    /// Puts what there is room for, without waiting.
    pub fn put(&self, bytes: &[u8]) -> usize {
        let mut inner = self.0.borrow_mut();
        if inner.end.is_some() {
            return bytes.len();
        }
        let count = inner.put(bytes);
        if count > 0 {
            inner.wake();
        }
        count
    }
}

impl ErrorType for Pipe {
    type Error = Fault;
}

impl Read for Pipe {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        poll_fn(|context| {
            let mut inner = self.0.borrow_mut();
            if let Some(fault) = inner.fault.take() {
                return Poll::Ready(Err(fault));
            }
            match inner.take(out) {
                0 => {}
                count => {
                    inner.wake();
                    return Poll::Ready(Ok(count));
                }
            }
            if let Some(end) = inner.end {
                return Poll::Ready(end.map(|()| 0));
            }
            inner.wait(context.waker());
            Poll::Pending
        })
        .await
    }
}

impl Write for Pipe {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        poll_fn(|context| {
            let mut inner = self.0.borrow_mut();
            if inner.end.is_some() {
                return Poll::Ready(Err(Fault::BrokenPipe));
            }
            match inner.put(bytes) {
                0 => {
                    inner.wait(context.waker());
                    Poll::Pending
                }
                count => {
                    inner.wake();
                    Poll::Ready(Ok(count))
                }
            }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        let mut inner = self.0.borrow_mut();
        if let Some(held) = &mut inner.held {
            let held = std::mem::take(held);
            inner.bytes.extend(held);
            inner.wake();
        }
        Ok(())
    }
}
