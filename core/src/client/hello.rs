//! The handshake: the hello of a link, and the welcome that answers it. (PROTOCOL.md, "Handshake")

use super::event::{Close, Established};
use super::link::{ClientLink, ClientPhase, ClientSession, HelloFields, Identity};
use super::tables::Tables;
use crate::bug::OrBug;
use crate::codec::Writer;
use crate::data::attributes::AttributesRef;
use crate::error::AbortCode;
use crate::link::keep_alive::KeepAlive;
use crate::link::numbers::{Receiving, Sending};
use crate::time::Moment;
use crate::wire::control::{Hello, Known, Welcome};
use core::num::NonZeroU64;

/// Makes the hello of this link; its fields stay as they are from here on.
pub(super) fn begin(link: &mut ClientLink, tables: &mut Tables, m: &mut [u8]) {
    if let Some(ClientSession { receiving, .. }) = &mut link.session {
        let acknowledgeable = tables.acknowledgeable(m, receiving.received());
        receiving.set_acknowledged(acknowledgeable.max(receiving.acknowledged()));
    }
    let (known, fresh) = (tables.inbox.window(m), tables.inbox.fresh_window(m));
    let only_leaves = link.closing == Some(Close::EndSession) && tables.outbox.unanswered(m).next().is_none();
    link.output.hello = Some(HelloFields { known, fresh, only_leaves });
    tables.attributes.begin_hello(m);
}

/// Writes the hello of this link. What is not kept for it does not change before its answer.
pub(super) fn write(link: &ClientLink, tables: &Tables, m: &[u8], writer: &mut Writer<'_>) {
    let Some(HelloFields { known, fresh, only_leaves }) = link.output.hello.or_bug("no hello was begun")
    else {
        return;
    };
    let known = link.session.as_ref().map(|session| Known {
        epoch: session.epoch.to_le_bytes(),
        session: session.number.get(),
        received: session.receiving.received(),
        acknowledged: session.receiving.acknowledged(),
        window: known,
    });
    let Identity { uuid, secret, boot, receives, max_payload, aliases } = &link.identity;
    let hello = Hello {
        uuid: *uuid.as_bytes(),
        secret: secret.0,
        boot: boot.to_le_bytes(),
        link: link.number,
        known,
        window: fresh,
        max_payload: *max_payload,
        aliases: *aliases,
        receives: *receives && !only_leaves,
        presence: tables.watching.items(),
    };
    let attributes = if only_leaves { AttributesRef::EMPTY } else { tables.attributes.of_hello(m) };
    hello.write_frame(attributes, writer);
}

/// The broker has given this client a session.
pub(super) fn welcome(
    link: &mut ClientLink,
    tables: &mut Tables,
    m: &mut [u8],
    welcome: &Welcome,
) -> Result<(), AbortCode> {
    // It is no answer to a hello that is not whole yet.
    let hello = link.output.hello.take().filter(|_| link.output.current.is_none());
    let hello = hello.ok_or(AbortCode::UnexpectedFrame)?;
    if welcome.keep_alive_ms == 0 {
        return Err(AbortCode::Malformed);
    }
    let epoch = u64::from_le_bytes(welcome.epoch);
    let time_to_live = welcome.session_ttl_ms.saturating_mul(1_000);
    let max_payload = welcome.max_payload;
    let received = welcome.resumed.map_or(0, |resumed| resumed.received);
    let established = if let Some(resumed) = welcome.resumed {
        let session = link.session.as_mut().ok_or(AbortCode::UnexpectedFrame)?;
        if (session.epoch, session.number.get()) != (epoch, welcome.session) {
            return Err(AbortCode::UnexpectedFrame);
        }
        session.sending.resume(resumed.received, resumed.acknowledged, welcome.window)?;
        tables.acknowledge(m, resumed.acknowledged, &mut session.sending);
        tables.outbox.resume(m, resumed.received);
        tables.inbox.resume(m, resumed.received);
        (session.time_to_live, session.max_payload) = (time_to_live, max_payload);
        link.output.window = hello.known;
        Established::Resumed
    } else {
        let sending = Sending::fresh(welcome.window);
        let receiving = Receiving::default();
        let number = NonZeroU64::new(welcome.session).ok_or(AbortCode::Malformed)?;
        link.session = Some(ClientSession { epoch, number, sending, receiving, time_to_live, max_payload });
        tables.outbox.restart(m, link.now, tables.attributes.covered);
        tables.inbox.start_session();
        tables.watching.start_session(m);
        link.output.window = hello.fresh;
        link.epochs.remember(epoch, welcome.session);
        if link.had_session { Established::Lost } else { Established::Fresh }
    };
    debug!(
        "e_pigeon::client",
        "{}: session {} of {epoch:016x}, {established:?}", link.identity.uuid, welcome.session
    );
    // No message under way is larger: the broker has accepted those.
    tables.outbox.refuse_larger_than(m, max_payload);
    link.had_session = true;
    if let Some(lossy) = &mut link.lossy {
        lossy.establish(welcome, received);
    }
    tables.slots.limit(welcome.slots);
    link.phase = ClientPhase::Up(KeepAlive::new(link.now, welcome.keep_alive_ms));
    link.up_or_lost_at = Moment::at(link.now);
    link.carried = false;
    link.lifecycle.establish(established);
    Ok(())
}
