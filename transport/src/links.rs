//! The table of connections of a broker: which socket is which link, and what each still has to do.

use std::io;

use e_pigeon_core::{Broker, Framing, Instant, LinkId};
use slab::Slab;

use crate::backlog::Backlog;
use crate::buffers::{INPUT, OUTPUT, UNTAKEN, UNTAKEN_BESIDES, fill};
use crate::bug::bug;
use crate::closing::Closing;
use crate::connection::{Connection, Input};
use crate::endpoint::Endpoint;
use crate::socket::Socket;
use crate::source::Source;

/// All connections, and the two buffers that they share.
#[derive(Debug)]
pub(crate) struct Links<S> {
    slots: Slab<Slot<S>>,
    capacity: usize,
    /// From the index of a link to its slot.
    by_link: Vec<Option<u32>>,
    /// The listeners whose line is over.
    lost: Vec<usize>,
    untaken: Untaken,
    input: Box<[u8]>,
    output: Box<[u8]>,
}

/// What all links keep of input that the broker has not taken.
#[derive(Debug, Default)]
struct Untaken {
    total: usize,
    /// So much of it is beyond what each link may keep.
    besides: usize,
}

impl Untaken {
    fn change(&mut self, before: usize, after: usize) {
        let besides = |size: usize| size.saturating_sub(UNTAKEN);
        self.total = self.total + after - before;
        self.besides = self.besides + besides(after) - besides(before);
    }
}

#[derive(Debug)]
struct Slot<S> {
    connection: Connection<S>,
    role: Role,
    /// The listener that it came from.
    origin: usize,
}

#[derive(Debug)]
enum Role {
    Link(Peer),
    Leaving(Closing),
}

/// What a connection that is a link has to do.
#[derive(Debug)]
struct Peer {
    link: LinkId,
    framing: Framing,
    source: Source,
    /// What the broker has not taken yet. Nothing is read before that.
    untaken: Backlog,
    /// It has left something: it is read in small pieces until the broker takes all of one.
    is_sated: bool,
    /// The broker wants the untaken input now.
    resumes: bool,
    /// The broker has output for this link.
    has_output: bool,
    /// The broker has answered: what comes is no HELLO any more.
    is_answered: bool,
    /// Waits for a turn of its own.
    queued: bool,
}

impl<S: Socket> Links<S> {
    /// Makes an empty table of at most `capacity` connections.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            slots: Slab::new(),
            capacity,
            by_link: Vec::new(),
            lost: Vec::new(),
            untaken: Untaken::default(),
            input: vec![0; INPUT].into_boxed_slice(),
            output: vec![0; OUTPUT].into_boxed_slice(),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many bytes of input the broker has not taken.
    pub(crate) fn untaken(&self) -> usize {
        self.untaken.total
    }

    /// What so many connections keep at most, with the buffers that they share.
    pub(crate) fn worst_case_bytes(capacity: usize) -> usize {
        // Slots double.
        let each = 2 * (size_of::<Slot<S>>() + size_of::<Option<u32>>()) + UNTAKEN + OUTPUT;
        capacity.saturating_mul(each).saturating_add(UNTAKEN_BESIDES + 2 * INPUT + OUTPUT)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= self.capacity
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn key_of_link(&self, link: LinkId) -> Option<usize> {
        let key = self.by_link.get(link.index()).copied().flatten()? as usize;
        match &self.slots.get(key)?.role {
            Role::Link(peer) if peer.link == link => Some(key),
            _ => None,
        }
    }

    /// Takes a new connection, and returns its key and whether it has become a link; else it was refused.
    pub(crate) fn adopt(
        &mut self,
        mut socket: S,
        (peer, origin): (&Endpoint, usize),
        prepare: &mut impl FnMut(&mut S, usize) -> io::Result<()>,
        broker: &mut Broker,
        now: Instant,
    ) -> io::Result<(usize, bool)> {
        if self.is_full() {
            return Err(io::Error::other("too many connections"));
        }
        let entry = self.slots.vacant_entry();
        let key = entry.key();
        prepare(&mut socket, key)?;
        let mut connection = Connection::new(socket);
        let (framing, source) = (peer.framing(), Source::of(peer, origin));
        let Ok(link) = broker.handle_connected_over(now, source.number(), framing) else {
            if framing.is_lossy() {
                return Err(io::Error::other("all links are in use"));
            }
            tracing::debug!(%peer, "refused: all links are in use");
            connection.write(Broker::FULL);
            entry.insert(Slot { connection, role: Role::Leaving(Closing::begin(now)), origin });
            return Ok((key, false));
        };
        tracing::trace!(%peer, link = link.index(), "accepted");
        let peer = Peer {
            link,
            framing,
            source,
            untaken: Backlog::default(),
            is_sated: false,
            resumes: false,
            has_output: false,
            is_answered: false,
            queued: false,
        };
        entry.insert(Slot { connection, role: Role::Link(peer), origin });
        self.map(link, key);
        Ok((key, true))
    }

    /// A listener whose line is over, if there is one.
    pub(crate) fn take_lost(&mut self) -> Option<usize> {
        self.lost.pop()
    }

    fn map(&mut self, link: LinkId, key: usize) {
        if self.by_link.len() <= link.index() {
            self.by_link.resize(link.index() + 1, None);
        }
        // There are no more than 2^30 and those on their way out.
        self.by_link[link.index()] = Some(key as u32);
    }

    fn remove(&mut self, key: usize) {
        let slot = self.slots.remove(key);
        if let Role::Link(peer) = &slot.role {
            self.untaken.change(peer.untaken.size(), 0);
        }
        if slot.connection.is_line() {
            self.lost.push(slot.origin);
        }
    }

    /// Drops all connections, without a word.
    pub(crate) fn drop_all(&mut self) {
        let keys: Vec<usize> = self.slots.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.remove(key);
        }
        self.by_link.clear();
    }

