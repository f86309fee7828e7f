//! What people read on stderr while a client runs.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use e_pigeon_core::Uuid;
use indicatif::{ProgressBar, ProgressStyle};

/// Writes a line to stderr. A stderr that is closed is nobody's problem.
pub(crate) fn line(text: impl Display) {
    // One call, so that the lines of several programs on one terminal do not mix.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
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
    pub(crate) fn waiting(&mut self, reason: impl Display) {
        if std::mem::replace(&mut self.waiting, true) {
            return;
        }
        // Whoever has been there once may be trusted to come back.
        let hint = if self.met { "" } else { "; start a broker there, or name another with --connect" };
        self.line(format_args!("waiting for {}: {reason}{hint}", self.address));
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
