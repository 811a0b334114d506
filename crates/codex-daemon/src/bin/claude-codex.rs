//! The program: Claude Code with Codex at hand.

use std::process::ExitCode;

fn main() -> ExitCode {
    codex_daemon::claude::main()
}
