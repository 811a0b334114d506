//! `run`: the daemon itself.

use std::os::unix::net::UnixListener;

use super::{CliError, Cx};
use crate::{
    daemon, exit,
    logging::{self, LogTo},
};

/// Runs the daemon here.
pub(super) async fn run(
    cx: Cx,
    detached: bool,
    inherited: Option<UnixListener>,
) -> Result<u8, CliError> {
    if detached {
        daemon::detach();
    }
    let to = if detached {
        LogTo::File
    } else {
        LogTo::FileAndTerminal
    };
    logging::start(&cx.config, to)?;
    daemon::run(cx.config, cx.environment, inherited).await?;
    Ok(exit::SUCCESS)
}
