//! The log: `tracing` events as lines on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, util::TryInitError};

use crate::config::LogConfig;

/// Starts logging for the whole process. Colours are used at a terminal only.
///
/// # Errors
/// [`TryInitError`] if the process has a log already.
pub fn init(config: &LogConfig) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt;
    // Checked when the configuration was read, so nothing of it is left out here.
    let filter = EnvFilter::new(&config.filter);
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(filter)
        .finish()
        .try_init()
}
