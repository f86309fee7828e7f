//! Depth: the queue of a recipient that is away, and that comes back to it.

use e_pigeon_core::wire::control::Control;
use e_pigeon_core::{AttributesRef, Destination, Uuid};

use super::inside::{Inside, Piece, uuid};
use super::outcome::Outcome;
use super::selective::{is_delivery, receipts_in};
use crate::failure::Failure;

/// Every depth is measured with so many messages at least.
const MESSAGES: u64 = 200_000;

/// Measures a queue of so many messages.
pub(crate) fn measure(depth: u32) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let rounds = (MESSAGES / u64::from(depth)).max(3);
    let (mut queued, mut drained) = (Vec::new(), Vec::new());
    // One broker for each round: what it has allocated for a deep queue would help the next.
    for _ in 0..rounds.min(200) {
        let mut inside = Inside::new(8, 1 << 20)?;
        let away = inside.hello(1, AttributesRef::EMPTY, None)?;
        let sender = inside.hello(0, AttributesRef::EMPTY, None)?;
        inside.take(&[away, sender]);
        inside.cut(away);
        let to = Destination::from(Uuid::from_bytes(uuid(1)));
        let mut input = Vec::new();
        (0..depth).for_each(|_| inside.message(&mut input, &to, &[b'x'; 64]));
        let whole_of = |link, bytes: &[u8]| [Piece { link, range: 0..bytes.len() }];
        queued.push(inside.feed(&whole_of(sender, &input), &input).as_nanos() as f64 / f64::from(depth));

        // Its session was the first.
        let back = inside.hello(1, AttributesRef::EMPTY, Some(1))?;
        let mut spent = inside.take(&[back]);
        let mut items = 0;
        inside.frames(|_, body| items += u64::from(is_delivery(body)));
        input.clear();
        inside.write(&mut input, |writer| Control::Ack(items).write(writer));
        spent += inside.feed(&whole_of(back, &input), &input);
        spent += inside.take(&[sender]);
        let mut receipts = 0;
        inside.frames(|_, body| receipts += receipts_in(body, 1));
        drained.push(spent.as_nanos() as f64 / f64::from(depth));
        if receipts != u64::from(depth) {
            outcome.faults.push(format!("{receipts} of {depth} messages had a receipt"));
            break;
        }
        outcome.checked += u64::from(depth);
    }
    let median = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    outcome.add("nanoseconds_to_queue", median(queued), "ns per message, into the queue");
    outcome.add("nanoseconds_to_drain", median(drained), "ns per message, out of the queue and receipted");
    Ok(outcome)
}
