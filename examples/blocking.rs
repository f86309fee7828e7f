//! The smallest embedding: the state machine alone, in a blocking loop over `std::net`. It joins `room = "lobby"`, says
//! something to all others there, and prints what they say until they have heard it: `blocking 127.0.0.1:9999 hello`
use e_pigeon_core::{
    Client, ClientConfig, Close::EndSession, CloseReason, Event, Filter, Instant, Message, Secret, Uuid,
};
use std::io::{Error, ErrorKind, Read, Write};
use std::{net::TcpStream, time::Duration};
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, text] = &arguments[..] else { return Err("usage: blocking HOST:PORT TEXT".into()) };
    let draw = getrandom::u64;
    let secret = Secret(Uuid::from_u64_pair(draw()?, draw()?).into_bytes());
    let config = ClientConfig::new(Uuid::from_u64_pair(draw()?, draw()?), secret, draw()?, draw()?);
    let mut client = Client::new(config.clone(), vec![0; config.memory_needed()])?;
    let start = std::time::Instant::now();
    let now = || Instant::from_micros(start.elapsed().as_micros() as u64);
    client.set(now(), "room", "lobby".into())?;
    let lobby = e_pigeon_core::Destination::from(Filter::all_of(&[("room", "lobby".into())])?);
    let said = client.send(now(), &Message::new(&lobby.exclude_self(), text.as_bytes()))?;
    let (mut stream, mut buffer) = (None, [0; 4096]);
    while !client.is_broken() {
        client.handle_timeout(now());
        if client.wants_connection() {
            stream = TcpStream::connect(address).ok();
            let tell = if stream.is_some() { Client::handle_connected } else { Client::handle_disconnected };
            tell(&mut client, now());
        }
        while let Some((event, mut commands)) = client.next_event_with_commands() {
            match event {
                Event::Message(message) => println!("{}", String::from_utf8_lossy(message.payload)),
                Event::Receipt(it) if it.id() == said && it.is_final() => commands.close(now(), EndSession),
                Event::Closed(CloseReason::Requested) => return Ok(()),
                Event::Closed(reason) => return Err(reason.to_string().into()),
                _ => {}
            }
        }
        let due = client.poll_timeout().map_or(Duration::MAX, |at| at.saturating_duration_since(now()));
        let wait = due.clamp(Duration::from_millis(1), Duration::from_secs(1));
        let exchange = |socket: &mut TcpStream| {
            while let Ok(written @ 1..) = client.poll_transmit(now(), &mut buffer) {
                socket.write_all(&buffer[..written])?;
            }
            socket.set_read_timeout(Some(wait))?;
            match socket.read(&mut buffer) {
                Ok(0) => return Err(Error::from(ErrorKind::UnexpectedEof)),
                Ok(read) => client.handle_input(now(), &buffer[..read]),
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
                Err(error) => return Err(error),
            }
            if client.wants_disconnect() { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
        };
        match stream.as_mut().map(exchange) {
            Some(Ok(())) => {}
            Some(Err(_)) => (client.handle_disconnected(now()), stream = None).0,
            None => std::thread::sleep(wait),
        }
    }
    Err("internal error of the client; please report it".into())
}
