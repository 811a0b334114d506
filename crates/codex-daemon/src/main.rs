//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread: a guard is this same program.
    supervisor::run_guard_if_asked();
    codex_daemon::cli::main()
}
