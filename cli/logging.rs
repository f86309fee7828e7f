//! What goes on inside, for whoever asks: `-v`, `-vv`, `E_PIGEON_LOG`.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::stderr;

/// The variable that says what is logged, in the notation of `tracing`: `debug`, `e_pigeon_mio=trace`.
const VARIABLE: &str = "E_PIGEON_LOG";

/// Sends the log to stderr. The variable goes before `verbose`.
pub(crate) fn start(verbose: u8) -> Result<(), Failure> {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter =
        EnvFilter::builder().with_default_directive(level.into()).with_env_var(VARIABLE).from_env().map_err(
            |error| Failure::usage(format_args!("{VARIABLE}: {error}, for example {VARIABLE}=debug")),
        )?;
    // What goes wrong with a line would be written to stderr again, with a panic where that fails too.
    let log = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    log.with_writer(|| stderr::Log).init();
    Ok(())
}
