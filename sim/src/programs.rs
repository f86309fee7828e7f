//! What applications do with their clients, and what they are told.

use crate::application::Refused;
use crate::coverage::Path;
use crate::log::Handed;
use crate::message::Key;
use crate::setup::Medium;
use crate::source::Random;
use crate::step::{Attributes, Payload, ROOMS, Send, Step, To, client_of};
use crate::violation::{Outcome, Violation, ensure};
use crate::world::{World, trace};
use e_pigeon_core::{
    AbortCode, AckToken, Close, CloseReason, DisconnectReason, Event, Message, MessageId, Receipt,
    RefusalReason, SendError, SetError, Value, WatchError,
};

impl World {
    pub(crate) fn send(&mut self, send: &Send) -> Outcome {
        self.try_send(send).map(drop)
    }

    /// Sends; false where there was no room.
    fn try_send(&mut self, send: &Send) -> Outcome<bool> {
        let from = send.from;
        let drawn = self.draw();
        let now = self.now;
        let Some(peer) = self.peers.get_mut(from).filter(|peer| !peer.stopped) else { return Ok(true) };
        let payload = match &send.payload {
            Payload::Bytes(bytes) => bytes.clone(),
            Payload::Length(length) => {
                let mut random = Random(drawn);
                (0..*length).map(|_| random.draw() as u8).collect()
            }
        };
        let mut to = send.to.destination();
        if send.exclude_self {
            to = to.exclude_self();
        }
        if send.only_connected {
            to = to.only_connected();
        }
        let outgoing = Message::to(&to).payload(&payload).time_to_live(send.live).retain(send.until);
        let result = peer.client.send(now, &outgoing);
        let (max, boot, leaves) = (peer.config.max_payload, peer.config.boot, peer.leaves);
        trace!(self, "{from} sends {} bytes: {result:?}", payload.len());
        let peer = &mut self.peers[from];
        match result {
            Ok(id) => {
                let unanswered = peer.client.unanswered().count();
                let room = peer.config.outbox_messages as usize;
                ensure!(unanswered <= room, "bounds", "{from} has {unanswered} of {room} in its outbox");
                // Whole milliseconds, as `Message` says.
                let live = core::time::Duration::from_millis(send.live.as_micros().div_ceil(1_000) as u64);
                self.model.sent((from, boot, id.0), send, payload, now + live)?;
            }
            Err(SendError::Full) => {
                self.coverage.hit(Path::OutboxFull);
                peer.refuse(Refused::Send(send.clone()));
                return Ok(false);
            }
            Err(SendError::TooLarge { max: told }) => {
                self.coverage.hit(Path::TooLargeToSend);
                let is_right = payload.len() > told as usize && told <= max;
                ensure!(is_right, "errors", "{from}: {} bytes are too large: {told}", payload.len());
            }
            Err(SendError::DestinationTooLong { max: told }) => {
                let length = to.as_ref().as_bytes().len();
                ensure!(length > usize::from(told), "errors", "{from}: {to:?} is too long: {told}");
            }
            Err(SendError::NoTime) => {
                ensure!(send.live.is_zero(), "errors", "{from}: {:?} is no time", send.live);
            }
            Err(SendError::Closed) => ensure!(leaves, "errors", "{from} is closed, and was never told to"),
            Err(error) => ensure!(false, "errors", "{from} may not send: {error}"),
        }
        Ok(true)
    }

    pub(crate) fn set_room(&mut self, n: usize, room: Option<usize>) -> Outcome {
        let Some(peer) = self.peers.get_mut(n).filter(|peer| !peer.stopped) else { return Ok(()) };
        let room = room.map(|room| room % ROOMS.len());
        let result = match room {
            Some(room) => peer.client.set(self.now, "room", Value::Str(ROOMS[room])),
            None => peer.client.remove(self.now, "room"),
        };
        let wanted = (room, peer.wanted.1);
        self.changed(n, wanted, result, Refused::Room(room)).map(drop)
    }

