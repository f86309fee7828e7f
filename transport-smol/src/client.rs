//! The handle of a client.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};

use e_pigeon_core::{
    AckToken, ClientConfig, Close, CloseReason, ConfigError, Filter, Message, MessageId, Roster, SendError,
    SetError, Uuid, Value, WatchError, WatchId,
};
use e_pigeon_transport::{Endpoint, Resolver};

use crate::delivered::Delivered;
use crate::driver::Driver;
use crate::event::Event;
use crate::state::{Inner, Shared};
use crate::waiters::{Place, Waiters};

/// Makes a client: a handle for the application, and a driver that does all the I/O.
///
/// The driver is to be spawned or awaited beside the application, on any executor; without it nothing happens. The memory
/// of the client ([`ClientConfig::memory_needed`]) and about 320 KiB of buffers are allocated here.
///
/// # Errors
///
/// The config contradicts itself: the caller's fault.
pub fn client(config: ClientConfig, resolver: impl Into<Resolver>) -> Result<(Client, Driver), ConfigError> {
    let memory = vec![0; config.memory_needed()].into_boxed_slice();
    let (manual, max_reports) = (config.manual_acknowledgement, config.outbox_messages);
    let framing = config.framing;
    let core = e_pigeon_core::Client::new(config, memory)?;
    let uuid = core.uuid();
    let shared = Arc::new(Shared::new(core, manual, usize::try_from(max_reports).unwrap_or(usize::MAX)));
    let driver = Driver::new(shared.clone(), resolver.into(), framing);
    Ok((Client { shared, uuid }, driver))
}

/// A client of a broker. Clones are the same client, and may be used on any thread.
///
/// Commands take effect at once and never wait, whether or not there is a connection. Every future here may be dropped
/// at any time: what it has not given out is not lost, and what it has not done is not done in half.
///
/// When the last clone is dropped and no [`Delivered`] is awaited any more, the client leaves as with [`Close::KeepSession`]: what
/// was sent is still written, for 5 seconds at most, and the session stays at the broker for its time to live.
#[derive(Debug)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    uuid: Uuid,
}

impl Client {
    /// Takes a message. It is sent as soon as there is a session, and kept until it is answered. Never waits.
    ///
    /// Returns a future of its [outcome](Delivered), which has the [id](Delivered::id) of the message, may be awaited for the receipt,
    /// and may be dropped.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] where the outbox has no room now; [`Event::CapacityAvailable`] follows, and
    /// [`send_wait`](Self::send_wait) waits for it. [`SendError::Closed`] after [`close`](Self::close), and where there is no
    /// driver any more. The others are the caller's fault.
    pub fn send(&self, message: &Message<'_>) -> Result<Delivered, SendError> {
        let sent = self.shared.with(|state| {
            let sent = state.send(message);
            if sent == Err(SendError::Full) {
                state.note_refused();
            }
            sent
        });
        sent.map(|id| self.delivered(id))
    }

    /// The same, but waits while the outbox has no room: in turn with others who wait here.
    ///
    /// Where the future is dropped before it is ready, nothing was sent.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), but never [`SendError::Full`].
    pub async fn send_wait(&self, message: &Message<'_>) -> Result<Delivered, SendError> {
        self.wait_for_room(|state| match state.send(message) {
            Err(SendError::Full) => None,
            sent => Some(sent),
        })
        .await
    }

    /// Tries to send as long as that brings nothing, in turn with others.
    pub(crate) async fn wait_for_room<E>(
        &self,
        mut attempt: impl FnMut(&mut Inner) -> Option<Result<MessageId, E>>,
    ) -> Result<Delivered, E> {
        let mut turn = Turn::new(&self.shared, |state| &mut state.senders);
        let sent = poll_fn(|context| {
            turn.poll(context.waker(), |state, place| {
                let has_turn = state.senders.is_first(place) || state.is_over();
                if has_turn { attempt(state).map(|sent| sent.map(|id| self.delivered(id))) } else { None }
            })
        });
        sent.await
    }

