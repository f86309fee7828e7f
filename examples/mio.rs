//! A client in an event loop of your own: joins `room = "lobby"`, prints what is said there, and says each line of its
//! arguments to all others: `cargo run --example mio -- 127.0.0.1:9999 'hello' 'is anybody here?'`
//!
//! It ends when all others have heard all of it.
use e_pigeon_core::{ClientConfig, Close, Destination, Event, Filter, Message, Receipt, Secret, Uuid, Value};
use e_pigeon_mio::{ClientDriver, Endpoint, Resolver};
use mio::{Events, Poll, Token};
use std::net::ToSocketAddrs;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: mio HOST:PORT TEXT...")?;
    let mut poll = Poll::new()?;

    let draw = getrandom::u64;
    let secret = Secret(Uuid::from_u64_pair(draw()?, draw()?).into_bytes());
    let config = ClientConfig::new(Uuid::from_u64_pair(draw()?, draw()?), secret, draw()?, draw()?);
    // The name is looked up again each time it connects.
    let resolver = Resolver::new(move || Ok(address.to_socket_addrs()?.map(Endpoint::from).collect()));
    // The driver owns one token; yours may be all others.
    let mut driver = ClientDriver::new(config, resolver, poll.registry().try_clone()?, Token(0))?;

    let now = driver.now();
    driver.client().set(now, "room", Value::Str("lobby"))?;
    let lobby: Destination = Filter::all_of(&[("room", Value::Str("lobby"))])?.into();
    let lobby = lobby.exclude_self();
    let mut open = 0;
    for text in arguments {
        driver.client().send(now, &Message::new(&lobby, text.as_bytes()))?;
        open += 1;
    }
    driver.flush();

    let mut events = Events::with_capacity(64);
    loop {
        poll.poll(&mut events, driver.poll_timeout())?;
        for event in &events {
            driver.handle_ready(event);
        }
        driver.handle_deadline();
        let now = driver.now();
        while let Some((event, mut commands)) = driver.client().next_event_with_commands() {
            match event {
                Event::Message(message) => println!("{}", String::from_utf8_lossy(message.payload)),
                Event::Receipt(Receipt::Final { delivered, recipients, .. }) => {
                    println!("heard by {delivered} of {recipients}");
                    open -= 1;
                    if open == 0 {
                        commands.close(now, Close::EndSession);
                    }
                }
                Event::Closed(_) => return Ok(()),
                _ => {}
            }
        }
        driver.flush();
        if driver.is_broken() {
            return Err("internal error of the client; please report it".into());
        }
    }
}