    pub(crate) fn set_level(&mut self, n: usize, level: Option<i64>) -> Outcome {
        let Some(peer) = self.peers.get_mut(n).filter(|peer| !peer.stopped) else { return Ok(()) };
        let result = match level {
            Some(level) => peer.client.set(self.now, "level", Value::Int(level)),
            None => peer.client.remove(self.now, "level"),
        };
        let wanted = (peer.wanted.0, level);
        self.changed(n, wanted, result, Refused::Level(level)).map(drop)
    }

    fn changed(
        &mut self,
        n: usize,
        wanted: Attributes,
        result: Result<(), SetError>,
        what: Refused,
    ) -> Outcome {
        trace!(self, "{n} wants {wanted:?}: {result:?}");
        let peer = &mut self.peers[n];
        match result {
            Ok(()) => {
                peer.wanted = wanted;
                let has = crate::witness::attributes_of(peer.client.attributes());
                ensure!(has == wanted, "attributes", "{n} wants {wanted:?} and has {has:?}");
            }
            Err(SetError::Full) => {
                self.coverage.hit(Path::SetRefused);
                peer.refuse(what);
            }
            Err(SetError::Closed) => ensure!(peer.leaves, "errors", "{n} is closed, and was never told to"),
            Err(error) => ensure!(false, "errors", "{n} may not change its attributes: {error}"),
        }
        Ok(())
    }

    pub(crate) fn watch(&mut self, n: usize, to: &To) -> Outcome {
        let Some(peer) = self.peers.get_mut(n).filter(|peer| !peer.stopped) else { return Ok(()) };
        let to = if let To::Client(_) = to { &To::Everyone } else { to };
        match peer.client.watch(self.now, &to.filter()) {
            Ok(id) => peer.watcher.add(id, to.clone()),
            Err(WatchError::TooMany | WatchError::FilterTooLong { .. }) => {}
            Err(error) => ensure!(peer.leaves, "errors", "{n} may not watch: {error}"),
        }
        Ok(())
    }

