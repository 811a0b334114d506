//! A command that a fake CLI runs indeed.

use std::{io, path::Path, process::Stdio};

use tokio::process::Command;

/// Runs `command` by `sh` in `folder`, marked as the real CLI marks what its tools start. Dropped, it leaves the command
/// alone, as a CLI does that is killed. What the command leaves behind holds the fake's standard error.
pub(crate) async fn run(command: &str, folder: &Path, mark: (&str, &str)) -> io::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "it stands for a CLI, which starts its tools itself"
    )]
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(folder)
        .env(mark.0, mark.1)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await?;
    Ok(())
}
