//! What people read on stderr while a client runs.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use e_pigeon_core::Uuid;
use indicatif::{ProgressBar, ProgressStyle};

use crate::stderr;

/// How long a line may hold what comes after it: data on stdout, and the progress bar.
const IN_ORDER: Duration = Duration::from_millis(100);

/// Writes a line to stderr. One that cannot be written is dropped.
pub(crate) fn line(text: impl Display) {
    stderr::line(format!("{text}\n").as_bytes());
    stderr::flush(IN_ORDER);
}

/// Tells about the connection, each state once, and shows the progress on a terminal.
#[derive(Debug)]
pub(crate) struct Report {
    address: String,
    uuid: Uuid,
    waiting: bool,
    /// There was a connection before.
    met: bool,
    bar: Option<ProgressBar>,
}

impl Report {
    pub(crate) fn new(address: impl Display, uuid: Uuid) -> Self {
        Self { address: address.to_string(), uuid, waiting: false, met: false, bar: None }
    }

    /// The session is visible to others.
    pub(crate) fn connected(&mut self) {
        self.waiting = false;
        self.met = true;
        self.line(format_args!("connected to {} as {}", self.address, self.uuid));
    }

    /// There is no connection, and the client goes on trying.
    ///
    /// `hint` is what to do, if that is not to start a broker.
    pub(crate) fn waiting(&mut self, reason: impl Display, hint: Option<&str>) {
        if std::mem::replace(&mut self.waiting, true) {
            return;
        }
        // A broker that was there once can be expected to come back.
        let start = (!self.met).then_some("start a broker there, or name another with --connect");
        let hint = hint.or(start).map(|hint| format!("; {hint}")).unwrap_or_default();
        self.line(format_args!("waiting for {}: {reason}{hint}", self.address));
    }

    /// The broker's address as it was given.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Writes a line, above the progress bar where there is one.
    pub(crate) fn line(&self, text: impl Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| line(text)),
            None => line(text),
        }
    }

    /// Shows a progress bar where stderr is a terminal; without a `total` it only counts.
    pub(crate) fn show_progress(&mut self, total: Option<u64>) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let (bar, template) = match total {
            Some(total) => {
                (ProgressBar::new(total), "{wide_bar} {human_pos}/{human_len} {per_sec} {elapsed}")
            }
            None => (ProgressBar::no_length(), "{spinner} {human_pos} messages {per_sec} {elapsed}"),
        };
        // The templates are ours; without one there is still a bar.
        self.bar = Some(match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        });
    }

    /// So many messages have ended.
    pub(crate) fn progress(&self, ended: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(ended);
        }
    }

    /// Takes the progress bar away.
    pub(crate) fn hide_progress(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
