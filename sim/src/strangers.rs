//! Programs that attack: links whose frames no client of ours would write, and that never read.
//!
//! They say hello with identities of their own, or none at all, receive no messages, and leave when all is well. One of them never
//! reads, the others do, and one of these acknowledges what it reads, so that no window stops it. Each comes back as often as
//! its link ends. What is promised to clients must hold beside them as without.

use crate::coverage::Path;
use crate::flood::{FIRST, Flood, STRANGERS};
use crate::frames::frame;
use crate::setup::Medium;
use crate::step::{ROOMS, uuid};
use crate::stranger::Stranger;
use crate::violation::{Outcome, Violation, ensure};
use crate::world::{World, trace};
use core::time::Duration;
use e_pigeon_core::codec::Reader;
use e_pigeon_core::wire::control::{Control, Hello};
use e_pigeon_core::wire::item::{MessageItem, UpItem};
use e_pigeon_core::wire::kind;
use e_pigeon_core::wire::window::Window;
use e_pigeon_core::{AttributesRef, Destination, Filter, Framing, Instant, LinkId, Ready, Value};

/// The type of a value that is text. (PROTOCOL.md, "Attributes")
const STRING: u8 = 2;
/// What a stranger does at the most after one step, and how much of it before others have their turn.
const MOST: usize = 1_000;
const AT_ONCE: usize = 100;
/// How many identities a stranger makes up.
const IDENTITIES: usize = 20;
/// A link that has not said hello for so long makes way for others.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often one that leaves offers its last words.
const PATIENT: usize = 100_000;

fn hello(n: usize, link: u64) -> Vec<u8> {
    let hello = Hello {
        uuid: *uuid(FIRST + n).as_bytes(),
        secret: [0xbb; 16],
        boot: 1_u64.to_le_bytes(),
        link,
        known: None,
        window: Window { messages: 1, bytes: 1 },
        max_payload: 1,
        aliases: 1,
        receives: false,
        presence: 1,
    };
    frame(|writer| Control::Hello(hello, AttributesRef::EMPTY).write(writer))
}

fn message(to: &Destination, id_step: u64, time_to_live_ms: u32) -> Vec<u8> {
    let message = MessageItem {
        slot: 0,
        define: Some(to.as_ref()),
        id_step,
        time_to_live_ms,
        retry: None,
        until_accepted: false,
        payload: &[],
    };
    frame(|writer| UpItem::Message(message).write(writer))
}

