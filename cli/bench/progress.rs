//! A bar on stderr, where that is a terminal.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::Duration;

use e_pigeon_core::Instant;
use indicatif::{ProgressBar, ProgressStyle};

/// How often it moves.
const TICK: Duration = Duration::from_millis(100);

/// What is under way, and how far it is.
pub(crate) struct Progress {
    is_shown: bool,
    label: RefCell<String>,
    bar: RefCell<Option<(ProgressBar, Option<Instant>)>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let is_shown = std::io::stderr().is_terminal();
        Self { is_shown, label: RefCell::default(), bar: RefCell::default() }
    }

    /// Names what begins.
    pub(crate) fn label(&self, label: String) {
        self.end();
        *self.label.borrow_mut() = label;
    }

    /// It takes so long.
    pub(crate) fn begin(&self, time: Duration) {
        self.show(millis(time), "{msg} {wide_bar} {elapsed}");
    }

    /// It goes on until so many are done.
    pub(crate) fn begin_counting(&self, total: u64) {
        self.show(total, "{msg} {wide_bar} {human_pos}/{human_len}");
    }

    fn show(&self, total: u64, template: &str) {
        self.end();
        if !self.is_shown {
            return;
        }
        let bar = ProgressBar::new(total);
        // The templates are ours; without one there is still a bar.
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        bar.set_message(self.label.borrow().clone());
        *self.bar.borrow_mut() = Some((bar, None));
    }

    /// So many are done.
    pub(crate) fn count(&self, done: u64) {
        if let Some((bar, _)) = &*self.bar.borrow() {
            bar.set_position(done);
        }
    }

    /// So much of the time is over.
    pub(crate) fn pass(&self, time: Duration) {
        self.count(millis(time));
    }

    /// Moves the bar, and returns when to do that again, or `until` where that is earlier.
    pub(crate) fn tick(&self, now: Instant, until: Instant) -> Instant {
        match &mut *self.bar.borrow_mut() {
            Some((bar, begun)) => {
                let begun = *begun.get_or_insert(now);
                bar.set_position(millis(now.saturating_duration_since(begun)));
                until.min(now + TICK)
            }
            None => until,
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some((bar, _)) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
