//! The state that the handles and the driver of a client share, behind one lock.
//!
//! A handle or a driver that has the lock acts on the core at once. Wakers are called, and dropped, after the lock is released: both
//! may run code of the executor that takes it again.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use e_pigeon_core::{
    AckToken, Client, Close, CloseReason, Event as Lent, EventFilter, Instant, Message, MessageId, Receipt,
    SendError,
};
use e_pigeon_transport::{Clock, Endpoint};

use crate::event::Event;
use crate::roster::RosterCache;
use crate::waiters::{Place, Waiters};

/// The lock and the state behind it.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<Inner>);

/// Everything about a client but its socket.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) core: Client<Box<[u8]>>,
    clock: Clock,
    manual: bool,
    /// The driver's task, while it waits.
    driver: Option<Waker>,
    pub(crate) readers: Waiters,
    pub(crate) senders: Waiters,
    pub(crate) closers: Waiters,
    pub(crate) watchers: Waiters,
    pub(crate) in_flight: HashMap<MessageId, Slot>,
    /// Receipts that are to be events. While there are `max_reports`, no further receipt is taken from the core.
    reports: VecDeque<Receipt>,
    max_reports: usize,
    /// Events that were left when the client had closed.
    rest: VecDeque<Event>,
    /// The roster, if the application keeps one.
    pub(crate) roster: RosterCache,
    /// The message that was handed out last, to be acknowledged when the next event is asked for.
    lent: Option<AckToken>,
    /// A command was refused for lack of room, so the application gets an event when there is room.
    refused: bool,
    has_room: bool,
    /// How many handles exist: clients, and outcomes of messages that were not dropped.
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

/// Where the receipts of a message go.
#[derive(Debug)]
pub(crate) enum Slot {
    /// To a [`Delivered`](crate::Delivered): the receipt so far, and the waker of its task.
    Held(Option<Receipt>, Option<Waker>),
    /// To a [`Delivered`](crate::Delivered), which has not been polled since the final receipt came.
    Done(Receipt),
    /// To the events.
    Event,
}

impl Shared {
    pub(crate) fn new(core: Client<Box<[u8]>>, manual: bool, max_reports: usize) -> Self {
        Self(Mutex::new(Inner {
            core,
            clock: Clock::start(),
            manual,
            driver: None,
            readers: Waiters::default(),
            senders: Waiters::default(),
            closers: Waiters::default(),
            watchers: Waiters::default(),
            in_flight: HashMap::new(),
            reports: VecDeque::new(),
            max_reports,
            rest: VecDeque::new(),
            roster: RosterCache::default(),
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

    /// Calls `act`, hands out the receipts and events that follow from it, and wakes the tasks that wait for them.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut Inner) -> R) -> R {
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

impl Inner {
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Notes that the driver waits until a command wakes it.
    pub(crate) fn driver_waits(&mut self, waker: &Waker) {
        let before = self.driver.replace(waker.clone());
        self.dropped.extend(before);
    }

    /// Wakes the driver for new work.
    pub(crate) fn wake_driver(&mut self) {
        self.wakers.extend(self.driver.take());
    }

    /// True if no handle of the client and no outcome of a message is left.
    pub(crate) fn is_alone(&self) -> bool {
        self.clients == 0 && self.wanted == 0
    }

    /// Wakes the driver if it is the last part of the client that is left.
    pub(crate) fn wake_driver_where_alone(&mut self) {
        if self.is_alone() {
            self.wake_driver();
        }
    }

    /// Drops a waker after the lock is released.
    pub(crate) fn drop_waker(&mut self, waker: Option<Waker>) {
        self.dropped.extend(waker);
    }

    /// True if the client takes no command and has no further event.
    pub(crate) fn is_over(&self) -> bool {
        self.over || self.closed.is_some()
    }

    /// Notes that the driver is gone, and wakes all tasks that wait.
    pub(crate) fn end(&mut self) {
        self.over = true;
    }

    /// Gives up a place, and lets the task that is first now try.
    pub(crate) fn leave(&mut self, line: fn(&mut Self) -> &mut Waiters, place: Place) {
        let waker = line(self).leave(place);
        self.dropped.extend(waker);
        self.senders.wake_first(&mut self.wakers);
    }

    pub(crate) fn send(&mut self, message: &Message<'_>) -> Result<MessageId, SendError> {
        self.send_by(|core, now| core.send(now, message))
    }

    /// Sends a message by the given call of the core.
    pub(crate) fn send_by<E: From<SendError>>(
        &mut self,
        send: impl FnOnce(&mut Client<Box<[u8]>>, Instant) -> Result<MessageId, E>,
    ) -> Result<MessageId, E> {
        if self.is_over() {
            return Err(SendError::Closed.into());
        }
        let now = self.now();
        let id = send(&mut self.core, now)?;
        self.in_flight.insert(id, Slot::Held(None, None));
        self.wanted += 1;
        self.wake_driver();
        Ok(id)
    }

    /// Notes that a command was refused and its caller does not wait.
    pub(crate) fn note_refused(&mut self) {
        self.refused = true;
    }

    /// Closes the client. Further calls change nothing.
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
        // Receipts and room are handed out elsewhere, so the core has none, unless too many reports wait.
        self.settle_receipts();
        let event = Event::from_core(self.core.poll_event()?, now)?;
        if matches!(event, Event::Presence(_) | Event::PresenceSynced(_)) {
            // The inbox has room for more presence, which the driver has to tell the broker.
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

    /// Puts a receipt where the application wants it.
    pub(crate) fn hand_out(&mut self, receipt: Receipt) {
        let id = receipt.id();
        match self.in_flight.get_mut(&id) {
            // Its outcome was dropped.
            None | Some(Slot::Done(_)) => {}
            Some(Slot::Event) => {
                if receipt.is_final() {
                    self.in_flight.remove(&id);
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
            && let Some(Lent::Receipt(receipt)) = self.core.poll_event_of(EventFilter::RECEIPTS)
        {
            self.hand_out(receipt);
        }
        if self.core.poll_event_of(EventFilter::CAPACITY).is_some() {
            self.senders.wake_first(&mut self.wakers);
            self.has_room |= mem::take(&mut self.refused);
        }
    }

    /// Puts presence into the roster, if there is one; true if there was presence.
    pub(crate) fn settle_presence(&mut self) -> bool {
        let any = self.roster.update(&mut self.core);
        if self.roster.has_news() {
            self.watchers.wake_all(&mut self.wakers);
        }
        any
    }

    /// Hands out receipts and presence of the core, and wakes all tasks that can go on.
    fn settle(&mut self) {
        self.settle_receipts();
        if self.settle_presence() {
            // The inbox has room for more presence, which the driver has to tell the broker.
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
            for slot in self.in_flight.values_mut() {
                if let Slot::Held(_, waker) = slot {
                    self.wakers.extend(waker.take());
                }
            }
        }
    }

    /// Takes the last events of a closed core, which lends no message any more: one of them says how it ended.
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
