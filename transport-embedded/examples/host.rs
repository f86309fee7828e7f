//! A sensor node on embassy's executor, for a machine with an operating system: sends readings to whoever has
//! `role = "collector"`, and prints what comes and what became of them. It ends when so many have arrived:
//! `cargo run -p e-pigeon-embedded --example host -- 127.0.0.1:9999 10`
//!
//! On a microcontroller the socket is one of `embassy-net` or a buffered UART, the clock is that of the HAL, and identity and
//! boot come from the flash and the random number generator. What stands in `node` and `talk` stays as it is.
use std::net::{SocketAddr, TcpStream};

use async_io::Async;
use e_pigeon_core::{
    Client, ClientConfig, Close, Destination, Event, Filter, Message, Receipt, Secret, SendError, Uuid, Value,
};
use e_pigeon_embedded::{Error, Stream, idle, now};
use embassy_executor::Spawner;
use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use embassy_time::{Duration, Ticker, with_timeout};
use embedded_io_adapters::futures_03::FromFutures;
use embedded_io_async::{Read, Write};

/// From the task that measures to the one that has the client. Where it is full, the former waits.
static READINGS: Channel<CriticalSectionRawMutex, u32, 4> = Channel::new();

type Failure = Box<dyn std::error::Error>;
type Pigeon<'a> = Client<&'a mut [u8]>;

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    spawner.spawn(measure().expect("the only one"));
    let code = match node().await {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    };
    // Executors of embassy's do not end.
    std::process::exit(code);
}

/// Something else that the program does.
#[embassy_executor::task]
async fn measure() {
    let mut ticker = Ticker::every(Duration::from_millis(50));
    for number in 1.. {
        READINGS.send(number).await;
        ticker.next().await;
    }
}

/// What the application has in hand, with a connection and without.
struct Application {
    collectors: Destination,
    /// A reading that the client had no room for. No other is taken before it.
    unsent: Option<u32>,
    /// How many have to arrive yet.
    left: u32,
}

impl Application {
    /// Takes what the client has to tell, and gives it what has to go.
    fn act(&mut self, client: &mut Pigeon<'_>) {
        while let Some((event, mut commands)) = client.next_event_with_commands() {
            match event {
                Event::Message(message) => println!("{}", String::from_utf8_lossy(message.payload)),
                Event::Receipt(Receipt::Final { id, delivered, recipients, .. }) => {
                    println!("reading {}: heard by {delivered} of {recipients}", id.0);
                    self.left = self.left.saturating_sub(delivered.min(1));
                    if self.left == 0 {
                        commands.close(now(), Close::EndSession);
                    }
                }
                _ => {}
            }
        }
        if let Some(reading) = self.unsent {
            let text = format!("reading {reading}");
            let sent = client.send(now(), &Message::new(&self.collectors, text.as_bytes()));
            // Where it is full, `Event::CapacityAvailable` ends a turn.
            if sent != Err(SendError::Full) {
                self.unsent = None;
            }
        }
    }

    /// Waits for the next reading, where there is room for one.
    async fn reading(&self) -> u32 {
        if self.unsent.is_some() { std::future::pending().await } else { READINGS.receive().await }
    }
}

/// The task of the client: connects whenever that is wanted.
async fn node() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: host ADDRESS:PORT COUNT".into());
    };
    let address: SocketAddr = address.parse()?;
    let collectors = Filter::all_of(&[("role", Value::Str("collector"))])?.into();
    let mut application = Application { collectors, unsent: None, left: count.parse()? };

    let mut memory = [0; 4096];
    let mut client = Client::new(config()?, &mut memory[..])?;
    client.set(now(), "kind", Value::Str("sensor"))?;
    while !client.is_closed() {
        application.act(&mut client);
        if client.wants_connection() {
            let attempt = with_timeout(Duration::from_secs(10), Async::<TcpStream>::connect(address));
            match attempt.await {
                Ok(Ok(socket)) => {
                    let halves = (FromFutures::new(&socket), FromFutures::new(&socket));
                    let error = talk(&mut client, halves, &mut application).await;
                    eprintln!("{error}");
                    if client.is_broken() {
                        return Err(error.into());
                    }
                }
                // Refused, or too late. The client says when to try again.
                Ok(Err(_)) | Err(_) => client.handle_disconnected(now()),
            }
        } else if let Either::Second(reading) = select(idle(&mut client), application.reading()).await {
            application.unsent = Some(reading);
        }
    }
    Ok(())
}

/// One connection, from its beginning to its end. The halves may be anything.
async fn talk<R: Read, W: Write>(
    client: &mut Pigeon<'_>,
    (reader, writer): (R, W),
    application: &mut Application,
) -> Error<R::Error, W::Error> {
    let (mut input, mut output) = ([0; 256], [0; 256]);
    let mut stream = Stream::new(client, reader, writer, &mut input, &mut output);
    loop {
        application.act(stream.client());
        match select(stream.turn(), application.reading()).await {
            Either::First(Ok(())) => {}
            Either::First(Err(error)) => return error,
            Either::Second(reading) => application.unsent = Some(reading),
        }
    }
}

/// Room for eight readings while there is no connection. In earnest UUID and secret are kept, and only the other two drawn at
/// each start.
fn config() -> Result<ClientConfig, Failure> {
    let draw = getrandom::u64;
    let secret = Secret(Uuid::from_u64_pair(draw()?, draw()?).into_bytes());
    let mut config = ClientConfig::new(Uuid::from_u64_pair(draw()?, draw()?), secret, draw()?, draw()?);
    config.max_payload = 64;
    (config.outbox_messages, config.outbox_bytes) = (8, 8 * 96);
    (config.inbox_messages, config.inbox_bytes) = (4, 256);
    (config.senders, config.seen_window, config.late_ids) = (2, 64, 2);
    (config.destination_slots, config.destination_bytes) = (1, 32);
    config.attribute_bytes = 32;
    (config.watches, config.presence_items) = (0, 0);
    Ok(config)
}
