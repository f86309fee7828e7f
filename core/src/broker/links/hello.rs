//! Hellos: a new session, the old one, or a refusal.

use crate::broker::links::lossy::LINE_TIME_TO_LIVE;
use crate::broker::links::table::{LinkPhase, NO_LINK};
use crate::broker::links::{ending, hellos, schedule};
use crate::broker::routing::windows::announced_window;
use crate::broker::routing::{presence, release, rights, sessions, windows};
use crate::broker::state::Broker;
use crate::broker::store::work::{END, HELLO, LINK, Progress};
use crate::broker::store::{BrokerEvent, Job, Limit, MAX_UNACKNOWLEDGED, NO_SESSION, Timer};
use crate::bug::OrBug;
use crate::data::attributes::AttributesRef;
use crate::data::destination::MAX_DESTINATION_BYTES;
use crate::error::AbortCode;
use crate::handshake::{Decision, Holder, SessionFacts, decide};
use crate::link::keep_alive::KeepAlive;
use crate::time::{Moment, micros, millis_rounded_up};
use crate::wire::control::{Abort, Hello, Resumed, Welcome};
use crate::wire::limits::{MAX_ALIASES, MAX_HELLO, MAX_OVERHEAD};
use alloc::boxed::Box;
use uuid::Uuid;

fn refuse(code: AbortCode) -> Abort {
    Abort { code, detail: 0 }
}

/// Opens the links that were shut for clients of an earlier broker, whose time to come back is over.
pub(crate) fn settle(broker: &mut Broker) {
    debug!("e_pigeon::broker", "the wait for clients of the previous broker is over");
    broker.settles_at = None;
    // There are at most 2^30 links.
    let (mut next, end) = (0, broker.links.places() as u32);
    if !run_settle(broker, &mut next, end) {
        broker.store.keep_job(Job::Settle { next, end });
    }
}

/// Processes the hello of a link, and gives it a session.
pub(crate) fn hello(
    broker: &mut Broker,
    link: u32,
    hello: &Hello,
    attributes: AttributesRef<'_>,
) -> Result<Progress, Abort> {
    // (PROTOCOL.md, "Another boot")
    if broker.links.get(link).or_bug(NO_LINK).is_some_and(|link| link.has_ended) {
        return Ok(Progress::Done);
    }
    let uuid = Uuid::from_bytes(hello.uuid);
    let found = broker.store.sessions.find(&uuid);
    broker.store.work.charge(HELLO);
    #[cfg(feature = "planted-bug")]
    {
        broker.broken |= attributes.get("planted-bug").is_some();
    }
    if holds_back_hello(broker, uuid, found) {
        return Ok(Progress::Behind);
    }
    let facts = found.and_then(|index| facts(broker, index));
    let decision = decide(hello, facts.as_ref());
    debug!("e_pigeon::broker", "HELLO of {uuid}, link {}: {decision:?}", hello.link);
    let max_attributes = usize::from(broker.store.config.max_attributes);
    if !matches!(decision, Decision::Resume | Decision::Refuse(_)) {
        if attributes.len() > max_attributes {
            return Err(Abort { code: AbortCode::TooManyAttributes, detail: max_attributes as u64 });
        }
        if !rights::may_have(&broker.store, uuid, attributes) {
            return Err(refuse(AbortCode::NotAllowed));
        }
    }
    let session = match (decision, found) {
        (Decision::Refuse(code), _) => return Err(refuse(code)),
        (Decision::Resume | Decision::Renew { .. }, Some(session)) => session,
        _ => {
            // The rest of an ended session counts as a session until its deliveries are ended.
            if broker.store.sessions.len() + broker.store.jobs.left()
                >= broker.store.config.max_sessions as usize
            {
                let source = broker.links.get(link).map_or(0, |link| broker.sources.number(link.source));
                broker.store.push_event(BrokerEvent::Refused { source, limit: Limit::Sessions });
                return Err(refuse(AbortCode::Full));
            }
            sessions::create(&mut broker.store, uuid, hello)
        }
    };
    take_from_old_link(broker, session, link, decision == Decision::Renew { new_boot: true });
    let resumed = match decision {
        Decision::Resume => Some(sessions::resume(&mut broker.store, session, hello).map_err(refuse)?),
        Decision::Renew { new_boot } => {
            sessions::renew(&mut broker.store, session, hello, new_boot);
            None
        }
        Decision::Refuse(_) | Decision::Create => None,
    };
    connect(broker, link, session, hello, resumed);
    if resumed.is_none() {
        let number = broker.store.sessions.next_number();
        if let Some(state) = broker.store.sessions.get_mut(session).or_bug(NO_SESSION) {
            (state.number, state.since) = (number, broker.store.messages.next_order());
        }
        sessions::give_attributes(&mut broker.store, session, attributes, hello.receives);
        let terms = broker.store.wait_list.all_terms(uuid, attributes);
        release::release_waiting(&mut broker.store, session, true, terms);
    } else {
        presence::note_presence(&mut broker.store, session);
    }
    broker.store.push_event(match decision {
        Decision::Create => BrokerEvent::SessionOpened(uuid),
        _ => BrokerEvent::SessionResumed(uuid),
    });
    welcome(broker, link, session, resumed);
    Ok(Progress::Done)
}

