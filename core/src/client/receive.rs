//! What a client does with each frame that comes in.

use super::hello;
use super::inbox::Entry;
use super::link::{ClientLink, ClientPhase};
use super::presence;
use super::seen::{Disposition, Repetition};
use super::tables::Tables;
use crate::bug::OrBug;
use crate::codec::Reader;
use crate::error::AbortCode;
use crate::wire::control::Control;
use crate::wire::frame::{Step, step};
use crate::wire::item::{Deliver, DeliveryPast, DownItem, Reply};
use crate::wire::kind;

const NO_FRAME: &str = "a frame lies outside the bytes that it was found in";

/// Reads bytes; `kept` is the part of memory that holds the front of a frame.
pub(super) fn input(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8], kept: &mut [u8], bytes: &[u8]) {
    let mut input = bytes;
    while link.is_linked() && !input.is_empty() {
        link.note_received();
        let Some(front) = kept.get(..link.partial).or_bug(NO_FRAME) else { break };
        match step(front, input, link.frame_limit) {
            Ok(Step::InPlace(extent)) => {
                let (whole, rest) = input.split_at(extent.total().min(input.len()));
                input = rest;
                let Some(body) = whole.get(extent.header..).or_bug(NO_FRAME) else { break };
                frame(link, tables, m, body);
            }
            Ok(Step::Keep(count)) => {
                input = keep(&mut link.partial, kept, input, count);
            }
            Ok(Step::Complete(count, extent)) => {
                input = keep(&mut link.partial, kept, input, count);
                link.partial = 0;
                let body = kept.get(extent.header..extent.total()).or_bug(NO_FRAME).unwrap_or_default();
                frame(link, tables, m, body);
            }
            Err(code) => link.fail(code),
        }
    }
}

/// Puts the first `count` bytes of `input` behind those of the partial frame, and returns the others.
fn keep<'i>(partial: &mut usize, kept: &mut [u8], input: &'i [u8], count: usize) -> &'i [u8] {
    let (front, rest) = input.split_at(count.min(input.len()));
    if let Some(room) = kept.get_mut(*partial..*partial + front.len()) {
        room.copy_from_slice(front);
        *partial += front.len();
    }
    rest
}

/// Takes a frame; one that is not allowed ends the link.
pub(super) fn frame(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8], body: &[u8]) {
    if let Err(code) = try_frame(link, tables, m, body) {
        link.fail(code);
    }
}

fn try_frame(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8], body: &[u8]) -> Result<(), AbortCode> {
    let mut reader = Reader::new(body);
    let frame_kind = reader.u8().map_err(|_| AbortCode::Malformed)?;
    if frame_kind >= kind::MESSAGE {
        let is_read = presence::IS_READ || !matches!(frame_kind, kind::PRESENCE..=kind::PRESENCE_SYNCED);
        // It stays where it was read to: it is large.
        let read;
        let item = if is_read {
            read = DownItem::read(frame_kind, &mut reader);
            Some(read.as_ref().map_err(|_| AbortCode::Malformed)?)
        } else {
            // An item of a watch that was never begun is received, and changes nothing.
            None
        };
        if !matches!(link.phase, ClientPhase::Up(_)) {
            return Err(AbortCode::UnexpectedFrame);
        }
        return self::item(link, tables, m, item, body);
    }
    let is_out_of_place = match frame_kind {
        // These go up, never down.
        kind::HELLO | kind::PROOF | kind::GOODBYE => true,
        kind::STATE => link.lossy.is_none(),
        _ => false,
    };
    if is_out_of_place {
        return Err(AbortCode::UnexpectedFrame);
    }
    let control = Control::read_down(frame_kind, &mut reader).map_err(|_| AbortCode::Malformed)?;
    match (control, link.phase) {
        (Control::Abort(abort), _) => link.aborted(abort),
        (Control::Welcome(welcome), ClientPhase::Opening { .. }) => {
            hello::welcome(link, tables, m, &welcome)?;
        }
        (Control::Ack(more), ClientPhase::Up(_)) => acknowledged(link, tables, m, more)?,
        (Control::Window(window), ClientPhase::Up(_)) => {
            let session = link.session.as_mut().ok_or(AbortCode::UnexpectedFrame)?;
            session.sending.set_window(window);
        }
        (Control::Ping, ClientPhase::Up(_)) => {}
        (Control::Farewell, ClientPhase::Up(_)) => link.farewell()?,
        (Control::State(state), ClientPhase::Up(_)) => {
            let lossy = link.lossy.as_mut().ok_or(AbortCode::UnexpectedFrame)?;
            let session = link.session.as_mut().ok_or(AbortCode::UnexpectedFrame)?;
            let more = lossy.receive_state(&state, &mut session.sending, link.now)?;
            if more > 0 {
                acknowledged(link, tables, m, more)?;
            }
        }
        _ => return Err(AbortCode::UnexpectedFrame),
    }
    Ok(())
}

