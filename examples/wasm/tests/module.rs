//! The module in an interpreter, and the real broker core: handshake, a message out, its echo in, receipts.

use e_pigeon_core::{
    Broker, BrokerConfig, Client, ClientConfig, Event, Instant, LinkId, Message, Secret, Uuid,
};
use std::time::Duration;
use wasmi::{Engine, Linker, Memory, Module, Store, TypedFunc};

const PAGE: u64 = 1;
const ECHO: u64 = 2;

/// The module, with what it exports.
struct Page {
    store: Store<()>,
    memory: Memory,
    buffer: usize,
    input: TypedFunc<(u64, u32), ()>,
    transmit: TypedFunc<u64, u32>,
    send: TypedFunc<(u64, u64, u32), u32>,
    event: TypedFunc<(), u32>,
    length: TypedFunc<(), u32>,
}

impl Page {
    fn new(micros: u64) -> Self {
        let path = std::env::var_os("E_PIGEON_WASM").expect("started by examples/firmware/run");
        let engine = Engine::default();
        let module = Module::new(&engine, std::fs::read(path).unwrap()).unwrap();
        assert_eq!(module.imports().count(), 0, "it needs nothing of its host");
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate_and_start(&mut store, &module).unwrap();
        let memory = instance.get_memory(&store, "memory").unwrap();
        let start = instance.get_typed_func::<(u64, u64), u32>(&store, "start").unwrap();
        assert_eq!(start.call(&mut store, (PAGE, 7)).unwrap(), 1);
        instance.get_typed_func::<u64, ()>(&store, "connected").unwrap().call(&mut store, micros).unwrap();
        let buffer = instance.get_typed_func::<(), u32>(&store, "buffer").unwrap();
        let buffer = buffer.call(&mut store, ()).unwrap() as usize;
        Self {
            memory,
            buffer,
            input: instance.get_typed_func(&store, "input").unwrap(),
            transmit: instance.get_typed_func(&store, "transmit").unwrap(),
            send: instance.get_typed_func(&store, "send").unwrap(),
            event: instance.get_typed_func(&store, "event").unwrap(),
            length: instance.get_typed_func(&store, "length").unwrap(),
            store,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> u32 {
        self.memory.write(&mut self.store, self.buffer, bytes).unwrap();
        bytes.len() as u32
    }

    fn get(&self, length: u32) -> Vec<u8> {
        let mut bytes = vec![0; length as usize];
        self.memory.read(&self.store, self.buffer, &mut bytes).unwrap();
        bytes
    }
}

/// A client outside, which sends back what it gets.
fn echo(client: &mut Client<Vec<u8>>, broker: &mut Broker, link: LinkId, now: Instant) {
    let mut buffer = [0; 256];
    while let Ok(written @ 1..) = broker.poll_transmit(now, link, &mut buffer) {
        client.handle_input(now, &buffer[..written]);
    }
    while let Some((event, mut commands)) = client.next_event_with_commands() {
        if let Event::Message(message) = event {
            commands.send(now, &Message::new(&message.from.into(), message.payload)).unwrap();
        }
    }
    while let Ok(written @ 1..) = client.poll_transmit(now, &mut buffer) {
        broker.handle_input(now, link, &buffer[..written]).unwrap();
    }
}

#[test]
fn the_client_in_a_module_shakes_hands_sends_and_receives() {
    let mut micros = 1_000;
    let now = Instant::from_micros(micros);
    let mut broker = Broker::new(BrokerConfig::new(0).settle(Duration::ZERO), 1).unwrap();
    let (near, far) = (broker.handle_connected(now, 0).unwrap(), broker.handle_connected(now, 0).unwrap());
    let mut page = Page::new(micros);
    let config = ClientConfig::new(Uuid::from_u128(ECHO.into()), Secret([2; 16]), 1, 1);
    let memory = vec![0; config.memory_needed()];
    let mut other = Client::new(config, memory).unwrap();
    other.handle_connected(now);

    let (mut established, mut sent, mut heard, mut delivered) = (0, 0, 0, 0);
    for _ in 0..200 {
        micros += 1_000;
        let now = Instant::from_micros(micros);
        let text = format!("coo {sent}");
        if established > 0 && sent < 20 && heard == sent {
            let length = page.put(text.as_bytes());
            sent += page.send.call(&mut page.store, (micros, ECHO, length)).unwrap();
        }
        loop {
            let written = page.transmit.call(&mut page.store, micros).unwrap();
            if written == 0 {
                break;
            }
            let bytes = page.get(written);
            assert_eq!(broker.handle_input(now, near, &bytes), Ok(bytes.len()));
        }
        echo(&mut other, &mut broker, far, now);
        let mut buffer = [0; 256];
        while let Ok(written @ 1..) = broker.poll_transmit(now, near, &mut buffer) {
            let length = page.put(&buffer[..written]);
            page.input.call(&mut page.store, (micros, length)).unwrap();
        }
        while let kind @ 1.. = page.event.call(&mut page.store, ()).unwrap() {
            match kind {
                1 => established += 1,
                2 => {
                    let length = page.length.call(&mut page.store, ()).unwrap();
                    assert_eq!(page.get(length), format!("coo {heard}").into_bytes());
                    heard += 1;
                }
                3 => delivered += 1,
                _ => {}
            }
        }
        broker.handle_timeout(now);
        while broker.poll_ready().is_some() {}
        while broker.poll_event().is_some() {}
    }
    assert_eq!((established, sent, heard, delivered), (1, 20, 20, 20));
}
