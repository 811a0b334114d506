//! The fake codex as a program; see `testkit::fake_codex`.

use std::process::ExitCode;

fn main() -> ExitCode {
    testkit::roles::run_fake_codex().into()
}