    pub(crate) fn unwatch(&mut self, n: usize, place: usize) -> Outcome {
        let Some(peer) = self.peers.get_mut(n).filter(|peer| !peer.stopped) else { return Ok(()) };
        if let Some(id) = peer.watcher.remove(place) {
            peer.client.unwatch(self.now, id);
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, n: usize, end: bool) -> Outcome {
        let Some(peer) = self.peers.get_mut(n).filter(|peer| !peer.stopped && !peer.leaves) else {
            return Ok(());
        };
        peer.leaves = true;
        peer.client.close(self.now, if end { Close::EndSession } else { Close::KeepSession });
        self.coverage.hit(if end { Path::LeftForGood } else { Path::LeftAway });
        if end {
            self.model.leaves(n);
        }
        if !self.peers[n].config.manual_acknowledgement {
            self.take(n, usize::MAX);
        }
        Ok(())
    }

    /// The application polls at most so many events. Returns whether there were any.
    pub(crate) fn poll(&mut self, n: usize, most: usize) -> Outcome<bool> {
        let mut any = false;
        let Some(peer) = self.peers.get(n) else { return Ok(false) };
        if peer.sleeps || peer.stopped {
            return Ok(false);
        }
        for _ in 0..most {
            let mut steps = Vec::new();
            if !self.poll_one(n, &mut steps)? {
                self.model.logs.drained(n, self.epoch);
                let peer = &mut self.peers[n];
                if let Some(application) = &mut peer.application {
                    application.turn(self.now, n, &mut steps);
                }
                self.obey(&steps)?;
                break;
            }
            any = true;
            self.obey(&steps)?;
        }
        Ok(any)
    }

    fn obey(&mut self, steps: &[Step]) -> Outcome {
        steps.iter().try_for_each(|step| self.apply(step))
    }

    fn poll_one(&mut self, n: usize, steps: &mut Vec<Step>) -> Outcome<bool> {
        if !self.peers[n].config.manual_acknowledgement && !self.peers[n].leaves {
            self.take(n, usize::MAX);
        }
        let traced = self.is_traced();
        let peer = &mut self.peers[n];
        let has = peer.client.has_event();
        let Some(event) = peer.client.poll_event() else {
            ensure!(!has, "events", "{n} has an event and gives none");
            return Ok(false);
        };
        ensure!(has, "events", "{n} has no event and gives {event:?}");
        let line = traced.then(|| in_words(n, &event));
        if let Some(application) = &mut peer.application {
            application.event(self.now, n, &event, steps);
        }
        let boot = peer.config.boot;
        let mut news = News::None;
        match event {
            Event::Message(message) => {
                let key: Key = (client_of(message.from), message.boot, message.id.0);
                let handed = Handed {
                    client: n,
                    boot,
                    key,
                    payload: message.payload,
                    repeated: message.maybe_repeated,
                    direct: message.direct,
                };
                let Some(sent) = self.model.messages.get_mut(&key) else {
                    return Err(Violation { kind: "payload", text: format!("{n} got {key:?}, never sent") });
                };
                if sent.kills > 0 && sent.accepted.unwrap_or(0) > 0 {
                    self.coverage.hit(Path::ReleasedToReturning);
                }
                self.model.logs.hand(self.epoch, sent, &self.model.limits, &handed, &mut self.coverage)?;
                if let Some(receipts) = &mut self.receipts {
                    receipts.handed(self.drawn_epoch, n, key);
                }
                news = News::Message(message.token, key);
            }
            Event::Receipt(receipt) => news = News::Receipt(receipt),
            Event::CapacityAvailable => news = News::Capacity,
            Event::Disconnected { reason, .. } => {
                let is_displaced = matches!(reason, DisconnectReason::Aborted(AbortCode::Superseded, _));
                // The hello of a dead boot has taken its place for a while.
                if !(is_displaced && self.peers[n].is_heir) {
                    check_disconnect(n, reason, self.setup.medium)?;
                }
                match reason {
                    DisconnectReason::Silent => self.coverage.hit(Path::ClientSilent),
                    DisconnectReason::HandshakeTimeout => self.coverage.hit(Path::WelcomeTimeout),
                    _ => {}
                }
            }
            Event::Established(how) => self.model.established(n, how, &mut self.coverage)?,
            Event::AttributesRefused(reason) => {
                ensure!(false, "attributes", "{n} may not have its attributes: {reason}");
            }
            Event::Closed(reason) => {
                let asked = peer.leaves && reason == CloseReason::Requested;
                ensure!(asked, "closed", "{n} has ended: {reason}");
                news = News::Closed;
            }
            _ => peer.watcher.told(n, &event, &self.model, &mut self.coverage)?,
        }
        if let Some(line) = line {
            self.write_trace(format_args!("{line}"));
        }
        self.take_news(n, news)?;
        Ok(true)
    }

    fn take_news(&mut self, n: usize, news: News) -> Outcome {
        match news {
            News::None => Ok(()),
            News::Message(token, key) => {
                self.figures.messages += 1;
                let peer = &mut self.peers[n];
                peer.lent.push_back((token, key));
                let (lent, room) = (peer.lent.len(), peer.config.inbox_messages as usize);
                ensure!(lent <= room, "bounds", "{n} was lent {lent} messages of {room}");
                Ok(())
            }
            News::Receipt(receipt) => self.receipt(n, receipt),
            News::Capacity => self.capacity(n),
            News::Closed => self.come_back(n),
        }
    }

    fn receipt(&mut self, n: usize, receipt: Receipt) -> Outcome {
        let MessageId(id) = receipt.id();
        let key = (n, self.peers[n].config.boot, id);
        if let Receipt::Final { reason: Some(RefusalReason::Expired), .. } = receipt
            && !self.peers[n].written_finals.contains(&id)
        {
            self.coverage.hit(Path::ExpiredAtSender);
        }
        if let (Some(receipts), Receipt::Final { delivered, recipients, reason, .. }) =
            (&mut self.receipts, receipt)
        {
            receipts.told(self.drawn_epoch, key, (delivered, recipients, reason));
        }
        self.model.told(self.now, key, receipt, &mut self.coverage)
    }

    /// There is room for what was refused: so it must be taken now.
    fn capacity(&mut self, n: usize) -> Outcome {
        let Some(refused) = self.peers[n].refused.take() else {
            return Err(Violation {
                kind: "capacity",
                text: format!("{n} has capacity, but nothing was refused"),
            });
        };
        self.coverage.hit(Path::Capacity);
        match &refused {
            Refused::Send(send) => self.send(send)?,
            Refused::Room(room) => self.set_room(n, *room)?,
            Refused::Level(level) => self.set_level(n, *level)?,
        }
        let again = self.peers[n].refused.is_some();
        ensure!(!again, "capacity", "{n} has capacity, and {refused:?} is refused all the same");
        Ok(())
    }

    /// An application that acknowledges by itself acknowledges so many of what it was lent.
    pub(crate) fn acknowledge(&mut self, n: usize, count: usize) -> Outcome<bool> {
        let Some(peer) = self.peers.get(n) else { return Ok(false) };
        let is_able = peer.config.manual_acknowledgement && !peer.sleeps && !peer.stopped;
        let count = count.min(peer.lent.len());
        if !is_able || count == 0 {
            return Ok(false);
        }
        let token: AckToken = peer.lent[count - 1].0;
        self.take(n, count);
        self.peers[n].client.acknowledge(token);
        trace!(self, "{n} acknowledges {count}");
        Ok(true)
    }

    /// The application has taken the first so many of what was lent.
    fn take(&mut self, n: usize, count: usize) {
        let peer = &mut self.peers[n];
        let count = count.min(peer.lent.len());
        for (_, key) in peer.lent.drain(..count) {
            self.model.taken(n, key);
            if let Some(receipts) = &mut self.receipts {
                receipts.taken(self.now, n, key);
            }
        }
    }
}

/// An event, as a line of the trace.
fn in_words(n: usize, event: &Event<'_>) -> String {
    match event {
        Event::Message(message) => format!(
            "{n} gets {} of {}, {} bytes{}",
            message.id,
            client_of(message.from),
            message.payload.len(),
            if message.maybe_repeated { ", maybe repeated" } else { "" }
        ),
        _ => format!("{n}: {event:?}"),
    }
}

/// What an event leaves to be done, once it is no longer lent.
enum News {
    None,
    Message(AckToken, Key),
    Receipt(Receipt),
    Capacity,
    Closed,
}

/// Links end for silence or in a handshake, and for no fault of either side.
fn check_disconnect(n: usize, reason: DisconnectReason, medium: Medium) -> Outcome {
    let is_harmless = match reason {
        DisconnectReason::TransportLost | DisconnectReason::Silent | DisconnectReason::HandshakeTimeout => {
            true
        }
        DisconnectReason::Aborted(code, _) => {
            // On a line whoever speaks to a broker that was replaced, or to a link that is over, is told so.
            // And a hello that is repeated may find that the link which it began is over.
            let is_over = matches!(code, AbortCode::UnexpectedFrame | AbortCode::Superseded)
                && medium == Medium::Serial;
            // Otherwise no client is told that a newer link has taken its place: the one that it is on is its newest.
            matches!(
                code,
                AbortCode::Silent | AbortCode::HandshakeTimeout | AbortCode::Full | AbortCode::ShuttingDown
            ) || is_over
        }
        _ => false,
    };
    ensure!(is_harmless, "disconnected", "{n} was disconnected: {reason}");
    Ok(())
}
