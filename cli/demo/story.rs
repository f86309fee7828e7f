//! What happens in the demo, scene by scene, and what is due to whom because of it.

use std::time::Duration;

use super::check::{Due, Promise};
use super::stage::{ANNA, BERT, CLEO, DORA, EMIL, FINN, GINA, STREAMS, Stage, Stop, is_for, names};

/// Those who are there from the beginning.
const FIRST: [usize; 5] = [ANNA, BERT, CLEO, DORA, EMIL];
/// How long a broker stays dead.
const DEAD: Duration = Duration::from_millis(150);

/// From which message of each stream on something holds.
type Marks = Vec<usize>;

/// When somebody joined.
struct Joined {
    member: usize,
    /// What the broker had by then was for others.
    not_before: Marks,
    /// What was sent from here on is for this member too.
    from: Marks,
}

/// Plays the whole story, and returns what was promised on the way.
pub(crate) fn play(stage: &mut Stage) -> Result<Promise, Stop> {
    stage.say(format_args!(
        "a broker on {}; anna, bert and cleo come to the lobby, dora and emil to the attic",
        stage.address()
    ))?;
    stage.enter(&FIRST)?;
    let mut streams = String::new();
    for (sender, to) in STREAMS {
        streams.push_str(&format!(
            "{}{} to {to}",
            if streams.is_empty() { "" } else { ", " },
            names()[sender]
        ));
    }
    stage.say(format_args!("four streams begin: {streams}"))?;
    stage.direct(|records| records.flowing = true);
    stage.pass(Duration::from_millis(200));

    cut_connections(stage)?;
    let finn = join(stage, FINN)?;
    stage.say("finn has joined the lobby, in the middle of the streams")?;
    let cleo_left = leave(stage)?;
    die_without_cleo(stage)?;
    let gina = join(stage, GINA)?;
    stage.say("gina has joined the lobby; what waits for cleo is not for her")?;
    let cleo_back = come_back(stage, &cleo_left)?;
    die_amid_cuts(stage)?;
    finish(stage)?;

    let sent = stage.shared.lock().sent_so_far();
    let dues = |member| {
        let due = |stream: usize| {
            let end = sent[stream];
            let joined = [&finn, &gina].into_iter().find(|joined| joined.member == member);
            let (range, open) = match (is_for(stream, member), joined) {
                (false, _) => (0..0, 0..0),
                (true, Some(joined)) => {
                    (joined.not_before[stream]..end, joined.not_before[stream]..joined.from[stream])
                }
                (true, None) if member == CLEO => (0..end, cleo_left[stream]..cleo_back[stream]),
                (true, None) => (0..end, 0..0),
            };
            Due { range, open }
        };
        (0..STREAMS.len()).map(due).collect()
    };
    Ok(Promise {
        members: names(),
        streams: STREAMS
            .map(|(sender, to)| format!("{}'s message to {to}, number", names()[sender]))
            .to_vec(),
        dues: (0..names().len()).map(dues).collect(),
        cuts: stage.network.cuts(),
        kills: stage.kills,
    })
}

/// Connections are cut at any byte, again and again.
fn cut_connections(stage: &Stage) -> Result<(), Stop> {
    stage.say("connections are cut at arbitrary bytes, again and again")?;
    let before = stage.shared.lock().delivered();
    stage.network.cut(true);
    stage.pass(Duration::from_millis(800));
    stage.network.cut(false);
    stage.wait_up(&FIRST);
    let delivered = stage.shared.lock().delivered() - before;
    let cuts = stage.network.cuts();
    stage.say(format_args!("after {cuts} cuts all are connected; {delivered} messages arrived meanwhile"))
}

/// Somebody comes while the streams flow.
fn join(stage: &mut Stage, member: usize) -> Result<Joined, Stop> {
    let not_before = stage.shared.lock().accepted_so_far();
    stage.enter(&[member])?;
    let from = stage.shared.lock().sent_so_far();
    stage.pass(Duration::from_millis(150));
    Ok(Joined { member, not_before, from })
}

