//! What is made from the command line's description: completions and man pages.

use std::{fs, io, path::Path, process::ExitCode};

use clap::CommandFactory as _;

use super::Cli;

/// Prints completions.
pub(crate) fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "codex-daemon", &mut text);
    super::print(&String::from_utf8_lossy(&text));
    ExitCode::SUCCESS
}

/// Writes a page per command.
pub(crate) fn man_pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}
