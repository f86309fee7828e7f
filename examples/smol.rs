//! A client as futures: joins `room = "lobby"`, prints what is said there, and says each of its arguments to all others:
//! `cargo run --example smol -- 127.0.0.1:9999 'hello' 'is anybody here?'`
//!
//! It ends when all others have heard all of it. Any executor will do; this one is `smol`.
use e_pigeon_core::{ClientConfig, Close, Destination, Filter, Message, Receipt, Secret, Uuid, Value};
use e_pigeon_smol::{Endpoint, Event, Resolver, client};
use std::net::ToSocketAddrs;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: smol HOST:PORT TEXT...")?;
    let draw = getrandom::u64;
    let secret = Secret(Uuid::from_u64_pair(draw()?, draw()?).into_bytes());
    let config = ClientConfig::new(Uuid::from_u64_pair(draw()?, draw()?), secret, draw()?, draw()?);
    // The name is looked up again each time it connects.
    let resolver = Resolver::new(move || Ok(address.to_socket_addrs()?.map(Endpoint::from).collect()));
    let (client, driver) = client(config, resolver)?;

    smol::block_on(async {
        let driver = smol::spawn(driver.run());
        let listener = client.clone();
        let printer = smol::spawn(async move {
            while let Some(event) = listener.next_event().await {
                if let Event::Message(message) = event {
                    println!("{}", String::from_utf8_lossy(&message.payload));
                }
            }
        });
        client.set("room", Value::Str("lobby"))?;
        let lobby = Destination::from(Filter::all_of(&[("room", Value::Str("lobby"))])?).exclude_self();
        for text in arguments {
            let answer = client.send_wait(&Message::new(&lobby, text.as_bytes())).await?;
            if let Receipt::Final { delivered, recipients, .. } = answer.await? {
                println!("heard by {delivered} of {recipients}");
            }
        }
        client.close(Close::EndSession).await;
        printer.await;
        driver.await;
        Ok(())
    })
}
