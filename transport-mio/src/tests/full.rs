//! An address that answers no attempt to connect.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A listening socket whose queue is full, so that nobody answers who comes now.
pub(super) struct Full {
    pub(super) address: SocketAddr,
    _sockets: Vec<Socket>,
}

impl Full {
    pub(super) fn new() -> Self {
        let acceptor = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        acceptor.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        acceptor.listen(0).expect("it listens");
        let address = acceptor.local_addr().expect("its address");
        let mut sockets = vec![acceptor];
        for _ in 0..8 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("non-blocking");
            let _ = socket.connect(&address);
            sockets.push(socket);
        }
        std::thread::sleep(Duration::from_millis(50));
        Self { address: address.as_socket().expect("TCP"), _sockets: sockets }
    }
}
