//! What comes first while a piece of work goes on over several calls.

use super::*;

#[test]
fn what_was_held_comes_before_what_is_routed_while_it_is_released() {
    for budget in [88, 200, 1_000, 32_768] {
        let mut raw = raw();
        let from = raw.up(0, 1);
        let to = Destination::from(uuid(1));
        let taken = Past::Taken(Taken { recipients: 1, epoch: 9, session: 1, answered_first: true });
        for n in 0..500_u64 {
            // Some of them were held in an earlier life of the broker, others are parked.
            let past = n.is_multiple_of(3).then_some(taken);
            raw.put(from, &message((n == 0).then_some(&to), 1, past, &n.to_le_bytes()));
        }
        raw.swallow(from);
        raw.broker.set_budget(budget);
        let link = raw.link();
        raw.put_all(link, &hello(1, 1, None, AttributesRef::EMPTY));
        // The broker goes on, and others are served meanwhile.
        let mut got = vec![];
        for n in 500..520_u64 {
            raw.put_all(from, &message(None, 1, None, &n.to_le_bytes()));
            raw.broker.handle_timeout(raw.now);
            got.extend(numbers(&raw.swallow(link)));
        }
        raw.settle();
        got.extend(numbers(&raw.swallow(link)));
        assert_eq!(got, (0..520).collect::<Vec<u64>>(), "with {budget} units for each call");
    }
}

#[test]
fn a_hello_waits_for_what_is_still_told_of_its_client() {
    let mut raw = raw();
    let watchers = raw.crowd(50);
    raw.broker.set_budget(100);
    let mut link = raw.link();
    raw.put_all(link, &hello(0, 1, None, pair("a", 1).as_ref()));
    for n in 2..20 {
        let next = raw.link();
        let bytes = hello(0, n, None, pair("a", n as i64).as_ref());
        let mut calls = 0;
        while raw.broker.handle_input(raw.now, next, &bytes).unwrap() == 0 {
            calls += 1;
            assert!(calls < 1_000, "its turn comes");
        }
        assert!(calls > 0, "it had to wait");
        raw.broker.handle_disconnected(raw.now, link);
        link = next;
    }
    raw.settle();
    for link in watchers {
        let last = items(&raw.read(link), |item| match *item {
            DownItem::Presence(number, _, state, attributes) => {
                Some((number, (state, attributes.get("a") == Some(Value::Int(19)))))
            }
            _ => None,
        });
        let last: BTreeMap<_, _> = last.into_iter().collect();
        assert_eq!(last.len(), 8);
        assert!(last.values().all(|&last| last == (PresenceState::Connected, true)), "{last:?}");
    }
}

/// A session changes while its last change is still written to watchers: one job writes both.
#[test]
fn what_changes_while_it_is_told_is_told_too() {
    for budget in [88, 300, 32_768] {
        let mut raw = raw();
        let only = |n: u32| watch(n, &Filter::all_of(&[("a", Value::Int(n.into()))]).unwrap());
        let watches =
            [watch(1, &Filter::everyone()), watch(2, &Filter::everyone()), only(8), only(9)].concat();
        let watchers: Vec<LinkId> = (1..=50)
            .map(|n| {
                let link = raw.link();
                raw.put_all(link, &[watcher(n, AttributesRef::EMPTY), watches.clone()].concat());
                link
            })
            .collect();
        let link = raw.up(1_000, 1);
        raw.settle();
        watchers.iter().for_each(|&link| drop(raw.read(link)));
        raw.broker.set_budget(budget);
        // It matches one of these watches, and then the other.
        raw.put_all(link, &[set("a", 8), set("a", 9)].concat());
        // Some have read that it is connected when it is not any more.
        let before: Vec<Vec<u8>> = watchers.iter().map(|&link| raw.read(link)).collect();
        raw.broker.handle_disconnected(raw.now, link);
        raw.settle();
        for (link, before) in watchers.into_iter().zip(before) {
            let told = items(&[before, raw.read(link)].concat(), |item| match *item {
                DownItem::Presence(number, _, state, _) => Some((number, state)),
                _ => None,
            });
            let last: BTreeMap<_, _> = told.into_iter().collect();
            let is_gone =
                |state: Option<&PresenceState>| state.is_none_or(|&state| state == PresenceState::Gone);
            for n in [1, 2, 9] {
                assert_eq!(last.get(&n), Some(&PresenceState::Away), "watch {n}, with {budget} units");
            }
            assert!(is_gone(last.get(&8)), "{budget} units: {last:?}");
        }
    }
}

