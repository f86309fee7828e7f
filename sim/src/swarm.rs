//! What a run is about: each kind of work and of fault is on or off for the whole of it, and each limit is tiny as
//! often as it is large. (Swarm testing: what is always there hides what it stands in front of.)

use crate::setup::{BUDGET, LEAST, LONG, Medium, Setup, ms, plain_broker, plain_client};
use crate::source::Source;
use e_pigeon_core::{BrokerConfig, ClientConfig};

/// Which kinds of work and of fault a run has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swarm {
    /// How many steps it has, before all is well.
    pub steps: usize,
    /// For how many bytes moved there is one step of another kind.
    pub calm: u64,
    /// Bytes arrive in pieces.
    pub pieces: bool,
    /// Output goes through tiny buffers.
    pub tiny_out: bool,
    /// Connections break.
    pub cuts: bool,
    /// One end of them does not notice.
    pub half_open: bool,
    /// Connections stall.
    pub stalls: bool,
    /// Clients cannot connect for a while.
    pub unreachable: bool,
    /// Clients stop and go on.
    pub stops: bool,
    /// Clients start anew; so often at the most.
    pub restarts: u64,
    /// The broker dies; so often at the most.
    pub kills: u64,
    /// The clock jumps.
    pub jumps: bool,
    /// Applications do not read for a while.
    pub sleeps: bool,
    /// Clients leave.
    pub closes: bool,
    /// Attributes change.
    pub attributes: bool,
    /// Messages go to those who are not there.
    pub nobody: bool,
    /// Clients come one after the other.
    pub newcomers: bool,
    /// Messages expire.
    pub short_lives: bool,
    /// Some messages are kept only until they are accepted.
    pub until_accepted: bool,
    /// Some messages are only for those who are connected.
    pub only_connected: bool,
    /// Applications watch.
    pub watches: bool,
    /// Many messages in a row.
    pub bursts: bool,
    /// Limits of the broker are small.
    pub small_queues: bool,
    /// Sessions end soon.
    pub short_sessions: bool,
    /// Not everybody takes payloads of the same size.
    pub small_payloads: bool,
    /// Clients remember few senders.
    pub small_senders: bool,
    /// Few links may be.
    pub few_links: bool,
    /// What one sender may have of what belongs to all is little.
    pub small_shares: bool,
    /// Few sessions may be, and those that are away end sooner.
    pub few_sessions: bool,
    /// Few links and failed hellos of a source may be, and clients share sources.
    pub few_sources: bool,
    /// The broker ends all links now and then.
    pub ends_links: bool,
    /// Some clients acknowledge by themselves.
    pub manual: bool,
    /// Strangers flood the broker.
    pub floods: bool,
    /// Attributes change to and fro in bursts.
    pub set_bursts: bool,
    /// Messages for pairs of attributes wait for such changes.
    pub parked_pairs: bool,
    /// An application never reads, and messages for it expire.
    pub deaf: bool,
}

impl Swarm {
    /// Draws what a run is about, and its limits.
    pub fn draw(source: &mut Source<'_>) -> (Self, Setup) {
        let clients = source.between(2, 6);
        let mut on = |chance| source.percent(chance);
        let swarm = Self {
            steps: 0,
            calm: 0,
            pieces: on(60),
            tiny_out: on(40),
            cuts: on(60),
            half_open: on(50),
            stalls: on(25),
            unreachable: on(40),
            stops: on(25),
            restarts: if on(15) { 4 } else { 0 },
            kills: if on(50) { 1 } else { 0 },
            jumps: on(50),
            sleeps: on(45),
            closes: on(12),
            attributes: on(45),
            nobody: on(50),
            newcomers: on(40),
            short_lives: on(30),
            until_accepted: on(40),
            only_connected: on(40),
            watches: on(40),
            bursts: on(40),
            small_queues: on(20),
            short_sessions: on(20),
            small_payloads: on(15),
            small_senders: on(15),
            few_links: on(8),
            small_shares: on(20),
            few_sessions: on(10),
            few_sources: on(10),
            ends_links: on(10),
            manual: on(20),
            floods: false,
            set_bursts: false,
            parked_pairs: false,
            deaf: false,
        };
        let swarm = Self {
            steps: source.pick(&[100, 400, 1_200, 4_000]),
            calm: source.pick(&[2, 6, 20]),
            kills: swarm.kills * source.between(1, 5),
            ..swarm
        };
        let max_payload = source.pick(&[16, 64, 300, 1_000]);
        let broker = swarm.broker(source, max_payload);
        let clients = (0..clients).map(|_| swarm.client(source, max_payload)).collect();
        let piece = if swarm.pieces { source.pick(&[0, 7, 60, 500]) } else { 0 };
        let (stream, serial, datagrams) = (Medium::Stream, Medium::Serial, Medium::Datagrams);
        let medium = source
            .pick(&[stream, stream, stream, stream, stream, stream, serial, serial, datagrams, datagrams]);
        // What one call leaves undone goes on in others, between which anything happens.
        let budget = source.pick(&[BUDGET, BUDGET, BUDGET, BUDGET, LEAST, 120, 300, 2_000]);
        let sources = if swarm.few_sources { source.pick(&[1, 2, 64]) } else { 64 };
        let mut setup =
            Setup { seed: source.below(u64::MAX), broker, budget, sources, clients, medium, piece };
        let mut on = |chance| source.percent(chance);
        let swarm = Self {
            floods: on(if swarm.few_links || swarm.small_shares || swarm.few_sessions { 40 } else { 10 }),
            set_bursts: on(10),
            parked_pairs: on(10),
            deaf: on(8),
            ..swarm
        };
        if swarm.deaf && source.percent(50) {
            // Few messages may be, and many that have ended lie in its queue: all queues are searched, in turns.
            (setup.broker.max_messages, setup.budget) = (5, LEAST);
        }
        (swarm, setup)
    }

