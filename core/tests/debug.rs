//! What `Debug` prints: neither a secret nor a payload, whatever a log asks for.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use core::fmt::Debug;
use e_pigeon_core::codec::{Reader, Writer};
use e_pigeon_core::wire::control::{Control, Hello};
use e_pigeon_core::wire::item::{Deliver, DownItem, MessageItem, UpItem};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{AttributesRef, BrokerConfig, Event, Message, Secret};
use support::{World, client_config, make, uuid};

/// A byte that nothing else here has, as a number, in hexadecimal, and as text.
const MARK: u8 = 0xc3;

fn hides(of: &impl Debug) {
    for text in [format!("{of:?}"), format!("{of:#?}")] {
        for shown in ["195", "c3", "C3", "Ã"] {
            let runs = text.matches(shown).count();
            assert!(runs == 0, "{shown} stands {runs} times in {text}");
        }
        assert!(text.len() < 4_096, "{} bytes of text", text.len());
    }
}

#[test]
fn core_p16_debug_prints_neither_secrets_nor_payloads() {
    let payload = [MARK; 40].as_slice();
    let window = Window { messages: 1, bytes: 1 };
    let hello = Hello {
        uuid: [1; 16],
        secret: [MARK; 16],
        boot: [2; 8],
        link: 1,
        known: None,
        window,
        max_payload: 100,
        aliases: 1,
        receives: true,
        presence: 0,
    };
    hides(&hello);
    hides(&Control::Hello(hello, AttributesRef::EMPTY));
    hides(&Secret([MARK; 16]));
    let to = uuid(1).into();
    hides(&Message::new(&to, payload));
    let message = MessageItem {
        slot: 0,
        define: None,
        id_step: 1,
        time_to_live_ms: 1,
        retry: None,
        until_accepted: false,
        payload,
    };
    hides(&message);
    hides(&UpItem::Message(message));
    let deliver =
        Deliver { alias: 0, define: None, id_step: 1, retry: None, late: false, direct: true, payload };
    hides(&deliver);
    hides(&DownItem::Deliver(deliver));
    hides(&Reader::new(payload));
    let mut out = [0; 64];
    let mut writer = Writer::new(&mut out, 0);
    writer.raw(payload);
    hides(&writer);
}

#[test]
fn core_p16_debug_of_a_machine_prints_neither_secrets_nor_payloads() {
    let mut world = World::new(0);
    for n in 0..2 {
        let mut config = client_config(n);
        config.secret = Secret([MARK; 16]);
        hides(&config);
        world.join(config, "a");
    }
    world.settle();
    world.peers[1].sleeps = true;
    let now = world.now;
    world.peers[0].client.send(now, &Message::new(&uuid(1).into(), &[MARK; 40])).unwrap();
    world.up(0, support::MAX);
    world.down(1, support::MAX);
    hides(&world.broker);
    hides(&world.peers[0].client);
    hides(&world.peers[1].client);
    let mut messages = 0;
    while let Some((event, commands)) = world.peers[1].client.next_event_with_commands() {
        messages += usize::from(matches!(event, Event::Message(_)));
        hides(&event);
        hides(&commands);
        if let Event::Message(received) = event {
            hides(&received);
        }
    }
    assert_eq!(messages, 1);
    let mut secret = client_config(3);
    secret.secret = Secret([MARK; 16]);
    hides(&make(secret));
    hides(&BrokerConfig::new(0));
}
