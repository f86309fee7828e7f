//! Hello and welcome: which session a client gets. Every transition is in one table.
//!
//! (PROTOCOL.md, "Handshake")

#[cfg(feature = "alloc")]
use crate::error::AbortCode;
#[cfg(feature = "alloc")]
use crate::wire::control::Hello;

/// How many lives of the broker a client remembers its session numbers of.
const MAX_EPOCHS: usize = 4;

/// The session numbers that a client had in the last lives of the broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epochs {
    /// The newest life first.
    known: [Life; MAX_EPOCHS],
}

/// The session numbers that a client had in one life of the broker.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    epoch: u64,
    /// 0: this place is empty.
    first: u64,
    /// 0: that session is over, and the client has no other.
    newest: u64,
}

impl Epochs {
    /// A welcome gave the client this session. The newest of an epoch replaces the one before.
    pub(crate) fn remember(&mut self, epoch: u64, session: u64) {
        let is_same = |life: &&Life| life.first != 0 && life.epoch == epoch;
        let first = self.known.iter().find(is_same).map_or(session, |life| life.first);
        let mut newer = Life { epoch, first, newest: session };
        for known in &mut self.known {
            let older = core::mem::replace(known, newer);
            newer = older;
            if older.epoch == epoch || older.first == 0 {
                break;
            }
        }
    }

    /// The session of that epoch is over.
    pub(crate) fn forget(&mut self, epoch: u64) {
        for known in self.known.iter_mut().filter(|known| known.epoch == epoch) {
            known.newest = 0;
        }
    }

    /// True if the client was there in that epoch when the newest session had that number, and has the same session since.
    pub(crate) fn was_here(&self, epoch: u64, session: u64) -> bool {
        self.known.iter().any(|life| life.epoch == epoch && (1..=session).contains(&life.newest))
    }

    /// True if the client had a session in that epoch by then. It may have ended since.
    pub(crate) fn had_been_here(&self, epoch: u64, session: u64) -> bool {
        self.known.iter().any(|life| life.epoch == epoch && (1..=session).contains(&life.first))
    }
}

/// What the broker knows about the session of the UUID in a hello.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionFacts {
    pub(crate) secret: [u8; 16],
    pub(crate) boot: u64,
    /// The boot that had the session before this one took it over.
    pub(crate) previous_boot: Option<u64>,
    pub(crate) link: u64,
    pub(crate) epoch: u64,
    pub(crate) session: u64,
    /// The largest payload that its client took so far.
    pub(crate) max_payload: u32,
    pub(crate) holder: Holder,
}

/// What the broker knows of the end of the link that a session has.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The session has no link.
    Away,
    /// Nothing was read since its welcome: the hello may be that of a client that is dead.
    Silent,
    /// It has answered.
    Proved,
}

/// What the broker does with a hello.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Tell it why not, and close the link; nothing else changes.
    Refuse(AbortCode),
    /// A session for a UUID that has none.
    Create,
    /// The session goes on where it was.
    Resume,
    /// The queue goes on under a new session number; receipts only if the boot is the same.
    Renew {
        /// True if another life of the client takes over.
        new_boot: bool,
    },
}

/// The table of the handshake: from a hello and what is known about its UUID to what is done.
#[cfg(feature = "alloc")]
pub(crate) fn decide(hello: &Hello, facts: Option<&SessionFacts>) -> Decision {
    // Row 1: the UUID is that of the broker as a sender.
    if hello.uuid == [0; 16] {
        return Decision::Refuse(AbortCode::NotAllowed);
    }
    // Row 2: there is no session.
    let Some(facts) = facts else { return Decision::Create };
    let boot = u64::from_le_bytes(hello.boot);
    let named = |epoch, session| {
        hello.known.is_some_and(|known| u64::from_le_bytes(known.epoch) == epoch && known.session == session)
    };
    if !same_secret(&hello.secret, &facts.secret) {
        return Decision::Refuse(AbortCode::WrongSecret);
    }
    if facts.previous_boot == Some(boot) {
        return match facts.holder {
            Holder::Proved => Decision::Refuse(AbortCode::TakenOver),
            // The client may come back when it has shown whether anybody is there.
            Holder::Silent => Decision::Refuse(AbortCode::Superseded),
            Holder::Away => Decision::Renew { new_boot: true },
        };
    }
    if boot != facts.boot {
        return Decision::Renew { new_boot: true };
    }
    if hello.link <= facts.link {
        // It was stuck on a half-open link while a newer one was welcomed.
        return Decision::Refuse(AbortCode::Superseded);
    }
    // What has a number would be written again, also what the client does not take any more.
    let takes_less = hello.max_payload < facts.max_payload;
    if named(facts.epoch, facts.session) && !takes_less {
        Decision::Resume
    } else {
        Decision::Renew { new_boot: false }
    }
}