    pub(crate) fn delivered(&self, id: MessageId) -> Delivered {
        Delivered::new(self.shared.clone(), id)
    }

    /// Waits for the next event; `None` when there will be none any more, because [`Event::Closed`] was the last or the
    /// driver is gone.
    ///
    /// Asking for it acknowledges the message that was handed out before, unless
    /// [`manual_acknowledgement`](ClientConfig::manual_acknowledgement) is on. An event is handed out only with the future's
    /// result, so a future that is dropped takes none along. Where several tasks ask, each event goes to one of them, and
    /// what one of them asks acknowledges what another was given: they had better acknowledge manually.
    ///
    /// Nobody has to take events. Messages then wait in the inbox until it is full, and after that at the broker;
    /// receipts are handed out all the same.
    pub async fn next_event(&self) -> Option<Event> {
        let mut turn = Turn::new(&self.shared, |state| &mut state.readers);
        poll_fn(|context| {
            turn.poll(context.waker(), |state, _| match state.take_event() {
                None if state.is_over() => Some(None),
                event => event.map(Some),
            })
        })
        .await
    }

    /// Acknowledges all messages up to the one with this token. Only needed with
    /// [`manual_acknowledgement`](ClientConfig::manual_acknowledgement); a token from before is harmless.
    pub fn acknowledge(&self, up_to: AckToken) {
        self.shared.with(|state| {
            state.core.acknowledge(up_to);
            state.wake_driver();
        });
    }

    /// Sets an attribute of this client's session. Takes effect in order with the messages.
    ///
    /// # Errors
    ///
    /// The key or value breaks a limit, the client was closed, or ([`SetError::Full`]) the outbox has no room now;
    /// [`Event::CapacityAvailable`] follows then.
    pub fn set(&self, key: &str, value: Value<'_>) -> Result<(), SetError> {
        self.change(|state| state.core.set(state.now(), key, value))
    }

    /// Removes an attribute of this client's session. Takes effect in order with the messages.
    ///
    /// # Errors
    ///
    /// No session could have such a key, and else as with [`set`](Self::set).
    pub fn remove(&self, key: &str) -> Result<(), SetError> {
        self.change(|state| state.core.remove(state.now(), key))
    }

    fn change(&self, change: impl FnOnce(&mut Inner) -> Result<(), SetError>) -> Result<(), SetError> {
        self.shared.with(|state| {
            if state.is_over() {
                return Err(SetError::Closed);
            }
            let changed = change(state);
            if changed == Err(SetError::Full) {
                state.note_refused();
            }
            state.wake_driver();
            changed
        })
    }

    /// Watches the presence of all sessions that match a filter, connected and away. First comes [`Event::PresenceReset`], then
    /// an [`Event::Presence`] for each, then [`Event::PresenceSynced`]; after that each change. It lasts until
    /// [`unwatch`](Self::unwatch) or the end of this client, across links, sessions and brokers.
    ///
    /// # Errors
    ///
    /// The client was closed, or the filter is one too many or too long for the config. Where the *broker* does not allow
    /// it, [`Event::WatchRefused`] follows.
    pub fn watch(&self, filter: &Filter) -> Result<WatchId, WatchError> {
        self.shared.with(|state| {
            if state.is_over() {
                return Err(WatchError::Closed);
            }
            state.wake_driver();
            state.core.watch(state.now(), filter)
        })
    }

    /// Ends a watch: no further event names it. Harmless if it has ended already.
    pub fn unwatch(&self, watch: WatchId) {
        self.shared.with(|state| {
            state.core.unwatch(state.now(), watch);
            state.wake_driver();
        });
    }

    /// Keeps a roster from now on: all sessions that this client [watches](Self::watch), but no more than `max_peers`. Presence
    /// then goes into the [`roster`](Self::roster) as it comes, whether or not anybody takes events, and is no event any
    /// more.
    pub fn keep_roster(&self, max_peers: usize) {
        self.shared.with(|state| state.roster.begin(max_peers));
    }