/// A held message for very many is offered over several calls: once to each that was here, and before what its sender says next.
#[test]
fn what_was_held_for_many_comes_once_and_before_what_its_sender_says_next() {
    const SESSIONS: usize = 3_000;
    for budget in [400, 32_768] {
        let mut raw = raw();
        (0..SESSIONS).for_each(|n| raw.away(100 + n, AttributesRef::EMPTY));
        let (from, other) = (raw.up(0, 1), raw.up(1, 1));
        raw.broker.set_budget(budget);
        let everyone = Destination::from(Filter::everyone()).exclude_self();
        let taken = Past::Taken(Taken { recipients: 9_000, epoch: 9, session: 1, answered_first: true });
        let held = message(Some(&everyone), 1, Some(taken), &0_u64.to_le_bytes());
        let next = message(None, 1, None, &1_u64.to_le_bytes());
        assert_eq!(raw.broker.handle_input(raw.now, from, &held), Ok(held.len()));
        assert!(raw.broker.stats().routed < SESSIONS as u64, "not to all at once");
        assert_eq!(raw.broker.handle_input(raw.now, from, &next), Ok(0), "it has to wait");
        // Another sender does not wait, and somebody who comes meanwhile has it too.
        raw.put_all(other, &message(Some(&uuid(101).into()), 1, None, &2_u64.to_le_bytes()));
        let late = raw.link();
        raw.put_all(late, &hello(50, 1, None, AttributesRef::EMPTY));
        let (_, most) = raw.settle();
        assert!(most < budget + 1_000, "{most} units");
        raw.put_all(from, &next);
        raw.settle();
        let offers = raw.broker.stats().offers;
        assert_eq!(offers, SESSIONS as u64 + 2, "each once");
        assert_eq!(numbers(&raw.swallow(late)), [0, 1]);
        for n in [100, 1_500, 3_000] {
            let link = raw.link();
            raw.put_all(link, &hello(n, 2, None, AttributesRef::EMPTY));
            raw.settle();
            assert_eq!(numbers(&raw.swallow(link)), [0, 1], "{n}, with {budget} units");
        }
    }
}

/// Frames of a link over datagrams, the first of them a hello; each is read in a call of its own, or given up.
struct Datagrams {
    link: LinkId,
    tag: u32,
}

impl Datagrams {
    fn up(raw: &mut Raw, n: usize) -> Self {
        let framing = Framing::Datagram;
        let link = raw.broker.handle_connected_over(raw.now, 0, framing).unwrap();
        let hello = Hello { presence: 0, ..hello_of(n, 5, 1) };
        raw.put(link, &control(framing, tag(5, 1), Control::Hello(hello, AttributesRef::EMPTY)));
        let mut out = [0; 1_000];
        let length = raw.broker.poll_transmit(raw.now, link, &mut out).unwrap();
        let mut reader = Reader::new(&out[..length]);
        let prefix = Prefix::read(&mut reader).unwrap();
        let mut body = Reader::new(reader.rest());
        let kind = body.u8().unwrap();
        let Control::Welcome(welcome) = Control::read(kind, &mut body).unwrap() else { panic!("no welcome") };
        let tag = welcomed_tag(prefix.tag, u64::from_le_bytes(welcome.epoch), welcome.session);
        Self { link, tag }
    }

    fn item(&self, number: u64, item: &UpItem<'_>) -> Vec<u8> {
        lossy_frame(Framing::Datagram, self.tag, number, |writer| item.write(writer))
    }
}

fn numbered<'a>(to: &'a Destination, id: u64, payload: &'a [u8]) -> MessageItem<'a> {
    let (slot, define, time_to_live_ms) = (0, Some(to.as_ref()), 3_600_000);
    MessageItem { slot, define, id_step: id, time_to_live_ms, retry: None, until_accepted: false, payload }
}

/// Sixty-four items may wait for one that is missing, and each of them be for everyone.
#[test]
fn items_that_came_early_take_turns_when_the_missing_one_comes() {
    for sessions in [10, 3_000] {
        let mut raw = raw();
        (100..100 + sessions).for_each(|n| raw.away(n, AttributesRef::EMPTY));
        let mut got = vec![];
        let recipient = raw.up(1, 1);
        let sender = Datagrams::up(&mut raw, 0);
        let to = Destination::from(Filter::everyone()).exclude_self();
        let item = |n: u64| sender.item(n, &UpItem::Message(numbered(&to, n, &n.to_le_bytes())));
        (2..=64).for_each(|n| raw.put(sender.link, &item(n)));
        assert_eq!(raw.broker.stats().taken, 0);
        raw.put(sender.link, &item(1));
        let done = raw.broker.work_of_last_call();
        assert!(done < MOST + sessions as u32, "{done} units");
        let (_, most) = raw.settle();
        assert!(most < MOST + sessions as u32, "{most} units");
        got.extend(numbers(&raw.swallow(recipient)));
        assert_eq!(got, (1..=64).collect::<Vec<u64>>());
    }
}

/// What a held message is offered to comes before what its sender says next, also where that has come first.
#[test]
fn an_item_that_came_early_waits_for_what_the_one_before_has_begun() {
    for budget in [88, 200, 1_000] {
        let mut raw = raw();
        let recipients: Vec<LinkId> = (1..=40).map(|n| raw.up(n, 1)).collect();
        let sender = Datagrams::up(&mut raw, 0);
        raw.broker.set_budget(budget);
        let to = Destination::from(Filter::everyone()).exclude_self();
        let taken = Past::Taken(Taken { recipients: 40, epoch: 9, session: 1, answered_first: true });
        let first = MessageItem { retry: Some(taken), ..numbered(&to, 1, &[0; 8]) };
        let next: Vec<Vec<u8>> = (2..6_u64).map(|n| n.to_le_bytes().to_vec()).collect();
        for (n, payload) in (2..).zip(&next) {
            raw.put(sender.link, &sender.item(n, &UpItem::Message(numbered(&to, n, payload))));
        }
        raw.put(sender.link, &sender.item(1, &UpItem::Message(first)));
        let (calls, _) = raw.settle();
        assert!(calls > 0);
        for link in recipients {
            assert_eq!(numbers(&raw.swallow(link)), [0, 2, 3, 4, 5], "with {budget} units for each call");
        }
    }
}
