//! The two machines behind one face: calls that can be recorded and made again, in other pieces or with others between.

use core::time::Duration;
use e_pigeon_core::{
    AckToken, Broker, BrokerConfig, Client, ClientConfig, Close, Destination, Event, Filter, Framing,
    Instant, LinkId, Message, Ready, Retain, Value, WatchId,
};

/// A call of a machine. The number names a link of a broker, in the order of connecting; a client has one.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Connected,
    Disconnected(usize),
    Input(usize, Vec<u8>),
    Timeout,
    /// At most so many bytes.
    Transmit(usize, usize),
    /// At most so many events.
    Events(usize),
    /// Of a broker only.
    Ready,
    /// Of a client only.
    Send {
        to: Box<Destination>,
        payload: Vec<u8>,
        live: Duration,
        until: Retain,
    },
    Set(i64),
    Remove,
    Watch,
    Unwatch,
    Acknowledge,
    Close(Close),
}

impl Call {
    /// True where the machine is certainly told what time it is.
    pub(crate) fn tells_time(&self) -> bool {
        let silent = matches!(self, Self::Events(_) | Self::Ready | Self::Acknowledge | Self::Unwatch);
        !silent && !matches!(self, Self::Transmit(_, 0))
    }
}

/// What came of a call, and what the machine says of itself afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Datagrams, or a piece of a stream.
    pub(crate) written: Vec<Vec<u8>>,
    pub(crate) told: Vec<String>,
    pub(crate) state: String,
}

/// Sizes that are used one after the other, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    sizes: Vec<usize>,
    at: usize,
}

impl Sizes {
    pub(crate) fn whole() -> Self {
        Self::of(vec![usize::MAX])
    }

    pub(crate) fn of(sizes: Vec<usize>) -> Self {
        assert!(!sizes.is_empty() && sizes.iter().all(|&size| size > 0));
        Self { sizes, at: 0 }
    }

    fn next(&mut self) -> usize {
        self.at += 1;
        self.sizes[self.at % self.sizes.len()]
    }
}

/// In which pieces a machine gets its input and gives its output.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    pub(crate) input: Sizes,
    pub(crate) output: Sizes,
}

impl Style {
    pub(crate) fn whole() -> Self {
        Self { input: Sizes::whole(), output: Sizes::whole() }
    }
}

pub(crate) trait Machine {
    /// Whether it has links, which may be gone.
    const HAS_LINKS: bool;

    fn call(&mut self, now: Instant, call: &Call, style: &mut Style) -> Answer {
        let mut answer = Answer::default();
        self.act(now, call, style, &mut answer);
        answer.state = self.state();
        answer
    }

    fn act(&mut self, now: Instant, call: &Call, style: &mut Style, answer: &mut Answer);

    /// Everything that can be asked and changes nothing.
    fn state(&self) -> String;

    fn deadline(&self) -> Option<Instant>;
}

/// The largest buffer that is ever given, in which every datagram has room.
const LARGEST: usize = 1 << 13;

/// Takes at most so many bytes in buffers of these sizes, or as many datagrams as begin in them.
fn transmit(
    framing: Framing,
    most: usize,
    sizes: &mut Sizes,
    mut poll: impl FnMut(&mut [u8]) -> usize,
) -> Vec<Vec<u8>> {
    let (mut pieces, mut total) = (Vec::new(), 0);
    let is_datagram = framing == Framing::Datagram;
    while total < most {
        let size = if is_datagram { LARGEST } else { sizes.next().min(most - total).min(LARGEST) };
        let mut out = vec![0; size];
        let written = poll(&mut out);
        assert!(written <= size, "{written} bytes in a buffer of {size}");
        if written == 0 {
            break;
        }
        out.truncate(written);
        pieces.push(out);
        total += written;
    }
    if is_datagram || pieces.is_empty() { pieces } else { vec![pieces.concat()] }
}

/// Gives bytes in pieces of these sizes, all of which must be taken.
fn input(framing: Framing, bytes: &[u8], sizes: &mut Sizes, mut give: impl FnMut(&[u8]) -> usize) {
    if framing == Framing::Datagram {
        // A datagram comes whole.
        assert_eq!(give(bytes), bytes.len());
        return;
    }
    let mut rest = bytes;
    loop {
        let (piece, others) = rest.split_at(sizes.next().min(rest.len()));
        assert_eq!(give(piece), piece.len());
        rest = others;
        if rest.is_empty() {
            return;
        }
    }
}

pub(crate) struct ClientMachine {
    pub(crate) client: Client<Vec<u8>>,
    framing: Framing,
    token: Option<AckToken>,
    watch: Option<WatchId>,
}

impl ClientMachine {
    pub(crate) fn new(config: &ClientConfig) -> Self {
        let memory = vec![0xaa; config.memory_needed()];
        let client = Client::new(config.clone(), memory).unwrap();
        Self { client, framing: config.framing, token: None, watch: None }
    }

    fn events(&mut self, most: usize, told: &mut Vec<String>) {
        for _ in 0..most {
            let has = self.client.has_event();
            let event = self.client.poll_event();
            assert_eq!(event.is_some(), has, "has_event knows");
            let Some(event) = event else { return };
            told.push(format!("{event:?}"));
            if let Event::Message(message) = event {
                self.token = Some(message.token);
            }
        }
    }
}

