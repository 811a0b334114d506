//! Tells the user's own command that something failed.

use std::{sync::Mutex, time::Duration};

use supervisor::{Guard, Ladder, SessionMark, Spec};
use tokio::time::{Instant, timeout};

use crate::{config::Config, warm::Program};

/// How long the command may take.
const TIME: Duration = Duration::from_secs(20);
/// The same reason is told again after this long at the earliest.
const AGAIN: Duration = Duration::from_secs(600);

/// The command, and what it has been told.
pub(crate) struct Alerts {
    command: Vec<String>,
    env: supervisor::ChildEnv,
    owner: String,
    cwd: std::path::PathBuf,
    told: Mutex<Option<(String, Instant)>>,
}

impl Alerts {
    pub(crate) fn new(config: &Config, program: &Program) -> Self {
        Self {
            command: config.on_alert.clone(),
            env: program.env.clone(),
            owner: program.owner.clone(),
            cwd: config.state_dir.clone(),
            told: Mutex::default(),
        }
    }

    /// Runs the command with `reason` as its last argument, unless it was just told.
    pub(crate) async fn raise(&self, reason: &str) {
        let Some((program, arguments)) = self.command.split_first() else {
            return;
        };
        if !self.is_news(reason) {
            return;
        }
        let mut args: Vec<_> = arguments.iter().map(Into::into).collect();
        args.push(reason.into());
        let spec = Spec {
            program: program.into(),
            args,
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            session: SessionMark::new(&self.owner),
            max_line: 64 << 10,
            stderr_tail: 2 << 10,
        };
        let child = match Guard::own().spawn(spec).await {
            Ok(child) => child,
            Err(error) => {
                return tracing::error!(error = host::error_chain(&error), "on_alert can't be run");
            }
        };
        let (stdin, mut lines, process) = child.split();
        drop(stdin);
        let run = async { while let Ok(Some(_)) = lines.next().await {} };
        let _ = timeout(TIME, run).await;
        process
            .shutdown(&Ladder {
                after_stdin: TIME,
                after_term: Duration::from_secs(1),
                kill_deadline: Duration::from_secs(2),
            })
            .await;
    }

    fn is_news(&self, reason: &str) -> bool {
        let mut told = self
            .told
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = told
            .as_ref()
            .is_some_and(|(last, at)| last == reason && at.elapsed() < AGAIN);
        if !known {
            *told = Some((reason.to_owned(), Instant::now()));
        }
        !known
    }
}
