//! What a client says, recorded on its way to the broker: real frames for tests that misuse them, whatever the format is.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::address::Address;
use super::deadline::Deadline;
use super::program::{Input, Program};
use super::stage::Stage;

/// So long nothing may come before a recording is taken to be complete.
const QUIET: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(10);

/// The bytes that one client wrote.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// All it says before it has been answered: its hello.
    pub(crate) hello: Vec<u8>,
    /// What it said after the broker's answer.
    pub(crate) rest: Vec<u8>,
}

/// Runs a client against an address where nobody answers, and returns its hello. No broker ever saw it.
pub(crate) fn hello_of(stage: &Stage, by: &Deadline, command: &str, arguments: &[&str]) -> Vec<u8> {
    let (listener, address) = stage.address().listen_beside();
    let mut client = Program::client(stage, "recorded", command, address, arguments, Input::Piped);
    let mut socket = accept(&listener, by, &client);
    let hello = read_until_quiet(&mut socket, by);
    client.kill();
    hello
}

/// Runs a client through a recorder to its end.
pub(crate) fn conversation_of(
    stage: &Stage,
    by: &Deadline,
    broker: Address,
    command: &str,
    arguments: &[&str],
) -> Recording {
    let (listener, address) = broker.listen_beside();
    let mut client = Program::client(stage, "recorded", command, address, arguments, Input::Nothing);
    let mut from_client = accept(&listener, by, &client);
    let hello = read_until_quiet(&mut from_client, by);

    let mut to_broker = broker.connect().expect("connect to the broker");
    to_broker.write_all(&hello).expect("pass the hello on");
    let mut from_broker = to_broker.try_clone().expect("clone a socket");
    let mut to_client = from_client.try_clone().expect("clone a socket");
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_broker, &mut to_client);
    });
    let mut rest = Vec::new();
    by.wait("the end of the recorded conversation", || {
        let mut buffer = [0; 4096];
        match from_client.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                rest.extend_from_slice(&buffer[..read]);
                let _ = to_broker.write_all(&buffer[..read]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return Ok(()),
        }
        Err(client.describe())
    });
    client.wait_exit(by);
    Recording { hello, rest }
}

/// Accepts the client's first connection.
fn accept(listener: &Socket, by: &Deadline, client: &Program) -> Socket {
    listener.set_nonblocking(true).expect("set the recorder's mode");
    let (socket, _) = by.wait("the recorded client to connect", || {
        listener.accept().map_err(|error| format!("{error}; {}", client.describe()))
    });
    socket.set_nonblocking(false).expect("set the socket's mode");
    socket.set_read_timeout(Some(TICK)).expect("set the socket's time-out");
    socket
}

/// Reads until something has come and nothing more comes.
fn read_until_quiet(socket: &mut Socket, by: &Deadline) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut last = Instant::now();
    by.wait("the hello of the recorded client", || {
        let mut buffer = [0; 4096];
        if let Ok(read @ 1..) = socket.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..read]);
            last = Instant::now();
        }
        if !bytes.is_empty() && last.elapsed() > QUIET {
            Ok(())
        } else {
            Err(format!("{} bytes", bytes.len()))
        }
    });
    bytes
}
