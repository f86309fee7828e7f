//! How often each fault and each rare path was hit: what was never hit was not tested.

use core::fmt;

macro_rules! paths {
    ($($name:ident $text:literal,)*) => {
        /// A fault, or a path that is rarely taken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Path {
            $(#[doc = $text] $name,)*
        }

        impl Path {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it is, in words.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

paths! {
    CutBoth "fault: connection cut, both ends know",
    CutClient "fault: half-open, only the client knows",
    CutBroker "fault: half-open, only the broker knows",
    CutInFrame "fault: cut inside a frame",
    Stalled "fault: connection stalled",
    Unreachable "fault: client unreachable",
    Stopped "fault: client stopped and back",
    Restarted "fault: client restarted",
    RestartedSilently "fault: client restarted, the broker does not notice",
    Killed "fault: broker killed",
    KilledSilently "fault: broker killed, clients do not notice",
    Jumped "fault: clock jumped",
    SlowApplication "fault: application does not read",
    Flooded "attack: a stranger floods the broker",
    SetBurst "attack: eight changes of attributes arrive at once",
    ParkedPairs "attack: attributes change while eight messages wait",
    Spent "a call of the broker did all the work that it may",
    PresenceInTurns "in turns: a change told to watchers",
    ReleaseInTurns "in turns: what a change of attributes releases",
    HelloInTurns "in turns: what a hello releases",
    OffersInTurns "in turns: a held message offered",
    AcknowledgedInTurns "in turns: items acknowledged",
    EarlyInTurns "in turns: items that came early",
    LeftInTurns "in turns: what is left of a session",
    ClosedInTurns "in turns: links ended by the broker",
    SettledInTurns "in turns: links served after settling",
    AcceptedInTurns "in turns: messages accepted",
    ExpiredInTurns "in turns: timers",
    EndedLinks "the broker ended all links",
    EndedLink "a link ended because the broker shuts down",
    SenderWaiting "share: a sender has too many messages that wait",
    WaitingFull "places of messages that wait: all taken",
    QueuedFull "places in queues: all taken",
    SenderQueue "share: a sender has too much in a queue",
    ReceiptsFull "a link ended because too many receipts wait",
    SessionsFull "a hello refused: as many sessions as may be",
    ShorterLife "a welcome named a shorter time to live",
    SilentLinks "attack: links without a hello",
    MadeWay "a link without a hello made way",
    SourceFull "as many links of a source as may be",
    SourceFailed "too many failed hellos of a source",
    BothLinks "two links of a client at once",
    ReorderedAccept "a newer link was accepted before an older one",
    LeftAway "client left, its session stays",
    LeftForGood "client left, its session ends",
    TinyOutput "output through a buffer of less than eight bytes",
    Resumed "session resumed",
    ResumedBehind "session resumed, both sides behind",
    Renewed "session renewed by the broker",
    LostSession "client got a new session",
    ForgottenByClient "client forgot its session first",
    SessionExpired "session expired",
    Takeover "an older live link taken over",
    TakeoverByBoot "a link taken over by another boot",
    SupersededHello "a hello from an old link refused",
    BrokerSilent "link ended for silence, by the broker",
    ClientSilent "link ended for silence, by the client",
    HelloTimeout "no hello in time",
    WelcomeTimeout "no welcome in time",
    LinksFull "as many links as may be",
    WelcomedShut "settling: welcomed with the window shut",
    Narrowed "receipts shut the window",
    WindowOpened "window opened again",
    WindowFull "window of the broker full",
    InboxFull "window of a client full",
    Parked "parked",
    Released "parked and released",
    RetrySent "sent again, nothing known",
    RetryParked "sent again, was parked",
    RetryTaken "sent again, was accepted: held",
    OfferedAgain "offered to a recipient after the broker's death",
    ReleasedToReturning "held and taken by a recipient that came back",
    RepeatedInFlight "sent again while in flight",
    Voided "void: a delivery under way has ended",
    HadIt "had before, not handed on again",
    BelowWindow "repetition below the window of ids",
    WindowSlid "window of ids slid",
    LateOverflow "late list overflowed",
    SenderForgotten "more senders than are remembered",
    Declined "declined",
    Late "handed on out of order, as the contract allows",
    AliasReused "alias of a sender given to another",
    OutboxFull "outbox full",
    SetRefused "change of attributes waits for room",
    Capacity "capacity told, and there",
    TooLargeToSend "payload refused by send",
    UntilAccepted "ended as accepted",
    InFull "ended: confirmed by all",
    ExpiredAtSender "ended: expired at the sender",
    ExpiredAtBroker "ended: expired at the broker",
    QueueFull "ended: queue full",
    TooLarge "ended: too large",
    BrokerFull "ended: broker full",
    Gone "ended: recipient gone",
    Nobody "ended: nobody connected",
    Synced "presence: snapshot complete",
    FellBehind "presence: told again after falling behind",
    WatchRefused "presence: watch refused",
    SerialDisturbed "line: bytes damaged, lost or inserted",
    DatagramDisturbed "datagrams lost, repeated or delayed",
    ItemEarly "lossy medium: an item came before an earlier one",
    GapTold "lossy medium: a gap was told",
    ItemAgain "lossy medium: an item came again",
    LineOutlivesBroker "line: another broker at its end",
}

/// How often each [`Path`] was hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    counts: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { counts: vec![0; Path::ALL.len()] }
    }
}

impl Coverage {
    /// Counts one more.
    pub fn hit(&mut self, path: Path) {
        self.counts[path as usize] += 1;
    }

    /// How often it was hit.
    pub fn count(&self, path: Path) -> u64 {
        self.counts[path as usize]
    }

    /// Adds what another run hit.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Those that were never hit.
    pub fn gaps(&self) -> impl Iterator<Item = Path> {
        Path::ALL.iter().copied().filter(|&path| self.count(path) == 0)
    }
}

/// A table, one line each; what was never hit is marked.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &path in Path::ALL {
            let count = self.count(path);
            let mark = if count == 0 { "  never" } else { "" };
            writeln!(f, "{count:>12}  {}{mark}", path.name())?;
        }
        Ok(())
    }
}