    /// The roster as it is now; empty without [`keep_roster`](Self::keep_roster).
    ///
    /// What is returned does not change any more. It is copied once after a change, and shared from then on.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        self.shared.with(|state| state.roster.show())
    }

    /// Waits until the roster has changed since this last returned one; `None` when the client is over. Where several
    /// tasks wait, one of them gets it.
    pub async fn roster_changed(&self) -> Option<Arc<Roster>> {
        let mut turn = Turn::new(&self.shared, |state| &mut state.watchers);
        poll_fn(|context| {
            turn.poll(context.waker(), |state, _| match state.roster.take_news() {
                None if state.is_over() => Some(None),
                news => news.map(Some),
            })
        })
        .await
    }

    /// Closes the client at once; await the future to know when the broker has confirmed it.
    ///
    /// What was sent and can be written is written, the message that was handed out last is acknowledged, and no other
    /// is handed out. The future's result is how the client ended, or `None` where the driver is gone before that. It
    /// waits for a connection where there is none, as long as that takes.
    pub fn close(&self, how: Close) -> impl Future<Output = Option<CloseReason>> + Send + use<> {
        self.shared.with(|state| state.close(how));
        let client = self.clone();
        async move {
            let mut turn = Turn::new(&client.shared, |state| &mut state.closers);
            poll_fn(|context| turn.poll(context.waker(), |state, _| state.is_over().then_some(state.closed)))
                .await
        }
    }

    /// Gives up the connection, as if the network had broken it; use it after a change of networks, for example. The driver
    /// connects again by itself, to the endpoint that the resolver returns then. Harmless without a connection.
    pub fn reconnect(&self) {
        self.shared.with(|state| {
            state.reconnect = true;
            state.wake_driver();
        });
    }

    /// Who this client is.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// The messages that have no final receipt, in the order of sending.
    #[must_use]
    pub fn unanswered(&self) -> Vec<MessageId> {
        self.shared.with(|state| state.core.unanswered().collect())
    }

    /// True between a welcome and the end of its link.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.shared.with(|state| state.core.is_established())
    }

    /// True where the client has ended for good, or its driver is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.with(|state| state.is_over())
    }

    /// Says whether the client has found [a bug in itself](e_pigeon_core::Client::is_broken). Its driver has ended then, and
    /// [`last_error`](Self::last_error) says so; make a new client with a new boot, or end the program.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.shared.with(|state| state.is_broken)
    }

    /// The endpoint that the driver is connected to. A connection alone is no session yet.
    #[must_use]
    pub fn connected_to(&self) -> Option<Endpoint> {
        self.shared.with(|state| state.connected_to.clone())
    }

    /// Says why the last attempt to connect failed, or what broke the last connection.
    ///
    /// `None` once there is a connection again, and after one that ended in order.
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<io::Error>> {
        self.shared.with(|state| state.last_error.clone())
    }
}

impl Clone for Client {
    fn clone(&self) -> Self {
        self.shared.with(|state| state.clients += 1);
        Self { shared: self.shared.clone(), uuid: self.uuid }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.with(|state| {
            state.clients -= 1;
            state.wake_driver_where_alone();
        });
    }
}

/// A place among those who wait, which is given up when this is dropped.
struct Turn<'s> {
    shared: &'s Shared,
    line: fn(&mut Inner) -> &mut Waiters,
    place: Option<Place>,
}

impl<'s> Turn<'s> {
    fn new(shared: &'s Shared, line: fn(&mut Inner) -> &mut Waiters) -> Self {
        Self { shared, line, place: None }
    }

    /// Tries, and waits where that brings nothing.
    fn poll<T>(&mut self, waker: &Waker, attempt: impl FnOnce(&mut Inner, Place) -> Option<T>) -> Poll<T> {
        let (line, place) = (self.line, &mut self.place);
        self.shared.with(|state| {
            let place = *place.get_or_insert_with(|| line(state).join());
            match attempt(state, place) {
                Some(result) => Poll::Ready(result),
                None => {
                    let before = line(state).wait(place, waker);
                    state.drop_waker(before);
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shared.with(|state| state.leave(self.line, place));
        }
    }
}