/// True while a job of that client is not done.
fn holds_back_hello(broker: &mut Broker, uuid: Uuid, session: Option<u32>) -> bool {
    // Checking sixteen jobs costs as much as checking a session.
    broker.store.work.charge((broker.store.jobs.len() / 16) as u32);
    broker.store.jobs.iter().any(|job| job.concerns(uuid, session))
}

/// The facts about a session that the handshake decides by.
pub(crate) fn facts(broker: &Broker, session: u32) -> Option<SessionFacts> {
    let session = broker.store.sessions.get(session)?;
    let link = session.link.and_then(|link| broker.links.find(link)).and_then(|link| broker.links.get(link));
    let holder = match link.map(|link| link.phase) {
        Some(LinkPhase::Up { keep_alive, .. }) if keep_alive.is_proved() => Holder::Proved,
        Some(_) => Holder::Silent,
        None => Holder::Away,
    };
    Some(session.facts(broker.store.epoch, holder))
}

/// Ends the old link of a session; input that is still read from it has no effect.
fn take_from_old_link(broker: &mut Broker, session: u32, link: u32, new_boot: bool) {
    let old = broker.store.sessions.get(session).and_then(|session| session.link);
    if let Some(old) = old.and_then(|old| broker.links.find(old)) {
        if let Some(link) = broker.links.get_mut(old) {
            // A client that is back does not leave any more.
            link.goodbye = None;
        }
        if new_boot {
            ending::displace(broker, old, link);
        } else {
            ending::abort(broker, old, refuse(AbortCode::Superseded));
        }
    }
}

fn keep_alive_ms(broker: &Broker) -> u32 {
    // The config allows at most a day.
    u32::try_from(millis_rounded_up(broker.store.config.keep_alive)).unwrap_or(u32::MAX)
}

/// Connects a link and a session.
fn connect(broker: &mut Broker, link: u32, session: u32, hello: &Hello, resumed: Option<Resumed>) {
    let knew_another = hello.known.is_some_and(|known| u64::from_le_bytes(known.epoch) != broker.store.epoch);
    let was_shut =
        resumed.is_some() && broker.store.sessions.get(session).is_some_and(|session| session.shut);
    let shut = broker.settles_at.is_some() && (knew_another || was_shut);
    let keep_alive = KeepAlive::new(broker.store.now, keep_alive_ms(broker));
    let payload_frame = broker.store.config.max_payload as usize + MAX_OVERHEAD + MAX_DESTINATION_BYTES;
    hellos::stop_waiting(broker, link);
    let time_to_live = time_to_live(broker, link, session);
    if let Some(state) = broker.links.get_mut(link).or_bug(NO_LINK) {
        state.phase = LinkPhase::Up { session, keep_alive };
        state.frame_limit = payload_frame.max(MAX_HELLO);
        state.shut = shut;
    }
    if let Some(state) = broker.store.sessions.get_mut(session).or_bug(NO_SESSION) {
        if let Some(at) = core::mem::replace(&mut state.ends_at, Moment::NEVER).get() {
            broker.store.timers.disarm(at, Timer::Session(session));
        }
        state.shut = shut;
        state.link = broker.links.id(link);
        state.link_number = hello.link;
        // The earlier promise to the client still holds, because this welcome may be lost.
        let promised = if resumed.is_some() { state.time_to_live } else { 0 };
        state.time_to_live = time_to_live.max(promised);
        state.max_payload = hello.max_payload;
        // There are hardly ever more senders than sessions.
        let senders = u16::try_from(broker.store.config.max_sessions).unwrap_or(MAX_ALIASES);
        state.aliases = hello.aliases.min(senders).clamp(1, MAX_ALIASES);
        state.presence_items = hello.presence.min(MAX_UNACKNOWLEDGED);
        broker.store.sessions.connected += 1;
    }
    schedule::arm(broker, link);
}

