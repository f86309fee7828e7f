//! How many files and sockets this process, and what it starts from now on, may have open.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::failure::{Failure, plain};

/// Asks for so many, and takes what can be had. Returns how many there are, `None` for no limit.
pub(crate) fn want(count: u64) -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    let raised = limit.maximum.map_or(count, |maximum| maximum.min(count));
    if raised <= current {
        return Some(current);
    }
    let wanted = Rlimit { current: Some(raised), maximum: limit.maximum };
    Some(setrlimit(Resource::Nofile, wanted).map_or(current, |()| raised))
}

/// Makes sure that there are so many.
pub(crate) fn need(count: u64) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < count) {
        let maximum = limit.maximum.unwrap_or_default();
        return Err(Failure::failed(format_args!(
            "{count} open files are needed and {maximum} are allowed; raise the hard limit (ulimit -Hn)"
        )));
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        let error = plain(&io::Error::from(error));
        Failure::failed(format_args!("cannot have {count} open files: {error}; raise the limit (ulimit -n)"))
    })
}