/// Short pairs always make a filter.
fn any_of(pairs: &[(&str, Value<'_>)]) -> Destination {
    Filter::any_of(pairs).map_or_else(|_| Filter::everyone().into(), Destination::from)
}

/// How many items end in `bytes`, behind what was kept of a frame.
fn count_items(kept: &mut Vec<u8>, bytes: &[u8]) -> u64 {
    kept.extend_from_slice(bytes);
    let (mut items, mut at) = (0, 0);
    loop {
        let mut reader = Reader::new(&kept[at..]);
        let Ok(length) = reader.u64() else { break };
        let header = kept.len() - at - reader.remaining();
        let Some(body) = kept.get(at + header..at + header + length as usize) else { break };
        items += u64::from(body.first().is_some_and(|&kind| kind >= kind::MESSAGE));
        at += header + length as usize;
    }
    kept.drain(..at);
    items
}

impl World {
    /// A stranger does so much of something: a part at once, and the rest while the world flows.
    pub(crate) fn flood(&mut self, n: usize, what: Flood, count: usize) -> Outcome {
        let n = n % STRANGERS;
        self.coverage.hit(Path::Flooded);
        self.strangers.any = true;
        self.strangers.all[n].floods = Some((what, count.min(MOST)));
        self.goes_on(n).map(drop)
    }

    /// A stranger does more of what it floods the broker with, as long as that takes it; true where there was something.
    fn goes_on(&mut self, n: usize) -> Outcome<bool> {
        let Some((what, left)) = self.strangers.all[n].floods else { return Ok(false) };
        let some = left.min(AT_ONCE);
        self.strangers.all[n].floods = Some((what, left - some)).filter(|_| left > some);
        match what {
            Flood::Hello => (0..some).try_for_each(|_| self.stranger_connects(n).map(drop))?,
            Flood::Crowd => (0..some).try_for_each(|_| self.stranger_makes_up(n))?,
            Flood::Silent => (0..some).try_for_each(|_| self.stranger_is_silent(n))?,
            // Its link ends with each.
            Flood::Decline => {
                for place in 0..some {
                    if self.stranger_connects(n)? {
                        self.write_flood(n, what, place);
                        self.offer(n)?;
                    }
                }
            }
            _ if !self.strangers.all[n].can_write() && !self.stranger_connects(n)? => {
                // There is no place for it now.
                self.strangers.all[n].floods = None;
                return Ok(false);
            }
            _ => (0..some).for_each(|place| self.write_flood(n, what, place)),
        }
        self.offer(n)?;
        Ok(true)
    }

    /// Writes one of what a stranger floods the broker with.
    fn write_flood(&mut self, n: usize, what: Flood, place: usize) {
        let stranger = &mut self.strangers.all[n];
        let room = ROOMS[place % ROOMS.len()];
        let nowhere = || any_of(&[("room", Value::Str("nowhere")), ("level", Value::Int(99))]);
        let bytes = match what {
            Flood::Hello | Flood::Silent | Flood::Crowd => return,
            Flood::Watch => {
                stranger.watches += 1;
                let watch = stranger.watches;
                let everyone = Filter::everyone();
                let begins = frame(|writer| UpItem::Watch(watch, everyone.as_ref()).write(writer));
                [begins, frame(|writer| UpItem::Unwatch(watch).write(writer))].concat()
            }
            Flood::Set => frame(|writer| {
                writer.u8(kind::SET);
                writer.u8(1);
                writer.bytes(b"room");
                writer.bool(true);
                writer.u8(STRING);
                writer.bytes(room.as_bytes());
            }),
            Flood::Decline => frame(|writer| UpItem::Decline(1 + place as u64).write(writer)),
            Flood::AnyOf => message(&nowhere().only_connected(), stranger.next_id(), 1),
            Flood::Parked => {
                self.model.limits.count_stranger(n, 1);
                message(&nowhere(), stranger.next_id(), if place.is_multiple_of(2) { 1 } else { 20_000 })
            }
        };
        stranger.pending.extend(bytes);
    }

    /// A stranger says hello as somebody new, and goes.
    fn stranger_makes_up(&mut self, n: usize) -> Outcome {
        let Ok(link) = self.broker.handle_connected_over(self.now, (FIRST + n) as u64, Framing::Length)
        else {
            return self.after_broker();
        };
        let stranger = &mut self.strangers.all[n];
        (stranger.left, stranger.made_up) = (Some(link), stranger.made_up + 1);
        let identity = STRANGERS * (1 + stranger.made_up % IDENTITIES) + n;
        if self.broker.handle_input(self.now, link, &hello(identity, stranger.made_up as u64)).is_err() {
            return Err(Violation { kind: "links", text: format!("the broker forgot stranger {n}") });
        }
        self.after_broker()?;
        self.broker.handle_disconnected(self.now, link);
        self.strangers.all[n].left = None;
        self.after_broker()
    }

    /// A stranger connects and says nothing.
    fn stranger_is_silent(&mut self, n: usize) -> Outcome {
        self.coverage.hit(Path::SilentLinks);
        if let Ok(link) = self.broker.handle_connected_over(self.now, (FIRST + n) as u64, Framing::Length) {
            self.strangers.all[n].silent.push((link, self.now));
        }
        self.after_broker()
    }

    /// True where a connection may be refused: no link without a hello has waited for long that could make way.
    pub(crate) fn nobody_makes_way(&self) -> bool {
        let has_waited = |&(_, since): &(LinkId, Instant)| self.now >= since + PATIENCE;
        let ended: usize = self.strangers.all.iter().map(|stranger| stranger.ended.len()).sum();
        let most = (self.setup.broker.max_links as usize / 4).max(1);
        let is_stream = self.setup.medium == Medium::Stream;
        let waits = self.strangers.all.iter().any(|stranger| stranger.silent.iter().any(has_waited));
        let others = self.connections.iter().filter(|(_, c)| c.made_way && !c.broker_gone).count();
        !is_stream || !waits || ended + others >= most
    }

    /// A link has ended because no hello came. Before its time it makes way for another one, if it is of the source of which most
    /// have waited for long.
    pub(crate) fn makes_way(&mut self, link: LinkId) -> Outcome {
        let (now, patience) = (self.now, self.setup.broker.handshake_timeout);
        let waited = |stranger: &Stranger| {
            stranger.silent.iter().filter(|&&(_, since)| now >= since + PATIENCE).count()
        };
        let most = self.strangers.all.iter().map(waited).max().unwrap_or(0);
        let silent = self.strangers.all.iter().find_map(|stranger| {
            let silent = stranger.silent.iter().find(|silent| silent.0 == link)?;
            Some((silent.1, waited(stranger)))
        });
        let own = self.connections.with_link(link, self.epoch).map(|connection| {
            connection.made_way = true;
            (connection.client as u64 % self.setup.sources, connection.accepted)
        });
        let (since, count) = match (silent, own) {
            (Some(silent), _) => silent,
            (None, Some((source, since))) => (since, self.links_of(source)),
            // It is of a stranger that has said hello.
            (None, None) => return Ok(()),
        };
        if now < since + patience {
            self.coverage.hit(Path::MadeWay);
            let is_worst = now >= since + PATIENCE && count >= most;
            ensure!(
                is_worst,
                "locked out",
                "{count} links make way, and {most} have waited of another source"
            );
        }
        Ok(())
    }

    /// A stranger that reads does; true where there was something.
    fn stranger_reads(&mut self, n: usize) -> Outcome<bool> {
        let Some((link, _)) = self.strangers.all[n].link.filter(|_| n > 0) else { return Ok(false) };
        let mut any = false;
        while core::mem::take(&mut self.strangers.all[n].listed) {
            let mut out = [0; 1_024];
            let written = self.broker.poll_transmit(self.now, link, &mut out).unwrap_or(0);
            self.after_broker()?;
            let stranger = &mut self.strangers.all[n];
            if written == 0 || stranger.link.is_none_or(|(other, _)| other != link) {
                break;
            }
            any = true;
            stranger.listed = true;
            let items = count_items(&mut stranger.kept, &out[..written]);
            if n == 2 && items > 0 {
                stranger.pending.extend(frame(|writer| Control::Ack(items).write(writer)));
                self.offer(n)?;
            }
        }
        Ok(any)
    }

    /// A stranger connects and says hello; false where there is no place for its link.
    fn stranger_connects(&mut self, n: usize) -> Outcome<bool> {
        let Ok(link) = self.broker.handle_connected_over(self.now, (FIRST + n) as u64, Framing::Length)
        else {
            self.after_broker()?;
            return Ok(false);
        };
        trace!(self, "stranger {n} connects");
        let stranger = &mut self.strangers.all[n];
        stranger.left = stranger.link.map(|(old, _)| old);
        stranger.link_number += 1;
        let number = stranger.link_number;
        (stranger.link, stranger.full, stranger.watches) = (Some((link, self.epoch)), false, 0);
        (stranger.listed, stranger.aborted, stranger.last_on_link) = (false, false, 0);
        stranger.kept.clear();
        stranger.pending = hello(n, number);
        self.offer(n)?;
        if let Some(old) = self.strangers.all[n].left.take() {
            self.broker.handle_disconnected(self.now, old);
            self.after_broker()?;
        }
        Ok(true)
    }

    /// Offers the broker what a stranger has written; true where it took something.
    fn offer(&mut self, n: usize) -> Outcome<bool> {
        let stranger = &mut self.strangers.all[n];
        let Some((link, _)) = stranger.link.filter(|_| !stranger.full && !stranger.pending.is_empty()) else {
            return Ok(false);
        };
        let bytes = core::mem::take(&mut stranger.pending);
        let Ok(taken) = self.broker.handle_input(self.now, link, &bytes) else {
            return Err(Violation { kind: "links", text: format!("the broker forgot stranger {n}") });
        };
        let stranger = &mut self.strangers.all[n];
        stranger.full = taken < bytes.len();
        stranger.pending = bytes.get(taken..).unwrap_or_default().to_vec();
        self.after_broker()?;
        Ok(taken > 0)
    }

    /// All strangers have their turn; true where something moved.
    pub(crate) fn offer_all(&mut self) -> Outcome<bool> {
        let mut moved = false;
        for n in 0..STRANGERS {
            if self.healed && self.strangers.open.contains(&n) {
                self.stranger_leaves(n)?;
            }
            moved |= self.stranger_reads(n)?;
            let is_written = self.strangers.all[n].pending.is_empty() || !self.strangers.all[n].can_write();
            moved |= if is_written { self.goes_on(n)? } else { self.offer(n)? };
        }
        Ok(moved)
    }

    /// What the broker wants of a link, where that is one of a stranger. Nothing is ever read from it.
    pub(crate) fn stranger_is_ready(&mut self, ready: Ready) -> bool {
        let (Ready::Transmit(link) | Ready::Resume(link) | Ready::Close(link)) = ready;
        if let Some(stranger) = self.strangers.silent_with(link) {
            if let Ready::Close(_) = ready {
                stranger.silent.retain(|silent| silent.0 != link);
                stranger.ended.retain(|ended| *ended != link);
                self.broker.handle_disconnected(self.now, link);
            }
            return true;
        }
        let Some(stranger) = self.strangers.with_link(link, self.epoch) else { return false };
        if stranger.left == Some(link) {
            return true;
        }
        match ready {
            Ready::Transmit(_) => stranger.listed = true,
            Ready::Resume(_) => stranger.full = false,
            Ready::Close(_) => {
                (stranger.link, stranger.full) = (None, false);
                stranger.pending.clear();
                self.broker.handle_disconnected(self.now, link);
            }
        }
        true
    }

    /// All is well: strangers say goodbye, and their sessions end.
    pub(crate) fn strangers_leave(&mut self) -> Outcome {
        for n in 0..STRANGERS {
            let stranger = &mut self.strangers.all[n];
            stranger.floods = None;
            let silent = core::mem::take(&mut stranger.silent).into_iter().map(|silent| silent.0);
            for link in silent.chain(core::mem::take(&mut stranger.ended)) {
                self.broker.handle_disconnected(self.now, link);
                self.after_broker()?;
            }
            self.stranger_leaves(n)?;
        }
        // And so do those whom they have made up.
        let made_up: Vec<usize> = self.strangers.open.iter().copied().filter(|&n| n >= STRANGERS).collect();
        made_up.into_iter().try_for_each(|identity| self.made_up_leaves(identity))
    }

    /// An identity that was made up says goodbye, if its source may connect; otherwise its session ends by and by.
    fn made_up_leaves(&mut self, identity: usize) -> Outcome {
        let n = identity % STRANGERS;
        let Ok(link) = self.broker.handle_connected_over(self.now, (FIRST + n) as u64, Framing::Length)
        else {
            return self.after_broker();
        };
        let stranger = &mut self.strangers.all[n];
        (stranger.left, stranger.made_up) = (Some(link), stranger.made_up + 1);
        let mut bytes = hello(identity, stranger.made_up as u64);
        bytes.extend(frame(|writer| Control::Goodbye(true).write(writer)));
        for _ in 0..PATIENT {
            let Ok(taken) = self.broker.handle_input(self.now, link, &bytes) else { break };
            bytes.drain(..taken);
            self.after_broker()?;
            if bytes.is_empty() {
                break;
            }
            self.timeouts()?;
        }
        self.broker.handle_disconnected(self.now, link);
        self.strangers.all[n].left = None;
        self.after_broker()
    }

    /// A stranger says goodbye, if its source may connect now.
    fn stranger_leaves(&mut self, n: usize) -> Outcome {
        let is_open = self.strangers.open.contains(&n);
        if is_open && self.stranger_connects(n)? {
            self.strangers.all[n].pending.extend(frame(|w| Control::Goodbye(true).write(w)));
            for _ in 0..PATIENT {
                if self.strangers.all[n].pending.is_empty() {
                    break;
                }
                self.timeouts()?;
                self.offer(n)?;
            }
        }
        if let Some((link, _)) = self.strangers.all[n].link.take() {
            self.broker.handle_disconnected(self.now, link);
            self.after_broker()?;
        }
        Ok(())
    }
}
