//! A short program, run to its end.

use std::{pin::pin, time::Duration};

use tokio::{process::ChildStdout, time::timeout};

use crate::{ExitStatus, Guard, Line, LineReader, SpawnError, Spec};

/// How much of the beginning of its output is kept, in bytes.
const KEPT: usize = 64 << 10;
/// How long the rest of its output may take to be read once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a program did and said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// The beginning of what it wrote to its stdout, up to 64 KiB; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// The end of what it wrote to its stderr, as much as [`Spec::stderr_tail`] says.
    pub stderr: String,
}

/// Why there is no [`Output`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The program was not started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It took too long and was ended.
    #[error("it took longer than {} s", limit.as_secs())]
    TimedOut {
        /// How long it might have taken.
        limit: Duration,
    },
}

impl Guard {
    /// Runs a program that reads nothing, and waits for its end and that of everything it started, for `limit` at most.
    /// Dropping the future ends them.
    ///
    /// # Errors
    /// [`OutputError`] if it was not started or took too long. A failure of its own is no error.
    pub async fn output(&self, spec: Spec, limit: Duration) -> Result<Output, OutputError> {
        // What was started goes with the dropped future.
        timeout(limit, self.finish(spec))
            .await
            .map_err(|_| OutputError::TimedOut { limit })?
    }

    async fn finish(&self, spec: Spec) -> Result<Output, OutputError> {
        let (stdin, lines, process) = self.spawn(spec).await?.split();
        drop(stdin);
        let handle = process.handle();
        let mut stdout = String::new();
        let status = {
            let mut reading = pin!(read(lines, &mut stdout));
            let read_all = tokio::select! {
                _ = handle.exited() => false,
                () = &mut reading => true,
            };
            let status = handle.exited().await;
            // Nobody holds its output open.
            handle.kill().await;
            if !read_all && timeout(LAST_WORDS, reading).await.is_err() {
                tracing::debug!("the end of a program's output is missing");
            }
            status
        };
        Ok(Output {
            status,
            stdout,
            stderr: handle.stderr_tail(),
        })
    }
}

/// Reads to the end, and keeps the beginning.
async fn read(mut lines: LineReader<ChildStdout>, kept: &mut String) {
    while let Ok(Some(line)) = lines.next().await {
        if let Line::Complete(line) = line
            && kept.len() + line.len() < KEPT
        {
            kept.push_str(&String::from_utf8_lossy(&line));
            kept.push('\n');
        }
    }
}
