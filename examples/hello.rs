//! The code of the README: says hello to the sessions with `room = "lobby"`, and prints the receipt:
//! `cargo run --example hello -- 127.0.0.1:9999`
use e_pigeon_core::{ClientConfig, Close, Filter, Message, Receipt, Secret, Uuid};
use std::error::Error;
use std::net::SocketAddr;

async fn hello(config: ClientConfig, broker: SocketAddr) -> Result<Receipt, Box<dyn Error>> {
    let (client, driver) = e_pigeon_smol::client(config, broker)?;
    let driver = smol::spawn(driver.run());
    let lobby = Filter::all_of(&[("room", "lobby".into())])?;
    let message = client.send(&Message::new(&lobby.into(), b"hello, lobby"))?;
    let receipt = message.await?;
    client.close(Close::EndSession).await;
    driver.await;
    Ok(receipt)
}

fn main() -> Result<(), Box<dyn Error>> {
    let broker = std::env::args().nth(1).ok_or("usage: hello IP:PORT")?.parse()?;
    // The identity, a number for this run of the program, and the seed of its random choices.
    let draw = getrandom::u64;
    let secret = Secret(Uuid::from_u64_pair(draw()?, draw()?).into_bytes());
    let config = ClientConfig::new(Uuid::from_u64_pair(draw()?, draw()?), secret, draw()?, draw()?);
    let receipt = smol::block_on(hello(config, broker))?;
    if let Receipt::Final { delivered, recipients, .. } = receipt {
        println!("delivered to {delivered} of {recipients}");
    }
    Ok(())
}