    /// Lets a connection remember what it is ready for.
    pub(crate) fn note(&mut self, key: usize, note: impl FnOnce(&mut Connection<S>)) {
        if let Some(slot) = self.slots.get_mut(key) {
            note(&mut slot.connection);
        }
    }

    /// Writes what the socket did not take before, and reads once.
    pub(crate) fn serve(&mut self, key: usize, broker: &mut Broker, now: Instant) {
        // An event that is left over from a connection that has ended.
        let Some(Slot { connection, role, .. }) = self.slots.get_mut(key) else { return };
        match role {
            Role::Leaving(closing) => {
                if closing.advance(connection, &mut self.input) {
                    self.remove(key);
                }
            }
            Role::Link(peer) => {
                if peer.has_output || connection.has_unsent() {
                    peer.write(connection, broker, now, &mut self.output);
                }
                let before = peer.untaken.size();
                if peer.resumes {
                    peer.offer(connection, broker, now, &mut self.input[..UNTAKEN]);
                } else if peer.untaken.is_empty() {
                    let is_tight = peer.is_sated || self.untaken.besides + INPUT > UNTAKEN_BESIDES;
                    let input = if is_tight { &mut self.input[..UNTAKEN] } else { &mut self.input[..] };
                    if !peer.read(connection, broker, now, input, &mut self.output) {
                        self.by_link[peer.link.index()] = None;
                        broker.handle_disconnected(now, peer.link);
                        return self.remove(key);
                    }
                }
                self.untaken.change(before, peer.untaken.size());
            }
        }
    }

    /// Writes what the broker has for this link.
    pub(crate) fn transmit(&mut self, key: usize, broker: &mut Broker, now: Instant) {
        if let Some(Slot { connection, role: Role::Link(peer), .. }) = self.slots.get_mut(key) {
            peer.has_output = true;
            peer.is_answered = true;
            peer.write(connection, broker, now, &mut self.output);
        }
    }

    /// Remembers that the broker wants the untaken input: at the link's next turn, so that the others get theirs.
    pub(crate) fn resume(&mut self, key: usize) {
        if let Some(Slot { role: Role::Link(peer), .. }) = self.slots.get_mut(key) {
            peer.resumes = true;
        }
    }

    /// Ends a link from this side, and returns whether its connection is on its way out: what the broker still says goes out
    /// first. A line is kept for the next link where the broker `goes_on`.
    pub(crate) fn close(&mut self, key: usize, broker: &mut Broker, now: Instant, goes_on: bool) -> bool {
        let Some(Slot { connection, role: role @ Role::Link(_), .. }) = self.slots.get_mut(key) else {
            bug!("the link that the broker closes has a connection");
            return false;
        };
        let Role::Link(peer) = role else { return false }; // It was looked at above.
        let is_kept = goes_on && connection.is_line();
        // These are the last words, so this ends.
        loop {
            let filled =
                fill(&mut self.output, |room| broker.poll_transmit(now, peer.link, room).unwrap_or(0));
            if filled == 0 {
                break;
            }
            // On a line where nobody listens they would pile up.
            if !is_kept || !connection.has_unsent() {
                connection.write(&self.output[..filled]);
            }
        }
        self.by_link[peer.link.index()] = None;
        broker.handle_disconnected(now, peer.link);
        // There was room for the link before it.
        if is_kept && let Ok(link) = broker.handle_connected_over(now, peer.source.number(), peer.framing) {
            tracing::trace!(link = link.index(), "the line has a new link");
            peer.link = link;
            peer.has_output = false;
            peer.is_answered = false;
            peer.resumes = !peer.untaken.is_empty();
            self.map(link, key);
            return false;
        }
        self.untaken.change(peer.untaken.size(), 0);
        *role = Role::Leaving(Closing::begin(now));
        self.serve(key, broker, now);
        true
    }

