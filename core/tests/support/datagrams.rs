//! One client and a broker over datagrams that the test carries by hand.

use super::{client_config, make};
use e_pigeon_core::codec::Reader;
use e_pigeon_core::wire::control::Control;
use e_pigeon_core::wire::kind;
use e_pigeon_core::wire::state::{Prefix, StateFrame};
use e_pigeon_core::{Broker, BrokerConfig, Client, ClientConfig, Event, Framing, Instant, LinkId, Message};

pub struct Datagrams {
    pub now: Instant,
    pub client: Client<Vec<u8>>,
    pub broker: Broker,
    pub link: LinkId,
}

impl Datagrams {
    /// The client is welcomed.
    pub fn new(adapt_client: impl FnOnce(&mut ClientConfig), config: BrokerConfig) -> Self {
        let mut client = client_config(0).framing(Framing::Datagram);
        adapt_client(&mut client);
        let now = Instant::from_micros(1);
        let mut broker = Broker::new(config, 1).unwrap();
        let link = broker.handle_connected_over(now, 0, Framing::Datagram).unwrap();
        let mut pair = Self { now, client: make(client), broker, link };
        pair.client.handle_connected(now);
        let hello = pair.up();
        pair.deliver_up(&hello);
        let welcome = pair.down();
        pair.deliver_down(&welcome);
        assert!(pair.client.is_established());
        pair
    }

    /// The client sends to itself.
    pub fn send_all<const N: usize>(&mut self, texts: [&str; N]) {
        let to = self.client.uuid().into();
        for text in texts {
            self.client.send(self.now, &Message::new(&to, text.as_bytes())).unwrap();
        }
    }

    /// How many messages the application can take now.
    pub fn take_messages(&mut self) -> usize {
        let mut count = 0;
        while let Some(event) = self.client.poll_event() {
            count += usize::from(matches!(event, Event::Message(_)));
        }
        count
    }

    /// What the client writes now.
    pub fn up(&mut self) -> Vec<Vec<u8>> {
        let (mut all, mut out) = (Vec::new(), [0; 8_192]);
        while let Ok(written @ 1..) = self.client.poll_transmit(self.now, &mut out) {
            all.push(out[..written].to_vec());
        }
        all
    }

    /// What the broker writes now.
    pub fn down(&mut self) -> Vec<Vec<u8>> {
        let (mut all, mut out) = (Vec::new(), [0; 8_192]);
        while let Ok(written @ 1..) = self.broker.poll_transmit(self.now, self.link, &mut out) {
            all.push(out[..written].to_vec());
        }
        all
    }

    pub fn deliver_up<'d>(&mut self, datagrams: impl IntoIterator<Item = &'d Vec<u8>>) {
        for datagram in datagrams {
            self.broker.handle_input(self.now, self.link, datagram).unwrap();
        }
    }

    pub fn deliver_down<'d>(&mut self, datagrams: impl IntoIterator<Item = &'d Vec<u8>>) {
        for datagram in datagrams {
            self.client.handle_input(self.now, datagram);
        }
    }
}

/// The last state among these datagrams.
pub fn last_state(datagrams: &[Vec<u8>]) -> StateFrame {
    let state = |datagram: &Vec<u8>| {
        let mut reader = Reader::new(datagram);
        Prefix::read(&mut reader).ok()?;
        let kind::STATE = reader.u8().ok()? else { return None };
        match Control::read(kind::STATE, &mut reader) {
            Ok(Control::State(state)) => Some(state),
            _ => None,
        }
    };
    datagrams.iter().rev().find_map(state).unwrap()
}

/// How many items are told to be here beyond a missing one.
pub fn beyond(datagrams: &[Vec<u8>]) -> u32 {
    last_state(datagrams).beyond.count_ones()
}
