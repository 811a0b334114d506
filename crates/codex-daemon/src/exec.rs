//! The lesser mode: a `codex exec --json` per question, for a Codex whose app-server doesn't shake hands.
//!
//! It has no deltas, no permissions (Codex refuses by itself what the sandbox doesn't allow) and no warmth; the
//! conversation goes on all the same.

use std::{ffi::OsString, time::Duration};

use serde::Deserialize;
use supervisor::{ExitStatus, Guard, Ladder, Line, SessionMark, Spec};
use tokio::io::AsyncWriteExt as _;

use crate::{
    config::Access,
    protocol::{Event, Outcome, Usage},
    sessions::{Job, Session},
    turn::End,
    warm::Program,
};

const LADDER: Ladder = Ladder {
    after_stdin: Duration::from_secs(2),
    after_term: Duration::from_secs(1),
    kill_deadline: Duration::from_secs(2),
};

/// A line of `codex exec --json` (0.169).
#[derive(Deserialize)]
#[serde(tag = "type")]
enum Said {
    #[serde(rename = "thread.started")]
    Thread { thread_id: String },
    #[serde(rename = "item.completed")]
    Item { item: Item },
    #[serde(rename = "turn.completed")]
    Completed { usage: Option<Tokens> },
    #[serde(rename = "turn.failed")]
    Failed { error: Failure },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item {
    AgentMessage {
        id: String,
        text: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Failure {
    message: String,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Tokens {
    input_tokens: i64,
    cached_input_tokens: i64,
    output_tokens: i64,
}

/// Asks one question.
pub(crate) async fn ask(program: &Program, access: Access, session: &Session, job: &Job) -> End {
    let record = session.record();
    let spec = Spec {
        program: program.path.clone(),
        args: arguments(&record, access),
        env: program.env.clone(),
        cwd: record.cwd.clone(),
        session: SessionMark::new(&program.owner),
        max_line: codex_app_server::MAX_LINE,
        stderr_tail: 8 << 10,
    };
    let child = match Guard::own().spawn(spec).await {
        Ok(child) => child,
        Err(error) => return End::failed(host::error_chain(&error)),
    };
    let (mut stdin, mut lines, process) = child.split();
    let handle = process.handle();
    let mut heard = Heard::default();
    let talk = async {
        // A program that ends early doesn't read it all; why it ended is told below.
        let _ = stdin.write_all(job.question.as_bytes()).await;
        drop(stdin);
        while let Ok(Some(line)) = lines.next().await {
            if let Line::Complete(line) = line {
                heard.line(&line, session, job);
            }
        }
        handle.exited().await
    };
    let status = tokio::select! {
        status = talk => Some(status),
        () = job.cancel.cancelled() => None,
    };
    process.shutdown(&LADDER).await;
    match status {
        None => End::of(Outcome::Interrupted),
        Some(status) => heard.end(status, &handle.stderr_tail()),
    }
}

fn arguments(record: &crate::sessions::Record, access: Access) -> Vec<OsString> {
    let sandbox = match access {
        Access::ReadOnly => "read-only",
        Access::WorkspaceWrite => "workspace-write",
        Access::Full => "danger-full-access",
    };
    let mut arguments: Vec<OsString> = ["exec", "--json", "--skip-git-repo-check", "-s", sandbox]
        .map(OsString::from)
        .into();
    arguments.extend(["-C".into(), record.cwd.clone().into_os_string()]);
    if let Some(model) = &record.settings.model {
        arguments.extend(["-m".into(), model.into()]);
    }
    if let Some(effort) = &record.settings.effort {
        arguments.extend([
            "-c".into(),
            format!("model_reasoning_effort={effort}").into(),
        ]);
    }
    if let Some(thread) = &record.thread {
        arguments.extend(["resume".into(), thread.to_string().into()]);
    }
    arguments.push("-".into());
    arguments
}

#[derive(Default)]
struct Heard {
    answer: String,
    usage: Option<Usage>,
    completed: bool,
    failed: Option<String>,
}

impl Heard {
    fn line(&mut self, line: &[u8], session: &Session, job: &Job) {
        match serde_json::from_slice(line) {
            Ok(Said::Thread { thread_id }) => {
                session.change(|record| record.thread = Some(thread_id.into()));
            }
            Ok(Said::Item {
                item: Item::AgentMessage { id, text },
            }) => {
                self.answer.clone_from(&text);
                if !session.settings().final_only {
                    session.ring.push(Event::Delta {
                        ask: job.ask.clone(),
                        message: id,
                        text,
                    });
                }
            }
            Ok(Said::Completed { usage }) => {
                self.completed = true;
                self.usage = usage.map(|tokens| Usage {
                    input: tokens.input_tokens,
                    cached: tokens.cached_input_tokens,
                    output: tokens.output_tokens,
                });
            }
            Ok(Said::Failed { error }) => self.failed = Some(error.message),
            Ok(Said::Item { item: Item::Other } | Said::Other) | Err(_) => {}
        }
    }

    fn end(self, status: ExitStatus, stderr: &str) -> End {
        let outcome = match self.failed {
            Some(error) => Outcome::Failed { error },
            None if self.completed => Outcome::Completed { text: self.answer },
            None => Outcome::Failed {
                error: format!("codex exec ended with {status}: {}", stderr.trim()),
            },
        };
        End {
            usage: self.usage,
            ..End::of(outcome)
        }
    }
}
