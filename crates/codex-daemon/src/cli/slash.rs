//! `commands` and `slash`: what Claude Code's commands are, and what those without an argument run.

use std::path::Path;

use super::{
    CliError, Cx, print, sessions, show,
    values::{Slash, TargetArguments},
};
use crate::{exit, slash};
use host::error_chain;

/// Prints the commands, or writes their files.
pub(super) fn commands(write: Option<&Path>) -> Result<u8, CliError> {
    match write {
        Some(folder) => slash::write(folder).map_err(|(path, error)| {
            CliError::io(format!("`{}` can't be written", path.display()))(error)
        })?,
        None => print(&slash::help()),
    }
    Ok(exit::SUCCESS)
}

/// Runs a command in Claude Code's prompt. Its failure becomes text: one version of Claude Code would say nothing of it.
pub(super) async fn slash(cx: &Cx, command: Slash) -> u8 {
    let done = match command {
        Slash::Status => show::status(cx, None).await,
        Slash::Reset => sessions::reset(cx, TargetArguments::default()).await,
        Slash::Help => commands(None),
    };
    if let Err(error) = done {
        print(&format!("failed: {}\n", error_chain(&error)));
    }
    exit::SUCCESS
}
