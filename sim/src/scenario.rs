//! Scenarios: runs that are written down as Rust, to be kept as tests.
//!
//! A seed is no regression test: the next change of the generator makes another run of it. What is kept is the setup
//! and the steps themselves, as [`Scenario`] prints them.

use crate::run::Run;
use crate::setup::{Setup, plain_broker, plain_client};
use crate::step::{Send, Step};
use core::fmt::{self, Write as _};
use core::time::Duration;
use e_pigeon_core::{BrokerConfig, ClientConfig};

/// A limit of a config: how it is shown, and how it is set back.
pub(crate) struct Limit<C> {
    name: &'static str,
    pub(crate) show: fn(&C) -> String,
    pub(crate) reset: fn(&mut C),
}

/// How a value is written in Rust.
trait Show {
    fn show(&self) -> String;
}

macro_rules! show_as_debug {
    ($($type:ty),*) => {
        $(impl Show for $type {
            fn show(&self) -> String {
                format!("{self:?}")
            }
        })*
    };
}

show_as_debug!(u8, u16, u32, u64, bool);

impl Show for Duration {
    fn show(&self) -> String {
        duration(*self)
    }
}

fn duration(of: Duration) -> String {
    if of.subsec_nanos().is_multiple_of(1_000_000) {
        format!("ms({})", of.as_millis())
    } else {
        format!("Duration::from_micros({})", of.as_micros())
    }
}

macro_rules! limits {
    ($config:ty, $plain:path, [$($name:ident),* $(,)?]) => {
        &[$(Limit {
            name: stringify!($name),
            show: |config: &$config| config.$name.show(),
            reset: |config: &mut $config| config.$name = $plain().$name,
        },)*]
    };
}

/// The limits of a broker.
pub(crate) const BROKER: &[Limit<BrokerConfig>] = limits!(
    BrokerConfig,
    plain_broker,
    [
        max_links,
        max_lossy_links,
        max_links_per_source,
        max_failed_hellos_per_source,
        max_sessions,
        max_attributes,
        max_payload,
        max_messages,
        max_message_bytes,
        max_held,
        max_parked,
        sender_waiting,
        max_queued,
        sender_queue,
        queue_messages,
        queue_bytes,
        window_messages,
        window_bytes,
        receipt_backlog,
        max_receipts,
        max_watches,
        watch_backlog,
        max_time_to_live,
        keep_alive,
        session_ttl,
        session_ttl_min,
        settle,
        handshake_timeout,
        reorder_bytes,
        accept_delay,
    ]
);

/// The limits of a client.
pub(crate) const CLIENT: &[Limit<ClientConfig>] = limits!(
    ClientConfig,
    plain_client,
    [
        receives,
        max_payload,
        outbox_messages,
        outbox_bytes,
        inbox_messages,
        inbox_bytes,
        senders,
        seen_window,
        late_ids,
        destination_slots,
        destination_bytes,
        attribute_bytes,
        watches,
        presence_items,
        reconnect_min,
        reconnect_max,
        handshake_timeout,
        reorder_bytes,
        manual_acknowledgement,
    ]
);

/// A run, as a test that can be pasted: `println!("{}", Scenario(&run))`.
#[derive(Clone, Copy, Debug)]
pub struct Scenario<'a>(pub &'a Run);

impl fmt::Display for Scenario<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run { setup, steps } = self.0;
        let plain = Setup::new(setup.clients.len());
        writeln!(f, "#[test]\nfn the_name_says_what_must_hold() {{")?;
        writeln!(f, "    let mut setup = Setup::new({});", setup.clients.len())?;
        if setup.seed != plain.seed {
            writeln!(f, "    setup.seed = {};", setup.seed)?;
        }
        if setup.piece != plain.piece {
            writeln!(f, "    setup.piece = {};", setup.piece)?;
        }
        if setup.budget != plain.budget {
            writeln!(f, "    setup.budget = {};", setup.budget)?;
        }
        if setup.sources != plain.sources {
            writeln!(f, "    setup.sources = {};", setup.sources)?;
        }
        if setup.medium != plain.medium {
            writeln!(f, "    setup.medium = Medium::{:?};", setup.medium)?;
        }
        write_limits(f, "broker", BROKER, &setup.broker, &plain.broker)?;
        for (n, client) in setup.clients.iter().enumerate() {
            write_limits(f, &format!("clients[{n}]"), CLIENT, client, &plain_client())?;
        }
        writeln!(f, "    holds(setup, &[")?;
        for step in steps {
            writeln!(f, "        {},", step_in_rust(step))?;
        }
        writeln!(f, "    ]);\n}}")
    }
}