/// Cleo's network fails. Returns how far the streams were when the broker had all that was sent.
fn leave(stage: &Stage) -> Result<Marks, Stop> {
    stage.shut(CLEO, true);
    stage.wait(|records| !records.members[CLEO].is_up);
    stage.say("cleo's network is gone; the streams go on")?;
    stage.pass(Duration::from_millis(250));
    // What is accepted for cleo before the broker dies is promised to her; so the senders wait for that.
    stage.direct(|records| records.flowing = false);
    stage.wait(|records| records.accepted_so_far() == records.sent_so_far());
    let records = stage.shared.lock();
    let marks = records.sent_so_far();
    let waiting = records.unanswered();
    drop(records);
    stage
        .say(format_args!("{waiting} messages wait for cleo, and each sender knows for how many they are"))?;
    Ok(marks)
}

/// The broker dies while cleo is away.
fn die_without_cleo(stage: &mut Stage) -> Result<(), Stop> {
    stage.direct(|records| records.flowing = true);
    stage.pass(Duration::from_millis(50));
    stage.kill();
    stage.say("the broker is killed in mid-stream: all that waits is with its senders now")?;
    stage.pass(DEAD);
    stage.revive()?;
    stage.say(format_args!("a new, empty broker on {}", stage.address()))?;
    let others = [ANNA, BERT, DORA, EMIL, FINN];
    stage.wait(|records| others.iter().all(|member| records.members[*member].lost == 1));
    let before = stage.shared.lock().delivered();
    stage.wait(|records| records.delivered() > before + 100);
    stage.say("all but cleo are back, and the streams go on")
}

/// Cleo's network works again. Returns from which messages on she is one of the lobby again.
fn come_back(stage: &Stage, left: &Marks) -> Result<Marks, Stop> {
    let before = stage.shared.lock().members[CLEO].received.len();
    stage.shut(CLEO, false);
    stage.wait_up(&[CLEO]);
    let back = stage.shared.lock().sent_so_far();
    stage.wait(|records| {
        let has = |stream: usize| {
            let mut all = records.members[CLEO].received.iter().rev();
            all.any(|label| label.stream == stream && label.number + 1 == left[stream])
        };
        (0..STREAMS.len()).filter(|stream| is_for(*stream, CLEO)).all(has)
    });
    let caught_up = stage.shared.lock().members[CLEO].received.len() - before;
    stage.say(format_args!(
        "cleo is back, and has {caught_up} messages at once: those that waited, and newer ones"
    ))?;
    Ok(back)
}

/// The broker dies while connections are cut.
fn die_amid_cuts(stage: &mut Stage) -> Result<(), Stop> {
    let before = stage.network.cuts();
    stage.network.cut(true);
    stage.pass(Duration::from_millis(300));
    stage.kill();
    stage.say("connections are cut again, and amid that the broker is killed once more")?;
    stage.pass(DEAD);
    stage.revive()?;
    stage.pass(Duration::from_millis(800));
    stage.network.cut(false);
    stage.wait(|records| records.members.iter().all(|member| member.is_up));
    stage.say(format_args!("a third broker, {} cuts, and all are connected", stage.network.cuts() - before))
}

/// The streams end, and everything comes to its end.
fn finish(stage: &Stage) -> Result<(), Stop> {
    stage.pass(Duration::from_millis(200));
    stage.direct(|records| records.flowing = false);
    let sent: usize = stage.shared.lock().sent_so_far().iter().sum();
    stage.say(format_args!("the streams end after {sent} messages"))?;
    if stage.wait(|records| records.unanswered() == 0) {
        stage.say("every message has its receipt")
    } else {
        stage.say(format_args!("time is up with {} messages unanswered", stage.shared.lock().unanswered()))
    }
}
