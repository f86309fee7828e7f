//! What goes on inside, for whoever asks: `-v`, `-vv`, `E_PIGEON_LOG`.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

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
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
