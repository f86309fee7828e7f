//! A broker with links that are only bytes: what it does costs what its core costs, and nothing else.

use std::ops::Range;
use std::time::Duration;

use e_pigeon_core::codec::Writer;
use e_pigeon_core::wire::control::{Control, Hello, Known};
use e_pigeon_core::wire::frame::{extent, write_header};
use e_pigeon_core::wire::item::{MessageItem, UpItem};
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{AttributesRef, Broker, BrokerConfig, Destination, Instant, LinkId, Ready};

use rustix::time::{ClockId, clock_gettime};

use crate::failure::Failure;
use crate::limits;

const EPOCH: u64 = 1;
/// More than any frame of these.
const FRAME: usize = 2048;
/// So much room there is for the output of a link.
const ROOM: usize = 64 * 1024;
/// The largest that there is: nothing waits for it.
const WIDE: Window = Window { messages: 1 << 24, bytes: u32::MAX };

/// A broker that is fed by hand.
pub(crate) struct Inside {
    broker: Broker,
    now: Instant,
    output: Vec<u8>,
    /// What of it is whose.
    written: Vec<Piece>,
    frame: Box<[u8]>,
    /// Links that had something to write.
    ready: Vec<LinkId>,
}

impl Inside {
    /// Makes one that has room for everything.
    pub(crate) fn new(sessions: u32, queue: u32) -> Result<Self, Failure> {
        let config = BrokerConfig::new(0)
            .max_links(sessions)
            .max_sessions(sessions)
            .max_messages(1 << 22)
            .queue_messages(queue)
            .queue_bytes(1 << 30)
            .window_messages(WIDE.messages)
            .window_bytes(WIDE.bytes)
            .settle(Duration::ZERO);
        Ok(Self {
            broker: Broker::new(config, EPOCH).map_err(limits::explain)?,
            now: Instant::from_micros(1),
            output: vec![0; 8 << 20],
            written: Vec::new(),
            frame: vec![0; FRAME].into_boxed_slice(),
            ready: Vec::new(),
        })
    }

    /// Puts a frame behind `into`.
    pub(crate) fn write(&mut self, into: &mut Vec<u8>, write: impl Fn(&mut Writer<'_>)) {
        let mut counter = Writer::counting();
        write(&mut counter);
        let body = counter.total();
        let mut writer = Writer::new(&mut self.frame, 0);
        write_header(&mut writer, body);
        write(&mut writer);
        let length = writer.written();
        into.extend_from_slice(&self.frame[..length]);
    }

    /// A client says hello on a new link: its first, or another with the session of the first, of which it has nothing yet.
    /// The answer is there to be taken.
    pub(crate) fn hello(
        &mut self,
        client: u32,
        attributes: AttributesRef<'_>,
        resumes: Option<u64>,
    ) -> Result<LinkId, Failure> {
        let known = resumes.map(|session| Known {
            epoch: EPOCH.to_le_bytes(),
            session,
            received: 0,
            acknowledged: 0,
            window: WIDE,
        });
        let hello = Hello {
            uuid: uuid(client),
            secret: [1; 16],
            boot: [2; 8],
            link: if resumes.is_some() { 2 } else { 1 },
            known,
            window: WIDE,
            max_payload: 1 << 16,
            aliases: 64,
            receives: true,
            presence: 0,
        };
        let link = self.broker.handle_connected(self.now, 0).map_err(Failure::failed)?;
        let mut bytes = Vec::with_capacity(128);
        self.write(&mut bytes, |writer| Control::Hello(hello, attributes).write(writer));
        let whole = Piece { link, range: 0..bytes.len() };
        self.feed(&[whole], &bytes);
        Ok(link)
    }

    /// The link of a client is gone.
    pub(crate) fn cut(&mut self, link: LinkId) {
        self.broker.handle_disconnected(self.now, link);
        self.forget_ready();
    }

    /// Puts a message frame behind `into`; each defines its destination anew.
    pub(crate) fn message(&mut self, into: &mut Vec<u8>, to: &Destination, payload: &[u8]) {
        let message = MessageItem {
            slot: 0,
            define: Some(to.as_ref()),
            id_step: 1,
            time_to_live_ms: 3_600_000,
            retry: None,
            until_accepted: false,
            payload,
        };
        self.write(into, |writer| UpItem::Message(message).write(writer));
    }

    /// Bytes of clients, until the broker has taken them; returns how much processor time that took.
    pub(crate) fn feed(&mut self, pieces: &[Piece], bytes: &[u8]) -> Duration {
        let start = processor_time();
        for Piece { link, range } in pieces {
            let mut rest = &bytes[range.clone()];
            while !rest.is_empty() {
                let taken = self.broker.handle_input(self.now, *link, rest).unwrap_or(rest.len());
                rest = &rest[taken..];
                while let Some(ready) = self.broker.poll_ready() {
                    if let Ready::Transmit(link) = ready {
                        self.ready.push(link);
                    }
                }
            }
        }
        processor_time() - start
    }

    /// The links that had something to write since this was last asked, each once or more often.
    pub(crate) fn take_ready(&mut self, into: &mut Vec<LinkId>) {
        into.clear();
        into.append(&mut self.ready);
    }

    pub(crate) fn forget_ready(&mut self) {
        while self.broker.poll_ready().is_some() {}
        while self.broker.poll_event().is_some() {}
        self.ready.clear();
    }

    /// Takes the output of links, to be looked at with [`frames`](Self::frames); returns how much processor time the broker
    /// took to write it.
    pub(crate) fn take(&mut self, links: &[LinkId]) -> Duration {
        self.written.clear();
        let mut filled = 0;
        let start = processor_time();
        for &link in links {
            let from = filled;
            loop {
                if self.output.len() - filled < ROOM {
                    self.output.resize(self.output.len() * 2, 0);
                }
                match self.broker.poll_transmit(self.now, link, &mut self.output[filled..]) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => filled += count,
                }
            }
            self.written.push(Piece { link, range: from..filled });
        }
        processor_time() - start
    }

    /// Looks at what was taken last: each link, and the body of each of its frames.
    pub(crate) fn frames(&self, mut each: impl FnMut(LinkId, &[u8])) {
        for Piece { link, range } in &self.written {
            let mut rest = &self.output[range.clone()];
            // The broker writes whole frames, none of them above the limit.
            while let Ok(Some(extent)) = extent(rest, 1 << 20)
                && let Some(body) = rest.get(extent.header..extent.total())
            {
                each(*link, body);
                rest = &rest[extent.total()..];
            }
        }
    }
}

/// What one link says, as a part of a longer row of bytes.
pub(crate) struct Piece {
    pub(crate) link: LinkId,
    pub(crate) range: Range<usize>,
}

/// The time that this thread has had on a processor: what others do meanwhile does not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is negative.
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// The UUID of a client.
pub(crate) fn uuid(client: u32) -> [u8; 16] {
    let mut uuid = [0x40; 16];
    uuid[12..].copy_from_slice(&client.to_be_bytes());
    uuid
}