    /// Drops the connection that leaves and has time until then; returns whether there is one. The place may be somebody else's by
    /// now.
    pub(crate) fn drop_leaving(&mut self, key: usize, until: Instant) -> bool {
        let leaves = self
            .slots
            .get(key)
            .is_some_and(|slot| matches!(&slot.role, Role::Leaving(closing) if closing.deadline() == until));
        if leaves {
            self.remove(key);
        }
        leaves
    }

    /// Says whether the connection stopped early and is not in the queue yet: then it belongs there.
    pub(crate) fn ask_for_turn(&mut self, key: usize) -> bool {
        let Some(Slot { connection, role: Role::Link(peer), .. }) = self.slots.get_mut(key) else {
            // It has ended in this turn, or it leaves.
            return false;
        };
        let readable = connection.is_readable() && peer.untaken.is_empty();
        let more_output = peer.has_output && connection.is_writable();
        let ask = !peer.queued && (readable || more_output || peer.resumes);
        peer.queued |= ask;
        ask
    }

    /// The connection has come to the head of the queue.
    pub(crate) fn begin_turn(&mut self, key: usize) {
        if let Some(Slot { role: Role::Link(peer), .. }) = self.slots.get_mut(key) {
            peer.queued = false;
        }
    }
}

impl Peer {
    /// Reads once; false where the connection is over.
    fn read<S: Socket>(
        &mut self,
        connection: &mut Connection<S>,
        broker: &mut Broker,
        now: Instant,
        input: &mut [u8],
        output: &mut [u8],
    ) -> bool {
        match connection.read(input) {
            Input::Nothing => true,
            Input::Over(error) => {
                tracing::trace!(link = self.link.index(), ?error, "connection ended");
                if error.is_none() {
                    // The peer has only stopped writing: it may still read why, or a farewell. One write of it.
                    self.has_output = true;
                    self.write(connection, broker, now, output);
                }
                false
            }
            Input::Bytes(count) => {
                let count = count + self.read_behind(connection, broker, &mut input[count..]);
                let taken = broker.handle_input(now, self.link, &input[..count]).unwrap_or(count);
                self.untaken.push(&input[taken.min(count)..count]);
                // One that sends little has been taken whole all the time.
                self.is_sated = taken < count || (self.is_sated && count < input.len());
                true
            }
        }
    }

    /// Offers the broker what it has not taken before.
    fn offer<S: Socket>(
        &mut self,
        connection: &mut Connection<S>,
        broker: &mut Broker,
        now: Instant,
        input: &mut [u8],
    ) {
        self.resumes = false;
        let room = input.len().saturating_sub(self.untaken.size());
        let more = self.read_behind(connection, broker, &mut input[..room]);
        self.untaken.push(&input[..more]);
        let rest = self.untaken.bytes();
        let taken = broker.handle_input(now, self.link, rest).unwrap_or(rest.len());
        self.untaken.advance(taken);
    }

    /// Looks behind input that may be a HELLO: whether the connection has ended there, which the broker has to know first.
    /// Returns how much more there is.
    fn read_behind<S: Socket>(
        &self,
        connection: &mut Connection<S>,
        broker: &mut Broker,
        room: &mut [u8],
    ) -> usize {
        if self.is_answered || room.is_empty() {
            return 0;
        }
        // The end may have come right behind the news of the input.
        connection.note_readable();
        match connection.read(room) {
            Input::Nothing => 0,
            Input::Bytes(count) => count,
            Input::Over(error) => {
                tracing::trace!(link = self.link.index(), ?error, "connection ended before its session");
                broker.handle_end_of_input(self.link);
                // The next read finds it again.
                0
            }
        }
    }

    /// Writes once, unless the socket is full of what was before.
    fn write<S: Socket>(
        &mut self,
        connection: &mut Connection<S>,
        broker: &mut Broker,
        now: Instant,
        output: &mut [u8],
    ) {
        if connection.flush() && self.has_output {
            let batch = connection.batch().min(output.len());
            let output = &mut output[..batch];
            let filled = fill(output, |room| broker.poll_transmit(now, self.link, room).unwrap_or(0));
            connection.write(&output[..filled]);
            self.has_output = filled == output.len();
        }
    }
}
