//! The other end of a serial line with several links on it: each client that connects here gets a channel.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::pieces::{MAX_PIECE, Piece, Reader};

/// As many as the firmware has.
const CHANNELS: usize = 4;

/// A line to the board, and the port where clients come in.
pub(crate) struct Mux {
    board: u16,
    clients: u16,
}

/// One line: the board's socket once it is there, and who is on which channel.
struct Line {
    board: Option<TcpStream>,
    channels: [Option<Channel>; CHANNELS],
}

/// A client, and which ends have said that it is over.
struct Channel {
    client: TcpStream,
    client_left: bool,
    board_left: bool,
}

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

impl Mux {
    /// Waits for the board and for clients, until the test ends.
    pub(crate) fn start() -> Self {
        let ((boards, board), (clients, port)) = (listen(), listen());
        let line = Arc::new(Mutex::new(Line { board: None, channels: Default::default() }));
        let of_board = Arc::clone(&line);
        thread::spawn(move || {
            let (socket, _) = boards.accept().unwrap();
            socket.set_nodelay(true).unwrap();
            of_board.lock().unwrap().board = Some(socket.try_clone().unwrap());
            hear_board(socket, &of_board);
        });
        thread::spawn(move || {
            for client in clients.incoming() {
                let client = client.unwrap();
                client.set_nodelay(true).unwrap();
                let number = line.lock().unwrap().admit(&client);
                let line = Arc::clone(&line);
                match number {
                    Some(number) => drop(thread::spawn(move || hear_client(client, number, &line))),
                    None => drop(client),
                }
            }
        });
        Self { board, clients: port }
    }

    /// Where the board's serial line ends.
    pub(crate) fn board_port(&self) -> u16 {
        self.board
    }

    /// The address for clients.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.clients)
    }
}

impl Line {
    /// Gives a client a channel that is free, if there is one and the board is there.
    fn admit(&mut self, client: &TcpStream) -> Option<usize> {
        self.board.as_ref()?;
        let number = self.channels.iter().position(Option::is_none)?;
        let client = client.try_clone().unwrap();
        self.channels[number] = Some(Channel { client, client_left: false, board_left: false });
        Some(number)
    }

    /// Writes a piece; one without bytes is the end of the channel.
    fn say(&mut self, number: usize, bytes: &[u8]) {
        let mut piece = vec![u8::try_from(number).unwrap(), u8::try_from(bytes.len()).unwrap()];
        piece.extend_from_slice(bytes);
        // The board may be gone, when the test is over.
        if let Some(board) = &mut self.board {
            let _ = board.write_all(&piece);
        }
    }

    /// The client has left, or has been told to.
    fn client_left(&mut self, number: usize) {
        self.say(number, &[]);
        if let Some(channel) = &mut self.channels[number] {
            channel.client_left = true;
        }
        self.free(number);
    }

    fn board_left(&mut self, number: usize) {
        if let Some(channel) = &mut self.channels[number] {
            channel.board_left = true;
            let _ = channel.client.shutdown(Shutdown::Both);
        }
        self.free(number);
    }

    fn free(&mut self, number: usize) {
        if self.channels[number].as_ref().is_some_and(|channel| channel.client_left && channel.board_left) {
            self.channels[number] = None;
        }
    }
}

/// Carries what a client says to the board, until it leaves.
fn hear_client(mut client: TcpStream, number: usize, line: &Mutex<Line>) {
    let mut buffer = [0; MAX_PIECE];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        line.lock().unwrap().say(number, &buffer[..count]);
    }
    line.lock().unwrap().client_left(number);
}

/// Carries what the board says to the clients.
fn hear_board(mut board: TcpStream, line: &Mutex<Line>) {
    let (mut reader, mut buffer) = (Reader::new(), [0; 1024]);
    while let Ok(count @ 1..) = board.read(&mut buffer) {
        let mut input = &buffer[..count];
        while let Some(piece) = reader.take(&mut input) {
            let mut line = line.lock().unwrap();
            match piece {
                Piece::Bytes(number, bytes) => {
                    let channel = line.channels[usize::from(number)].as_mut().expect("somebody is on it");
                    // Whoever has left does not hear it.
                    let _ = channel.client.write_all(bytes);
                }
                Piece::End(number) => line.board_left(usize::from(number)),
            }
        }
    }
}