impl Machine for ClientMachine {
    const HAS_LINKS: bool = false;

    fn act(&mut self, now: Instant, call: &Call, style: &mut Style, answer: &mut Answer) {
        let (client, framing) = (&mut self.client, self.framing);
        match call {
            Call::Connected => client.handle_connected(now),
            Call::Disconnected(_) => client.handle_disconnected(now),
            Call::Input(_, bytes) => {
                input(framing, bytes, &mut style.input, |piece| {
                    client.handle_input(now, piece);
                    piece.len()
                });
            }
            Call::Timeout => client.handle_timeout(now),
            Call::Transmit(_, most) => {
                let wants = client.wants_transmit();
                answer.written = transmit(framing, *most, &mut style.output, |out| {
                    client.poll_transmit(now, out).unwrap_or(0)
                });
                assert!(*most == 0 || wants != answer.written.is_empty(), "wants_transmit knows");
            }
            Call::Events(most) => self.events(*most, &mut answer.told),
            Call::Ready => panic!("a client has no list of links"),
            Call::Send { to, payload, live, until } => {
                let outgoing = Message::to(&**to).payload(payload).time_to_live(*live).retain(*until);
                answer.told.push(format!("{:?}", client.send(now, &outgoing)));
            }
            Call::Set(value) => answer.told.push(format!("{:?}", client.set(now, "a", Value::Int(*value)))),
            Call::Remove => answer.told.push(format!("{:?}", client.remove(now, "a"))),
            Call::Watch => {
                let watch = client.watch(now, &Filter::everyone());
                answer.told.push(format!("{watch:?}"));
                self.watch = watch.ok().or(self.watch);
            }
            Call::Unwatch => self.watch.into_iter().for_each(|watch| client.unwatch(now, watch)),
            Call::Acknowledge => self.token.into_iter().for_each(|token| client.acknowledge(token)),
            Call::Close(how) => client.close(now, *how),
        }
    }

    fn state(&self) -> String {
        let client = &self.client;
        let wants = (client.wants_connection(), client.wants_disconnect(), client.wants_transmit());
        let is = (client.has_event(), client.is_established(), client.is_closed());
        let unanswered: Vec<_> = client.unanswered().collect();
        format!("{wants:?} {is:?} {:?} {unanswered:?} {:?}", client.poll_timeout(), client.attributes())
    }

    fn deadline(&self) -> Option<Instant> {
        self.client.poll_timeout()
    }
}

pub(crate) struct BrokerMachine {
    pub(crate) broker: Broker,
    pub(crate) links: Vec<LinkId>,
    framing: Framing,
}

impl BrokerMachine {
    pub(crate) fn new(config: &BrokerConfig, framing: Framing) -> Self {
        Self { broker: Broker::new(config.clone(), 1).unwrap(), links: Vec::new(), framing }
    }
}

impl Machine for BrokerMachine {
    const HAS_LINKS: bool = true;

    fn act(&mut self, now: Instant, call: &Call, style: &mut Style, answer: &mut Answer) {
        let (broker, framing) = (&mut self.broker, self.framing);
        match call {
            Call::Connected => {
                let link = broker.handle_connected_over(now, 0, framing);
                answer.told.push(format!("{link:?}"));
                self.links.extend(link);
            }
            Call::Disconnected(link) => {
                let link = self.links.get(*link);
                link.into_iter().for_each(|&link| broker.handle_disconnected(now, link));
            }
            Call::Input(link, bytes) => {
                let Some(&link) = self.links.get(*link) else { return };
                input(framing, bytes, &mut style.input, |piece| {
                    // A link that is gone swallows what it is given.
                    broker.handle_input(now, link, piece).unwrap_or(piece.len())
                });
            }
            Call::Timeout => broker.handle_timeout(now),
            Call::Transmit(link, most) => {
                let Some(&link) = self.links.get(*link) else { return };
                let poll = |out: &mut [u8]| broker.poll_transmit(now, link, out).unwrap_or(0);
                answer.written = transmit(framing, *most, &mut style.output, poll);
            }
            Call::Events(most) => {
                let events = core::iter::from_fn(|| broker.poll_event()).take(*most);
                answer.told.extend(events.map(|event| format!("{event:?}")));
            }
            Call::Ready => {
                let ready = core::iter::from_fn(|| broker.poll_ready());
                let links = &self.links;
                let mut told: Vec<String> = ready
                    .map(|ready| {
                        let (Ready::Transmit(id) | Ready::Resume(id) | Ready::Close(id)) = ready;
                        let at =
                            links.iter().position(|&link| link == id).expect("a link that was connected");
                        format!("{} {at}", if matches!(ready, Ready::Close(_)) { "close" } else { "serve" })
                    })
                    .collect();
                // In which order they are named is not promised.
                told.sort();
                answer.told = told;
            }
            other => panic!("a broker has no application: {other:?}"),
        }
    }

    fn state(&self) -> String {
        let stats = self.broker.stats();
        assert!(stats.is_balanced(), "{stats:?}");
        format!("{:?} {stats:?}", self.broker.poll_timeout())
    }

    fn deadline(&self) -> Option<Instant> {
        self.broker.poll_timeout()
    }
}
