//! The example, against a real broker that dies in the middle of it.
#![allow(missing_docs)]

mod support;

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_io::Async;
use e_pigeon_core::{BrokerConfig, Close, Event, Value};
use e_pigeon_embedded::{Stream, idle, now};
use e_pigeon_mio::{BrokerLoop, Endpoint, ShutdownHandle};
use embedded_io_adapters::futures_03::FromFutures;
use support::{block_on, config, make, soon};

const COUNT: u32 = 12;

/// The program of the example; `cargo test` has built it beside this test.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("this test is a file");
    let path = test.ancestors().nth(2).expect("it is in a folder").join("examples/host");
    assert!(path.exists(), "{} is not built: run `cargo build --examples`", path.display());
    path
}

struct Broker {
    address: SocketAddr,
    shutdown_handle: ShutdownHandle,
    thread: JoinHandle<()>,
}

impl Broker {
    fn start(at: SocketAddr, epoch: u64) -> Self {
        let settle = Duration::from_millis(300);
        let mut broker = BrokerLoop::new(BrokerConfig::new(0).settle(settle), epoch).expect("a broker");
        let Endpoint::Tcp(address) = broker.bind(at).expect("bound") else {
            panic!("not what was asked for")
        };
        let shutdown_handle = broker.shutdown_handle();
        let thread = thread::spawn(move || broker.run().expect("it runs"));
        Self { address, shutdown_handle, thread }
    }

    /// What it knew is gone.
    fn end(self) {
        self.shutdown_handle.stop().expect("stopped");
        self.thread.join().expect("no panic");
    }
}

/// Collects readings until the last, and replaces the broker on the way.
async fn collect(mut broker: Broker) -> Broker {
    let mut client = make(config(1).inbox_messages(16));
    client.set(now(), "role", Value::Str("collector")).expect("room");
    let mut expected = 1;
    let mut next = 2;
    while !client.is_closed() {
        if !client.wants_connection() {
            while client.poll_event().is_some() {}
            idle(&mut client).await;
            continue;
        }
        let socket = Async::<TcpStream>::connect(broker.address).await.expect("there is a broker");
        let (mut input, mut output) = ([0; 100], [0; 100]);
        let (reader, writer) = (FromFutures::new(&socket), FromFutures::new(&socket));
        let mut stream = Stream::new(&mut client, reader, writer, &mut input, &mut output);
        loop {
            while let Some((event, mut commands)) = stream.client().next_event_with_commands() {
                if let Event::Message(message) = event {
                    assert_eq!(
                        message.payload,
                        format!("reading {expected}").as_bytes(),
                        "each once, in order"
                    );
                    expected += 1;
                    // The message itself is acknowledged by that.
                    if expected > COUNT {
                        commands.close(now(), Close::EndSession);
                    }
                }
            }
            if expected == 4 && next == 2 {
                let address = broker.address;
                broker.end();
                broker = Broker::start(address, next);
                next += 1;
            }
            if stream.turn().await.is_err() {
                break;
            }
        }
    }
    assert_eq!(next, 3, "the broker has died once");
    broker
}

/// What a program has printed when it has ended, which must not take long.
fn output(mut program: Child) -> Output {
    let begun = Instant::now();
    while program.try_wait().expect("it can be asked").is_none() {
        if begun.elapsed() > Duration::from_secs(8) {
            program.kill().expect("it can be killed");
        }
        thread::sleep(Duration::from_millis(5));
    }
    program.wait_with_output().expect("it has ended")
}

#[test]
fn the_node_tells_its_readings_across_a_broker_s_death() {
    let broker = Broker::start(SocketAddr::from(([127, 0, 0, 1], 0)), 1);
    let mut command = Command::new(example());
    command.args([broker.address.to_string(), COUNT.to_string()]).stdout(Stdio::piped());
    let node = command.spawn().expect("it starts");
    let broker = block_on(soon("all readings", collect(broker)));
    // Its receipts and its goodbye are for the broker to give.
    let output = output(node);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let heard = text.lines().filter(|line| line.ends_with("heard by 1 of 1")).count();
    assert_eq!(heard, COUNT as usize, "{text}");
    assert!(output.status.success(), "{:?}", output.status);
    broker.end();
}