fn write_limits<C>(
    f: &mut fmt::Formatter<'_>,
    of: &str,
    limits: &[Limit<C>],
    config: &C,
    plain: &C,
) -> fmt::Result {
    for limit in limits {
        let shown = (limit.show)(config);
        if shown != (limit.show)(plain) {
            writeln!(f, "    setup.{of}.{} = {shown};", limit.name)?;
        }
    }
    Ok(())
}

/// A step as Rust, where `use e_pigeon_sim::{Step::*, To::*}` holds.
fn step_in_rust(step: &Step) -> String {
    match step {
        Step::Send(send) => send_in_rust(send),
        Step::Advance(by) => format!("Step::Advance({})", duration(*by)),
        Step::Jump(by) => format!("Step::Jump({})", duration(*by)),
        Step::Pass(by) => format!("Step::Pass({})", duration(*by)),
        Step::Watch(client, to) => format!("Step::Watch({client}, To::{to:?})"),
        Step::Disturb(pipe, direction, what) => {
            format!("Step::Disturb({pipe:?}, Direction::{direction:?}, Disturbance::{what:?})")
        }
        Step::Flood { stranger, what, count } => {
            format!("Step::Flood {{ stranger: {stranger}, what: Flood::{what:?}, count: {count} }}")
        }
        other => format!("Step::{}", format!("{other:?}").replace("18446744073709551615", "usize::MAX")),
    }
}

fn send_in_rust(send: &Send) -> String {
    let plain = Send::new(send.from, send.to.clone());
    let mut fields = String::new();
    let mut field = |is_plain: bool, name: &str, value: String| {
        if !is_plain {
            // Writing to a string cannot fail.
            let _ = write!(fields, "{name}: {value}, ");
        }
    };
    field(send.exclude_self == plain.exclude_self, "exclude_self", send.exclude_self.to_string());
    field(send.only_connected == plain.only_connected, "only_connected", send.only_connected.to_string());
    field(send.payload == plain.payload, "payload", format!("Payload::{:?}", send.payload));
    field(send.live == plain.live, "live", duration(send.live));
    field(send.until == plain.until, "until", format!("Retain::{:?}", send.until));
    let new = format!("Send::new({}, To::{:?})", send.from, send.to);
    if fields.is_empty() {
        format!("Step::Send({new})")
    } else {
        format!("Step::Send(Send {{ {fields}..{new} }})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::To;

    #[test]
    fn a_scenario_says_only_what_is_not_plain() {
        let mut setup = Setup::new(2);
        setup.broker.settle = Duration::from_millis(7);
        setup.clients[1].inbox_messages = 1;
        let send = Send { exclude_self: true, ..Send::new(0, To::Everyone) };
        let steps = vec![Step::Send(send), Step::Poll(1, usize::MAX)];
        let text = Scenario(&Run { setup, steps }).to_string();
        let lines: Vec<&str> = text.lines().map(str::trim).skip(2).collect();
        assert_eq!(
            lines,
            [
                "let mut setup = Setup::new(2);",
                "setup.broker.settle = ms(7);",
                "setup.clients[1].inbox_messages = 1;",
                "holds(setup, &[",
                "Step::Send(Send { exclude_self: true, ..Send::new(0, To::Everyone) }),",
                "Step::Poll(1, usize::MAX),",
                "]);",
                "}",
            ]
        );
    }
}
