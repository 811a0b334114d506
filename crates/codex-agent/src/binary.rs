//! The Codex binary, or the error that a turn fails with if there is none.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use agent_core::{AgentError, program::missing};
use codex_app_server::{NoProgram, find_program};

/// The program to start, see [`find_program`].
///
/// # Errors
/// [`AgentError::Spawn`] naming what was looked for.
pub fn find(given: Option<&Path>, path: Option<&OsStr>) -> Result<PathBuf, AgentError> {
    find_program(given, path).map_err(|none| match none {
        NoProgram::Given(given) => missing(
            given.display().to_string(),
            "CODEX_BINARY_PATH names no executable file",
        ),
        NoProgram::NotOnPath => missing("codex", "not on PATH, and CODEX_BINARY_PATH is not set"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let error = find(Some(Path::new("/nowhere/codex")), None).unwrap_err();
        assert!(
            error.chain().contains("/nowhere/codex"),
            "{}",
            error.chain()
        );
        let error = find(None, Some(OsStr::new("::/nowhere"))).unwrap_err();
        assert!(
            error.chain().contains("CODEX_BINARY_PATH"),
            "{}",
            error.chain()
        );
    }
}
