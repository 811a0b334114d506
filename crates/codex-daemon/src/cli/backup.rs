//! `backup` and `restore`.

use std::path::{Path, PathBuf};

use super::{CliError, Cx, print};
use crate::{
    backup::{self, Places},
    exit,
};

fn places(cx: &Cx) -> Places {
    let home = cx
        .environment
        .path("HOME")
        .unwrap_or_else(|| PathBuf::from("/"));
    Places::of(&cx.config, &home, cx.environment.path("CODEX_HOME"))
}

/// Writes an archive.
pub(super) fn backup(cx: &Cx, archive: &Path) -> Result<u8, CliError> {
    let files = backup::backup(&places(cx), archive)?;
    print(&format!("{files} files in {}\n", archive.display()));
    Ok(exit::SUCCESS)
}

/// Restores one.
pub(super) fn restore(cx: &Cx, archive: &Path) -> Result<u8, CliError> {
    let files = backup::restore(&cx.config, &places(cx), archive)?;
    print(&format!("{files} files of {}\n", archive.display()));
    Ok(exit::SUCCESS)
}