/// The time that a session which begins or resumes now stays while it is away, in microseconds. It is shorter in a fuller
/// table, so that abandoned sessions do not keep new ones out for long. (PROTOCOL.md, "Resources")
fn time_to_live(broker: &Broker, link: u32, session: u32) -> u64 {
    let most = micros(broker.store.config.session_ttl);
    let least = micros(broker.store.config.session_ttl_min).min(most);
    // The sessions in thousandths of their limit, which is at least 1.
    let fill =
        broker.store.sessions.len() as u64 * 1_000 / u64::from(broker.store.config.max_sessions.max(1));
    let crowding = fill.clamp(500, 900) - 500;
    // The config allows at most a year.
    let by_fill = most - (most - least) * crowding / 400;
    if has_left_others(broker, link, session) { by_fill.min(micros(LINE_TIME_TO_LIVE)) } else { by_fill }
}

fn welcome(broker: &mut Broker, link: u32, session: u32, resumed: Option<Resumed>) {
    windows::adjust_window(&mut broker.store, session);
    let state = broker.store.sessions.get(session).or_bug(NO_SESSION);
    let said = state.map(|state| (state.number, state.narrow, state.time_to_live));
    let Some((number, narrow, time_to_live)) = said else { return }; // The bug is reported above.
    let is_shut = narrow || broker.links.get(link).is_some_and(|link| link.shut);
    let window = announced_window(&broker.store.config, is_shut);
    let keep_alive_ms = keep_alive_ms(broker);
    let Some(state) = broker.links.get_mut(link).or_bug(NO_LINK) else { return };
    state.sent_shut = is_shut;
    state.welcome = Some(Box::new(Welcome {
        epoch: broker.store.epoch.to_le_bytes(),
        session: number,
        resumed,
        window,
        max_payload: broker.store.config.max_payload,
        slots: broker.store.config.destination_slots,
        keep_alive_ms,
        session_ttl_ms: time_to_live / 1_000,
    }));
    schedule::wake(broker, link);
}

/// True if a line has left sessions away, other than this one.
fn has_left_others(broker: &Broker, index: u32, session: u32) -> bool {
    let lossy = broker.links.get(index).and_then(|link| link.lossy.as_ref());
    let is_other = |&&left: &&(u32, u64)| left.0 != session && is_away(broker, left);
    lossy.is_some_and(|lossy| lossy.left().iter().any(|left| is_other(&left)))
}

pub(crate) fn is_away(broker: &Broker, (session, number): (u32, u64)) -> bool {
    let session = broker.store.sessions.get(session);
    session.is_some_and(|session| session.number == number && session.link.is_none())
}

/// Opens links that were shut until the broker settled.
pub(crate) fn run_settle(broker: &mut Broker, next: &mut u32, end: u32) -> bool {
    while *next < end {
        if broker.store.work.is_spent() {
            return false;
        }
        let index = *next;
        *next += 1;
        broker.store.work.charge(LINK);
        // A closed link leaves an empty place.
        let Some(link) = broker.links.get_mut(index) else { continue };
        let session = link.session().and_then(|session| broker.store.sessions.get(session));
        if core::mem::take(&mut link.shut) && session.is_some_and(|session| !session.narrow) {
            broker.store.work.charge(END);
            schedule::wake(broker, index);
        }
    }
    true
}
