//! How a command ends when it cannot do what it was asked for.

use std::fmt::Display;
use std::io;

/// An exit code and the one line that explains it: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) line: String,
}

impl Failure {
    /// The command line asks for something that makes no sense.
    pub(crate) fn usage(line: impl Display) -> Self {
        Self { code: 2, line: line.to_string() }
    }

    /// What was asked for could not be achieved.
    pub(crate) fn failed(line: impl Display) -> Self {
        Self { code: 1, line: line.to_string() }
    }

    /// There was no broker for as long as the command line allows.
    pub(crate) fn no_broker(line: impl Display) -> Self {
        Self { code: 3, line: line.to_string() }
    }

    /// The system refused something that a program can expect to get.
    pub(crate) fn system(what: &str, error: &io::Error) -> Self {
        Self::failed(format_args!("cannot {what}: {}", plain(error)))
    }

    /// What was to be printed cannot be.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        Self::system("write to stdout", error)
    }

    /// A client or a broker has found a bug in itself.
    pub(crate) fn broken(what: &str) -> Self {
        Self::failed(format_args!("internal error of the {what}; please report it"))
    }
}

/// What an error says, without the number of the system.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = match text.find(" (os error ") {
        Some(end) => &text[..end],
        None => &text,
    };
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_without_numbers() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(plain(&error), "no such file or directory");
        assert_eq!(plain(&io::Error::other("Anything")), "anything");
    }
}
