//! The fake claude as a program; see `testkit::fake_claude`.

use std::process::ExitCode;

fn main() -> ExitCode {
    testkit::roles::run_fake_claude().into()
}