/// Compares in a time that does not tell how many bytes were right.
#[cfg(feature = "alloc")]
fn same_secret(a: &[u8; 16], b: &[u8; 16]) -> bool {
    core::hint::black_box(a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b))) == 0
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::wire::control::Known;
    use crate::wire::window::Window;

    const WINDOW: Window = Window { messages: 1, bytes: 1 };
    const FACTS: SessionFacts = SessionFacts {
        secret: [7; 16],
        boot: 5,
        previous_boot: Some(4),
        link: 3,
        epoch: 9,
        session: 11,
        max_payload: 0,
        holder: Holder::Proved,
    };

    fn hello(boot: u64, link: u64, known: Option<(u64, u64)>) -> Hello {
        let known = known.map(|(epoch, session)| Known {
            epoch: epoch.to_le_bytes(),
            session,
            received: 0,
            acknowledged: 0,
            window: WINDOW,
        });
        Hello {
            uuid: [1; 16],
            secret: [7; 16],
            boot: boot.to_le_bytes(),
            link,
            known,
            presence: 0,
            window: WINDOW,
            max_payload: 1,
            aliases: 1,
            receives: true,
        }
    }

    #[test]
    fn every_row_of_the_table() {
        assert_eq!(decide(&hello(5, 4, None), None), Decision::Create);
        let decide = |hello: Hello| decide(&hello, Some(&FACTS));
        assert_eq!(
            decide(Hello { secret: [8; 16], ..hello(5, 4, None) }),
            Decision::Refuse(AbortCode::WrongSecret)
        );
        assert_eq!(decide(hello(4, 9, None)), Decision::Refuse(AbortCode::TakenOver));
        let with = |holder, hello: Hello| super::decide(&hello, Some(&SessionFacts { holder, ..FACTS }));
        assert_eq!(with(Holder::Silent, hello(4, 9, None)), Decision::Refuse(AbortCode::Superseded));
        assert_eq!(with(Holder::Away, hello(4, 9, None)), Decision::Renew { new_boot: true });
        let takes_less =
            super::decide(&hello(5, 4, Some((9, 11))), Some(&SessionFacts { max_payload: 2, ..FACTS }));
        assert_eq!(takes_less, Decision::Renew { new_boot: false });
        assert_eq!(decide(hello(6, 1, Some((9, 11)))), Decision::Renew { new_boot: true });
        assert_eq!(decide(hello(5, 3, Some((9, 11)))), Decision::Refuse(AbortCode::Superseded));
        assert_eq!(decide(hello(5, 4, Some((9, 11)))), Decision::Resume);
        assert_eq!(decide(hello(5, 4, Some((9, 10)))), Decision::Renew { new_boot: false });
        assert_eq!(decide(hello(5, 4, Some((8, 11)))), Decision::Renew { new_boot: false });
        assert_eq!(decide(hello(5, 4, None)), Decision::Renew { new_boot: false });
    }

    #[test]
    fn the_newest_session_of_the_last_four_epochs_is_remembered() {
        let mut epochs = Epochs::default();
        for epoch in 1..=5 {
            epochs.remember(epoch, 10);
        }
        assert!(!epochs.was_here(1, 99) && epochs.was_here(2, 10) && !epochs.was_here(2, 9));
        epochs.remember(2, 20);
        assert!(!epochs.was_here(2, 10) && epochs.was_here(2, 20) && epochs.was_here(3, 10));
        epochs.forget(3);
        assert!(!epochs.was_here(3, 10));
    }

    #[test]
    fn the_first_session_of_an_epoch_is_remembered_when_another_takes_its_place_or_none() {
        let mut epochs = Epochs::default();
        epochs.remember(1, 10);
        epochs.forget(1);
        assert!(epochs.had_been_here(1, 10) && !epochs.had_been_here(1, 9));
        epochs.remember(2, 5);
        epochs.remember(1, 30);
        assert!(epochs.had_been_here(1, 10) && !epochs.was_here(1, 29) && epochs.was_here(1, 30));
        assert!(epochs.had_been_here(2, 5) && !epochs.had_been_here(3, 99));
    }
}