    /// True where somebody attacks.
    pub(crate) fn has_attacks(&self) -> bool {
        self.floods || self.set_bursts || self.parked_pairs || self.deaf
    }

    fn broker(&self, source: &mut Source<'_>, max_payload: u32) -> BrokerConfig {
        let mut config = plain_broker()
            .max_payload(max_payload)
            .window_messages(source.pick(&[1, 2, 7, 64]))
            .window_bytes(max_payload * source.pick(&[1, 3, 64]))
            .receipt_backlog(source.pick(&[1, 2, 8, 64]))
            .keep_alive(ms(source.pick(&[700, 3_000, 10_000])))
            .settle(ms(source.pick(&[0, 100, 1_000, 3_000])))
            .handshake_timeout(ms(source.pick(&[500, 5_000])))
            .accept_delay(ms(source.pick(&[0, 1, 10, 10, 200])))
            .reorder_bytes(source.pick(&[0, 200, 4_000]))
            .max_watches(source.pick(&[1, 2, 8]))
            .watch_backlog(source.pick(&[1, 2, 1_024]));
        if self.small_queues {
            config.queue_messages = source.pick(&[1, 3, 20]);
            config.queue_bytes = u64::from(max_payload) * source.pick(&[1, 4, 100]);
            config.max_messages = source.pick(&[1, 5, 50, 1_000_000]);
            config.max_held = source.pick(&[0, 1, 10, 100_000]);
            config.max_message_bytes = u64::from(max_payload).max(1_024) * source.pick(&[1, 10, 1_000]);
        }
        if self.short_sessions {
            config.session_ttl = ms(source.pick(&[1, 100, 1_000, 5_000]));
        }
        if self.small_payloads && source.percent(50) {
            config.max_payload = max_payload / 2;
        }
        if self.few_links {
            config.max_links = source.pick(&[6, 7]);
        }
        if self.small_shares {
            config.sender_waiting = source.pick(&[1, 4, 20, 25_000]);
            config.max_parked = source.pick(&[3, 60, 200, 50_000]);
            config.sender_queue = source.pick(&[1, 4, 30, 100_000]);
            config.max_queued = source.pick(&[3, 30, 300, 4 << 20]);
            config.max_receipts = source.pick(&[1, 20, 50, 200, 1 << 20]);
        }
        if self.few_sessions {
            // One call may give two events for each.
            config.max_sessions = 24;
            config.session_ttl = config.session_ttl.min(LONG);
            config.session_ttl_min = ms(source.pick(&[1, 300, 5_000, 30_000]));
        }
        if self.few_sources {
            config.max_links_per_source = source.pick(&[0, 6, 7]);
            config.max_failed_hellos_per_source = source.pick(&[0, 3, 10]);
        }
        config
    }

    fn client(&self, source: &mut Source<'_>, max_payload: u32) -> ClientConfig {
        let mut config = plain_client();
        config.max_payload = max_payload;
        if self.small_payloads && source.percent(40) {
            config.max_payload = max_payload / source.pick(&[2, 4]);
        }
        config.receives = !source.percent(4);
        config.destination_bytes = source.pick(&[60, 794]);
        config.outbox_messages = source.pick(&[1, 2, 10, 256]);
        config.outbox_bytes = max_payload + 794 + 96 * config.outbox_messages * source.pick(&[1, 20]);
        config.inbox_messages = source.pick(&[1, 2, 10, 256]);
        config.inbox_bytes = max_payload * source.pick(&[1, 2, 64]);
        config.senders = if self.small_senders { source.pick(&[1, 2]) } else { 64 };
        config.seen_window = source.pick(&[64, 64, 256, 4_096]);
        config.late_ids = source.pick(&[1, 4, 32]);
        config.destination_slots = source.between(1, 4) as u8;
        config.watches = if self.watches { source.pick(&[1, 2, 3]) } else { 0 };
        config.presence_items = source.pick(&[1, 2, 16]);
        config.reconnect_min = ms(source.pick(&[1, 50, 100]));
        config.reconnect_max = ms(source.pick(&[100, 1_000, 5_000]));
        config.handshake_timeout = ms(source.pick(&[500, 10_000]));
        config.reorder_bytes = source.pick(&[0, 200, 4_000]);
        config.manual_acknowledgement = self.manual && source.percent(60);
        config
    }

    /// A time to live for a message.
    pub(crate) fn live(&self, source: &mut Source<'_>) -> core::time::Duration {
        if self.short_lives && source.percent(50) {
            ms(source.pick(&[0, 1, 15, 300, 5_000, 20_000]))
        } else {
            LONG
        }
    }
}
