//! The broker's books, for people.

use std::fmt::Write;

use e_pigeon_core::Stats;

/// All figures, one a line.
pub(crate) fn table(stats: &Stats) -> String {
    let mut text = String::from("ledger\n");
    let mut line = |name: &str, figure: u64| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<24}{figure:>14}");
    };
    line("messages accepted", stats.taken);
    line("  answered in full", stats.answered_in_full);
    for (reason, count) in stats.by_reason() {
        line(&format!("  {reason}"), count);
    }
    line("  open", stats.open);
    line("    parked or held", stats.waiting);
    line("repeated in flight", stats.repeated);
    line("deliveries routed", stats.routed);
    line("  delivered", stats.delivered);
    line("  declined", stats.declined);
    line("  expired", stats.expired);
    line("  refused", stats.refused);
    line("  recipient gone", stats.gone);
    line("  in queues", stats.held);
    line("sessions", stats.sessions.into());
    line("  connected", stats.connected.into());
    line("links", stats.links.into());
    line("bytes of payload", stats.payload_bytes);
    text.push_str(if stats.is_balanced() { "  balanced" } else { "  NOT BALANCED: please report this" });
    text
}
