//! What a client's handles and its driver share, behind one lock.
//!
//! Whoever holds the lock acts on the core at once. Wakers are called, and dropped, after it was given back: both may run
//! code of the executor's that comes back here.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use e_pigeon_core::{
    AckToken, Client, Close, CloseReason, Event as Lent, Instant, Message, MessageId, Receipt, SendError,
};
use e_pigeon_transport::{Clock, Endpoint};

use crate::event::Event;
use crate::kept::Kept;
use crate::waiters::{Place, Waiters};

/// What is shared.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<State>);

/// Everything about a client but its socket.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Client<Box<[u8]>>,
    clock: Clock,
    manual: bool,
    /// The driver's task, while it waits.
    driver: Option<Waker>,
    pub(crate) readers: Waiters,
    pub(crate) senders: Waiters,
    pub(crate) closers: Waiters,
    pub(crate) watchers: Waiters,
    pub(crate) answers: HashMap<MessageId, Slot>,
    /// Receipts that are to be told as events. While there are `max_reports`, no further receipt is taken from the core.
    reports: VecDeque<Receipt>,
    max_reports: usize,
    /// What remained to be told when the client had closed.
    rest: VecDeque<Event>,
    /// Who is here, where that is wanted.
    pub(crate) kept: Kept,
    /// The message that was handed out last, to be acknowledged when the next event is asked for.
    lent: Option<AckToken>,
    /// A command was refused for lack of room, and the application wants to know when there is some.
    refused: bool,
    has_room: bool,
    /// Handles that are there: clients, and answers that somebody still wants.
    pub(crate) clients: usize,
    pub(crate) wanted: usize,
    /// Nobody drives the client any more.
    over: bool,
    /// The core has found a bug in itself.
    pub(crate) is_broken: bool,
    pub(crate) closed: Option<CloseReason>,
    /// The connection is to be given up.
    pub(crate) reconnect: bool,
    pub(crate) connected_to: Option<Endpoint>,
    pub(crate) last_error: Option<Arc<io::Error>>,
    wakers: Vec<Waker>,
    /// Wakers to be dropped without a call.
    dropped: Vec<Waker>,
}

/// What becomes of the receipts of a message.
#[derive(Debug)]
pub(crate) enum Slot {
    /// Somebody has the answer in hand: the interim receipt, and whom to wake.
    Held(Option<Receipt>, Option<Waker>),
    /// The final one is there for whoever has the answer in hand.
    Done(Receipt),
    /// They come as events.
    Event,
}

impl Shared {
    pub(crate) fn new(core: Client<Box<[u8]>>, manual: bool, max_reports: usize) -> Self {
        Self(Mutex::new(State {
            core,
            clock: Clock::start(),
            manual,
            driver: None,
            readers: Waiters::default(),
            senders: Waiters::default(),
            closers: Waiters::default(),
            watchers: Waiters::default(),
            answers: HashMap::new(),
            reports: VecDeque::new(),
            max_reports,
            rest: VecDeque::new(),
            kept: Kept::default(),
            lent: None,
            refused: false,
            has_room: false,
            clients: 1,
            wanted: 0,
            over: false,
            is_broken: false,
            closed: None,
            reconnect: false,
            connected_to: None,
            last_error: None,
            wakers: Vec::new(),
            dropped: Vec::new(),
        }))
    }

    /// Does something with the state, hands out what has come of it, and wakes whom it concerns.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut state);
        state.settle();
        let wakers = mem::take(&mut state.wakers);
        let dropped = mem::take(&mut state.dropped);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop(dropped);
        result
    }
}

impl State {
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The driver waits from now on, until a command wakes it.
    pub(crate) fn driver_waits(&mut self, waker: &Waker) {
        let before = self.driver.replace(waker.clone());
        self.dropped.extend(before);
    }

    /// There is something for the driver to do.
    pub(crate) fn wake_driver(&mut self) {
        self.wakers.extend(self.driver.take());
    }

    /// True where nobody holds the client or an answer any more.
    pub(crate) fn is_alone(&self) -> bool {
        self.clients == 0 && self.wanted == 0
    }

    /// The driver has to know when it is the last that is left.
    pub(crate) fn wake_driver_where_alone(&mut self) {
        if self.is_alone() {
            self.wake_driver();
        }
    }

    /// A waker is of no more use.
    pub(crate) fn drop_waker(&mut self, waker: Option<Waker>) {
        self.dropped.extend(waker);
    }

    /// True where no command is taken and nothing comes any more.
    pub(crate) fn is_over(&self) -> bool {
        self.over || self.closed.is_some()
    }

    /// Nobody drives the client any more: whoever waits is told.
    pub(crate) fn end(&mut self) {
        self.over = true;
    }

    /// Gives up a place; whoever comes first now may try.
    pub(crate) fn leave(&mut self, line: fn(&mut Self) -> &mut Waiters, place: Place) {
        let waker = line(self).leave(place);
        self.dropped.extend(waker);
        self.senders.wake_first(&mut self.wakers);
    }