fn acknowledged(
    link: &mut ClientLink,
    tables: &mut Tables,
    m: &mut [u8],
    more: u64,
) -> Result<(), AbortCode> {
    let half_written = link.output.current.is_some_and(|current| current.frame.is_item());
    let sending = &mut link.session.as_mut().ok_or(AbortCode::UnexpectedFrame)?.sending;
    let up_to = sending.acknowledge(more, half_written)?;
    tables.acknowledge(m, up_to, sending);
    Ok(())
}

#[inline]
fn item(
    link: &mut ClientLink,
    tables: &mut Tables,
    m: &mut [u8],
    item: Option<&DownItem<'_>>,
    body: &[u8],
) -> Result<(), AbortCode> {
    let number = link.session.as_ref().ok_or(AbortCode::UnexpectedFrame)?.receiving.received() + 1;
    let mut count = 1;
    match item {
        Some(DownItem::Deliver(deliver)) => self::deliver(link, tables, m, number, deliver)?,
        Some(DownItem::Accepted(accepted)) => tables.outbox.accepted(m, accepted),
        Some(DownItem::Final(ended)) => tables.outbox.ended(m, ended),
        Some(&DownItem::Reply(Reply::WatchRefused(watch, reason))) => {
            let is_allowed = tables.watching.refuse(m, watch, reason);
            if !is_allowed {
                return Err(AbortCode::UnexpectedFrame);
            }
        }
        Some(&DownItem::Reply(reply)) => {
            debug!("e_pigeon::client", "{}: {reply:?}", link.identity.uuid);
            link.lifecycle.note_reply(reply);
        }
        Some(
            &DownItem::Presence(watch, ..)
            | &DownItem::PresenceReset(watch)
            | &DownItem::PresenceSynced(watch),
        ) => {
            let fits = tables.watching.push(m, tables.payloads_at, number, watch, body);
            if !fits {
                return Err(AbortCode::WindowExceeded);
            }
        }
        // On a lossy link, the item before may come later, so each item stands for itself.
        Some(&DownItem::Void(many)) if many > 1 && link.lossy.is_some() => {
            return Err(AbortCode::UnexpectedFrame);
        }
        // Deliveries that do not come count as received.
        Some(&DownItem::Void(many)) => count = many,
        None => {}
    }
    // Only now: what failed must come again.
    if let Some(session) = &mut link.session {
        session.receiving.receive_many(count);
    }
    Ok(())
}

fn deliver(
    link: &ClientLink,
    tables: &mut Tables,
    m: &mut [u8],
    number: u64,
    deliver: &Deliver<'_>,
) -> Result<(), AbortCode> {
    if deliver.payload.len() > link.identity.max_payload as usize {
        return Err(AbortCode::FrameTooLarge);
    }
    let is_defined = match &deliver.define {
        Some(origin) => tables.seen.define(m, deliver.alias, origin),
        // On a lossy link, the item before may come later, so each item stands for itself.
        None => link.lossy.is_none(),
    };
    if !is_defined {
        return Err(AbortCode::BadAlias);
    }
    let (sender, id) = tables.seen.resolve(m, deliver.alias, deliver.id_step).ok_or(AbortCode::BadAlias)?;
    let repetition = deliver.retry.map(|past| {
        let (here, had_been_here) = match past {
            DeliveryPast::Taken { epoch, session, .. } => {
                (link.epochs.was_here(epoch, session), link.epochs.had_been_here(epoch, session))
            }
            DeliveryPast::Sent | DeliveryPast::Parked => (false, false),
        };
        Repetition { past, direct: deliver.direct, here, had_been_here }
    });
    let disposition = tables.seen.classify(m, sender, id, deliver.late, repetition);
    trace!(
        "e_pigeon::client",
        "{}: message {id}, {} bytes: {disposition:?}",
        link.identity.uuid,
        deliver.payload.len()
    );
    let fits = match disposition {
        Disposition::HandOn => {
            let origin = tables.seen.origin(m, sender);
            let entry = Entry { origin, id, repeated: repetition.is_some(), direct: deliver.direct };
            let (m, payloads) = m.split_at_mut(tables.payloads_at.min(m.len()));
            tables.inbox.push(m, payloads, number, &entry, deliver.payload)
        }
        Disposition::HadIt => true,
        Disposition::Decline => tables.inbox.decline(m, number),
    };
    if fits { Ok(()) } else { Err(AbortCode::WindowExceeded) }
}
