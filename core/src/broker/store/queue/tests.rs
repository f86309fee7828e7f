use super::*;
use crate::broker::store::receipts::ReceiptBody;
use crate::data::message::{Outcome, RefusalReason};

/// A queue with these messages, the first `numbered` of which have numbers.
fn queue(messages: u32, numbered: u32) -> Queue {
    let mut queue = Queue::default();
    for message in 0..messages {
        if queue.is_full() {
            queue.make_room();
        }
        queue.push(QueueEntry { message, ..QueueEntry::default() });
    }
    (0..numbered).for_each(|_| queue.number_delivery());
    queue
}

fn messages(queue: &Queue) -> Vec<u32> {
    (0..queue.len()).filter_map(|place| queue.delivery(place)).map(|delivery| delivery.message).collect()
}

/// What an item is, and which message: as much as these tests compare.
fn name(next: Option<Next>) -> (&'static str, u32) {
    match next {
        Some(Next::Delivery(delivery)) => ("delivery", delivery.message),
        Some(Next::Void(count)) => ("void", count),
        Some(Next::Presence(_)) => ("presence", 0),
        Some(Next::Other(_)) => ("other", 0),
        None => ("none", 0),
    }
}

fn acknowledged(queue: &mut Queue, most: u64) -> (&'static str, u32, u32) {
    match queue.acknowledge(most) {
        Some(Acknowledged::Delivery(delivery)) => ("delivery", delivery.message, 0),
        Some(Acknowledged::Void(count, bytes)) => ("void", count, bytes),
        Some(Acknowledged::Receipt) => ("receipt", 0, 0),
        Some(Acknowledged::Other) => ("other", 0, 0),
        None => ("none", 0, 0),
    }
}

fn refusal(watch: u32) -> Reply {
    Reply::WatchRefused(watch, RefusalReason::NotAllowed)
}

#[test]
fn items_are_repeated_and_acknowledged_in_the_order_of_their_numbers() {
    let mut queue = queue(3, 1);
    queue.receipts().push(1, ReceiptBody::Final(Outcome::new(1, 1, None)), false);
    queue.push_reply(refusal(7));
    assert!(queue.has_unnumbered_other() && !queue.is_written());
    assert!(matches!(queue.number_other(0), Some(DownItem::Final(_))));
    queue.number_delivery();
    assert!(matches!(queue.number_other(0), Some(DownItem::Reply(Reply::WatchRefused(7, _)))));
    assert!(queue.number_other(0).is_none());
    queue.rewind(1);
    let repeated = [0; 4].map(|_| name(queue.repeat(0, 1, |_| false)));
    assert_eq!(repeated, [("other", 0), ("delivery", 1), ("other", 0), ("none", 0)]);
    let all = [0; 5].map(|_| acknowledged(&mut queue, 1));
    let expected =
        [("delivery", 0, 0), ("receipt", 0, 0), ("delivery", 1, 0), ("other", 0, 0), ("none", 0, 0)];
    assert_eq!((all, messages(&queue), queue.receipt_backlog()), (expected, Vec::from([2]), 0));
}

#[test]
fn what_is_acknowledged_meanwhile_is_not_repeated() {
    let mut queue = queue(4, 4);
    queue.rewind(0);
    assert_eq!(name(queue.repeat(0, 1, |_| false)), ("delivery", 0));
    assert_eq!([acknowledged(&mut queue, 1), acknowledged(&mut queue, 1)].map(|item| item.1), [0, 1]);
    assert_eq!(name(queue.repeat(0, 1, |_| false)), ("delivery", 2));
    assert_eq!(name(queue.repeat(0, 1, |delivery| delivery.message == 3)), ("void", 1));
}

#[test]
fn ended_messages_leave_or_become_void_and_give_their_bytes_back_at_the_end() {
    let ended = |delivery: &QueueEntry| [1, 2, 5].contains(&delivery.message).then_some(10);
    for (most_bytes, void) in [(20, [("void", 1, 0), ("void", 1, 20)]), (19, [("void", 1, 10); 2])] {
        let mut queue = queue(6, 4);
        let mut left = Vec::new();
        queue.drop_ended(0..6, most_bytes, ended, |delivery| left.push(delivery.message));
        assert_eq!((left, messages(&queue)), (Vec::from([1, 2, 5]), Vec::from([0, 3, 4])));
        assert_eq!(acknowledged(&mut queue, 9), ("delivery", 0, 0));
        assert_eq!([acknowledged(&mut queue, 1), acknowledged(&mut queue, 1)], void);
        assert_eq!(acknowledged(&mut queue, 9), ("delivery", 3, 0));
        assert_eq!((queue.runs(), messages(&queue)), (0, Vec::from([4])));
    }
}

#[test]
fn a_repetition_goes_on_where_it_was_when_messages_become_void() {
    let mut queue = queue(5, 5);
    queue.rewind(2);
    queue.drop_ended(0..4, 100, |delivery| (delivery.message < 3).then_some(1), drop);
    assert_eq!(
        [0; 4].map(|_| name(queue.repeat(0, 9, |_| false))),
        [("void", 1), ("delivery", 3), ("delivery", 4), ("none", 0)]
    );
}

#[test]
fn a_delivery_is_declined_once_and_leaves_with_its_session() {
    let mut queue = queue(4, 3);
    acknowledged(&mut queue, 1);
    let means = |delivery: &QueueEntry| {
        Some(if delivery.message == 2 { Declined::Void } else { Declined::Delivery(*delivery) })
    };
    assert!(matches!(queue.decline(1, means), Some(Declined::Delivery(delivery)) if delivery.message == 1));
    assert!(queue.decline(1, means).is_none(), "a second time");
    assert!(matches!(queue.decline(2, means), Some(Declined::Void)));
    assert!(queue.decline(0, means).is_none() && queue.decline(3, means).is_none(), "without a number");
    let mut left = Vec::new();
    queue.renumber(|delivery| left.push(delivery.message));
    let retries: Vec<_> = (0..2).filter_map(|place| queue.delivery(place)).map(|d| d.retry).collect();
    assert_eq!(
        (left, messages(&queue), retries),
        (Vec::from([1]), Vec::from([2, 3]), Vec::from([true, false]))
    );
    assert!(queue.runs() == 0 && !queue.is_written());
}

#[test]
fn refusals_that_wait_are_not_doubled_and_have_a_limit_of_each_kind() {
    let mut queue = Queue::default();
    (0..40).for_each(|watch| queue.push_reply(refusal(watch / 2)));
    queue.push_reply(Reply::AttributesRefused(RefusalReason::NotAllowed));
    assert_eq!(core::iter::from_fn(|| queue.number_other(0)).count(), MAX_REPLIES_EACH + 1);
    queue.push_reply(refusal(0));
    assert!(queue.number_other(0).is_none(), "none is acknowledged");
    acknowledged(&mut queue, 1);
    queue.push_reply(refusal(0));
    assert!(queue.has_unnumbered_other());
}

#[test]
fn earlier_messages_come_first_behind_those_with_numbers() {
    let mut queue = queue(5, 1);
    queue.put_first(|delivery| delivery.message >= 3);
    assert_eq!(messages(&queue), [0, 3, 4, 1, 2]);
    let popped: Vec<_> = core::iter::from_fn(|| queue.pop()).map(|delivery| delivery.message).collect();
    assert_eq!(popped, [0, 3, 4, 1, 2]);
}