    pub(crate) fn send(&mut self, message: &Message<'_>) -> Result<MessageId, SendError> {
        self.send_by(|core, now| core.send(now, message))
    }

    /// The same, however the core is given the message.
    pub(crate) fn send_by<E: From<SendError>>(
        &mut self,
        send: impl FnOnce(&mut Client<Box<[u8]>>, Instant) -> Result<MessageId, E>,
    ) -> Result<MessageId, E> {
        if self.is_over() {
            return Err(SendError::Closed.into());
        }
        let now = self.now();
        let id = send(&mut self.core, now)?;
        self.answers.insert(id, Slot::Held(None, None));
        self.wanted += 1;
        self.wake_driver();
        Ok(id)
    }

    /// A command was refused, and its caller goes on with other things.
    pub(crate) fn note_refused(&mut self) {
        self.refused = true;
    }

    /// Leaves; says again what was said before.
    pub(crate) fn close(&mut self, how: Close) {
        self.core.close(self.now(), how);
        self.senders.wake_first(&mut self.wakers);
        self.wake_driver();
    }

    /// The next event, if any. Asking for it acknowledges the message before, whether or not there is one.
    pub(crate) fn take_event(&mut self) -> Option<Event> {
        if let Some(token) = self.lent.take() {
            self.core.acknowledge(token);
            self.wake_driver();
        }
        if let Some(receipt) = self.reports.pop_front() {
            return Some(Event::Receipt(receipt));
        }
        if mem::take(&mut self.has_room) {
            return Some(Event::CapacityAvailable);
        }
        if let Some(event) = self.rest.pop_front() {
            return Some(event);
        }
        let now = self.now();
        // Receipts and room are handed out elsewhere, and are not there where reports are not many.
        self.settle_receipts();
        let event = Event::from_core(self.core.poll_event()?, now)?;
        if matches!(event, Event::Presence(_) | Event::PresenceSynced(_)) {
            // There is room for more now, and the broker has to hear of it.
            self.wake_driver();
        }
        if let Event::Message(message) = &event
            && !self.manual
        {
            self.lent = Some(message.token);
        }
        Some(event)
    }

    /// Says whether [`take_event`](Self::take_event) has something to give.
    fn has_event(&self) -> bool {
        !self.reports.is_empty() || self.has_room || !self.rest.is_empty() || self.core.has_event()
    }

    /// The receipt of a message, to where it is wanted.
    pub(crate) fn hand_out(&mut self, receipt: Receipt) {
        let id = receipt.id();
        match self.answers.get_mut(&id) {
            // Nobody wants it.
            None | Some(Slot::Done(_)) => {}
            Some(Slot::Event) => {
                if receipt.is_final() {
                    self.answers.remove(&id);
                }
                self.reports.push_back(receipt);
            }
            Some(slot @ Slot::Held(..)) => {
                let held =
                    if receipt.is_final() { Slot::Done(receipt) } else { Slot::Held(Some(receipt), None) };
                if let Slot::Held(_, waker) = mem::replace(slot, held) {
                    self.wakers.extend(waker);
                }
            }
        }
    }

    fn settle_receipts(&mut self) {
        while self.reports.len() < self.max_reports
            && let Some(receipt) = self.core.poll_receipt()
        {
            self.hand_out(receipt);
        }
        if self.core.poll_capacity() {
            self.senders.wake_first(&mut self.wakers);
            self.has_room |= mem::take(&mut self.refused);
        }
    }

    /// Presence goes into the roster, where there is one; true where there was some.
    pub(crate) fn settle_presence(&mut self) -> bool {
        let any = self.kept.update(&mut self.core);
        if self.kept.has_news() {
            self.watchers.wake_all(&mut self.wakers);
        }
        any
    }

    /// Hands out what the core has for others than readers, and wakes whoever can go on.
    fn settle(&mut self) {
        self.settle_receipts();
        if self.settle_presence() {
            // There is room for more now, and the broker has to hear of it.
            self.wake_driver();
        }
        if self.core.is_closed() && self.closed.is_none() {
            self.take_rest();
        }
        if self.has_event() {
            self.readers.wake_all(&mut self.wakers);
        }
        if self.is_over() {
            let Self { readers, senders, closers, watchers, .. } = self;
            for waiters in [readers, senders, closers, watchers] {
                waiters.wake_all(&mut self.wakers);
            }
            for slot in self.answers.values_mut() {
                if let Slot::Held(_, waker) = slot {
                    self.wakers.extend(waker.take());
                }
            }
        }
    }

    /// The core lends no message any more: what else it has to say is taken, so that it is known how it ended.
    fn take_rest(&mut self) {
        let now = self.now();
        while let Some(event) = self.core.poll_event() {
            if let Lent::Closed(reason) = event {
                self.closed = Some(reason);
            }
            match Event::from_core(event, now) {
                Some(Event::Receipt(receipt)) => self.hand_out(receipt),
                event => self.rest.extend(event),
            }
        }
    }
}
