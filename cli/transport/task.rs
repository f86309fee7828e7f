//! What a command does with its client, whatever carries it.

use e_pigeon_core::{
    AckToken, Close, Event, Filter, Instant, Message, MessageId, SendError, SetError, Value, WatchError,
    WatchId,
};

use crate::failure::Failure;

/// A client as the commands see it, whatever carries it. Each method is that of [`e_pigeon_core::Client`].
pub(crate) trait Client {
    fn set(&mut self, key: &str, value: Value<'_>) -> Result<(), SetError>;
    fn send(&mut self, message: &Message<'_>) -> Result<MessageId, SendError>;
    fn watch(&mut self, filter: &Filter) -> Result<WatchId, WatchError>;
    fn acknowledge(&mut self, up_to: AckToken);
    fn close(&mut self, how: Close);
    fn poll_event(&mut self) -> Option<Event<'_>>;
    fn is_established(&mut self) -> bool;
    /// Gives up the connection, as if the network had broken it.
    fn reconnect(&mut self);
    fn unanswered(&mut self) -> Vec<MessageId>;
}

/// What a command does with its client.
pub(crate) trait Task {
    /// Takes the events that have come, and gives commands; they go out together when this returns.
    ///
    /// It is called once per turn of the loop: after events, when the time it asked for is over, and after a [`Wake`](crate::wake::Wake).
    fn turn(&mut self, turn: &mut Turn<'_>) -> Result<Next, Failure>;
}

/// What a task gets to work with.
pub(crate) struct Turn<'a> {
    pub(crate) client: &'a mut dyn Client,
    pub(crate) now: Instant,
    /// What the system says about the connection that is not there.
    pub(crate) trouble: Option<String>,
}

/// What a task wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its next turn when something happens, or at this time.
    Wait(Option<Instant>),
    /// The same, but events stay where they are, so that the broker has to wait.
    Hold(Option<Instant>),
    /// No more, and this exit code.
    Done(u8),
}
