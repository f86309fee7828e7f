//! What several of the tests do to a broker with few places.

use crate::support::raw::{Raw, message};
use crate::support::{World, client_config, group, uuid};
use core::time::Duration;
use e_pigeon_core::{BrokerConfig, Destination, LinkId, MessageId, Receipt, RefusalReason};

/// A broker with limits of its own, and clients in room "a".
pub(crate) fn world_with(clients: usize, adapt: impl FnOnce(&mut BrokerConfig)) -> World {
    let mut config = BrokerConfig::new(0).settle(Duration::from_secs(1));
    adapt(&mut config);
    World::with(clients, config)
}

pub(crate) fn ended(id: MessageId, delivered: u32, recipients: u32, reason: RefusalReason) -> Receipt {
    Receipt::ended(id, delivered, recipients, Some(reason))
}

pub(crate) fn has_note(world: &World, n: usize, part: &str) -> bool {
    world.peers[n].log.notes.iter().any(|note| note.contains(part))
}

/// The client is away, and its session waits.
pub(crate) fn keep_away(world: &mut World, n: usize) {
    world.cut(n);
    world.peers[n].reachable = false;
}

/// Fills the broker with messages for nobody, until it refuses; returns how many it took.
pub(crate) fn fill(world: &mut World, payload: &str, reason: RefusalReason) -> u64 {
    for taken in 0..1_000 {
        let id = world.send(0, &group("nobody is here"), payload);
        world.flow();
        if let Some(receipt) = world.peers[0].log.finals.get(&id.0) {
            assert_eq!(*receipt, ended(id, 0, 0, reason));
            assert_eq!(world.broker.stats().open, taken);
            return taken;
        }
    }
    panic!("it is never full");
}

/// There is a place again when one of those that wait comes to its end.
pub(crate) fn room_comes_again(world: &mut World) {
    let n = world.join(client_config(7), "nobody is here");
    world.settle();
    assert!(!world.messages(n).is_empty());
    let id = world.send(0, &uuid(7).into(), "room again");
    world.settle();
    assert_eq!(world.outcome(0, id), Some((1, 1)));
    assert_eq!(world.broker.stats().payload_bytes, 0);
}

/// Sends so many messages without waiting for any acknowledgement; returns how many the broker took from it.
pub(crate) fn ignore_the_window(raw: &mut Raw, link: LinkId, payload: &[u8]) -> u64 {
    let to = Destination::from(uuid(9));
    raw.put(link, &message(Some(&to), 1, None, payload));
    for _ in 0..10 {
        // The link is ended when it breaks the rule, and takes nothing more.
        let _ = raw.broker.handle_input(raw.now, link, &message(None, 1, None, payload));
    }
    assert!(raw.broker.stats().is_balanced());
    assert_eq!(raw.broker.stats().connected, 0, "it was thrown out");
    raw.broker.stats().taken
}

/// A client whose receipts wait is kept from sending more than so many messages, and nothing is lost.
pub(crate) fn confirms_no_receipt(world: &mut World, most: u64) {
    // A message that is not taken holds back the acknowledgement of all receipts behind it.
    world.peers[0].sleeps = true;
    world.send(1, &uuid(0).into(), "unread");
    world.settle();
    let (here, nobody) = (uuid(1).into(), uuid(9).into());
    for n in 0..100 {
        // Receipts that differ do not become one.
        world.send(0, if n % 2 == 0 { &here } else { &nobody }, "x");
        world.flow();
    }
    let taken = world.broker.stats().taken;
    assert!(taken < most, "{taken} were taken from somebody who confirms no receipt");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.broker.stats().taken, taken, "its window stays shut");
    world.peers[0].sleeps = false;
    world.settle();
    assert_eq!(world.broker.stats().taken, 101, "nothing is lost");
    assert_eq!(world.messages(1).len(), 50);
    world.pass(Duration::from_secs(3_700));
    assert_eq!(world.peers[0].log.finals.len(), 100);
}
