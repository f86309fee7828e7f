//! Deliberate faults, to see that the tests find them: each breaks one rule of the protocol. They exist only in builds with
//! `--cfg canary`; in all others `canary!` is `false`.

/// True where that rule is broken on purpose.
macro_rules! canary {
    ($fault:ident) => {{
        #[cfg(canary)]
        let broken = $crate::canary::Fault::$fault.is_on();
        #[cfg(not(canary))]
        let broken = false;
        broken
    }};
}

#[cfg(canary)]
pub use faults::{Fault, break_rule};

#[cfg(canary)]
mod faults {
    use core::sync::atomic::{AtomicU8, Ordering};

    /// The rule that is broken now; 0 for none.
    static BROKEN: AtomicU8 = AtomicU8::new(0);

    macro_rules! faults {
        ($($(#[doc = $about:literal])+ $name:ident,)+) => {
            /// A rule that can be broken.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[repr(u8)]
            pub enum Fault {
                /// None is.
                None,
                $($(#[doc = $about])+ $name,)+
            }

            impl Fault {
                /// All of them.
                pub const ALL: &'static [Self] = &[$(Self::$name,)+];
            }
        };
    }

    faults! {
        /// A client acknowledges what has come, not what its application has taken.
        AcknowledgesTooEarly,
        /// A sender does not send again what was written before a broker's death.
        DropsRetries,
        /// A recipient takes every repetition for new.
        TakesRepetitions,
        /// A confirmation counts twice.
        CountsTwice,
        /// Whoever changes attributes is found by the old ones no more, and by the new ones not yet.
        LeavesIndexStale,
        /// A session is resumed where the epoch alone is right.
        ResumesByEpoch,
        /// A hello that was stuck on an older link takes the session away.
        IgnoresLinkNumber,
        /// After a welcome acknowledgements made since the hello are not said.
        SaysAcknowledgementOnce,
        /// Only what was accepted gets the retry mark.
        MarksOnlyAccepted,
        /// What is renumbered for a new session gets no retry mark.
        RenumbersWithoutMark,
        /// After a broker's death whoever matches takes what was meant for others.
        LetsAnybodyIn,
        /// A broker that was just started serves clients of its predecessor at once.
        DoesNotSettle,
        /// A recipient remembers a message when its application takes it.
        RemembersWhenTaken,
        /// A repetition that comes too late for the order is handed on.
        HandsOnOutOfOrder,
        /// What is held for those who were here does not wait for their hello, but for a change of their attributes.
        OffersAtChanges,
        /// What waits is released in another order than that in which it was taken.
        ReleasesInAnyOrder,
        /// A call does all that there is to do.
        NeverSpent,
        /// What a call leaves of the work that it began is forgotten.
        ForgetsRest,
        /// A job of one session holds back the input of all.
        HoldsAllBack,
        /// One sender may have all places of messages that wait.
        IgnoresShare,
        /// A message that waits no more still counts in its sender's share.
        KeepsShare,
        /// A run of void deliveries counts as one item.
        CountsVoidOnce,
        /// A declined delivery counts as a confirmed one.
        CountsDeclined,
        /// On lossy framed transports what has come out of order counts as all before it.
        TakesRangesForAll,
        /// There nothing is sent again when nothing is heard.
        NeverTriesAgain,
        /// There items are taken in the order in which they come.
        TakesAnyOrder,
        /// There frames of earlier links are taken too.
        IgnoresTags,
    }

    impl Fault {
        pub(crate) fn is_on(self) -> bool {
            BROKEN.load(Ordering::Relaxed) == self as u8
        }
    }

    /// Breaks this rule, and no other, in the whole program from now on.
    pub fn break_rule(fault: Fault) {
        BROKEN.store(fault as u8, Ordering::Relaxed);
    }
}
