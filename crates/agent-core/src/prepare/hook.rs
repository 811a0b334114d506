//! The operator's hook: a script that runs in the prepared workspace before the agent does.

use std::{collections::VecDeque, path::PathBuf, pin::pin, time::Duration};

use secrecy::ExposeSecret;
use supervisor::{ChildEnv, Guard, Line, LineReader, SessionMark, Spec};
use tokio::{process::ChildStdout, time::timeout};

use super::{Preparer, StepCx, StepError};
use crate::{ErrorClass, Turn, Workspace, environment::without_secrets, error_chain};

/// How many lines of the hook's output are shown: its last ones.
const SHOWN_LINES: usize = 20;
/// The longest line that is shown, in bytes; and how much of the end of its standard error.
const MAX_LINE: usize = 4096;
/// How long the rest of its output may take to be read once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A script that runs before every turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreExecuteHook {
    /// The script, for `bash`.
    pub script: PathBuf,
    /// How long it may take.
    pub time_limit: Duration,
    /// Whether a turn is not run when its hook fails. Otherwise the person is told, and it is run.
    pub required: bool,
}

/// How a hook went wrong.
struct Failure {
    why: String,
    output: String,
}

/// Runs the hook, if there is one.
pub(super) async fn run(
    cx: StepCx,
    preparer: &Preparer,
    turn: &Turn,
    workspace: &Workspace,
) -> Result<(), StepError> {
    let Some(hook) = &preparer.pre_execute else {
        return Ok(());
    };
    let ran = timeout(
        hook.time_limit,
        execute(&cx, preparer, hook, turn, workspace),
    )
    .await;
    let failure = match ran {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(failure)) => failure,
        // What it had started went with the dropped future.
        Err(_) => Failure {
            why: format!("it took longer than {} s", hook.time_limit.as_secs()),
            output: cx.said(),
        },
    };
    tracing::warn!(script = %hook.script.display(), why = failure.why, "the pre-execute hook failed");
    let Failure { why, output } = failure;
    let output = if output.is_empty() {
        String::new()
    } else {
        format!("\n\n```\n{output}\n```")
    };
    if hook.required {
        return Err(StepError::new(
            ErrorClass::Workspace,
            format!("{why}{output}"),
        ));
    }
    cx.warn(format!(
        "The pre-execute hook failed ({why}); the turn goes on without it.{output}"
    ))
    .await
}

async fn execute(
    cx: &StepCx,
    preparer: &Preparer,
    hook: &PreExecuteHook,
    turn: &Turn,
    workspace: &Workspace,
) -> Result<(), Failure> {
    let spec = Spec {
        program: "bash".into(),
        args: vec![hook.script.clone().into(), workspace.cwd.clone().into()],
        env: environment(preparer, turn, workspace),
        cwd: workspace.cwd.clone(),
        session: SessionMark::new(&preparer.owner),
        max_line: MAX_LINE,
        stderr_tail: MAX_LINE,
    };
    let child = Guard::own().spawn(spec).await.map_err(|error| Failure {
        why: error_chain(&error),
        output: String::new(),
    })?;
    let (stdin, lines, process) = child.split();
    drop(stdin);
    let handle = process.handle();
    let mut reading = pin!(read(cx, lines));
    let (status, read_all) = tokio::select! {
        status = handle.exited() => (status, false),
        () = &mut reading => (handle.exited().await, true),
    };
    // Nothing of it runs on beside the agent, and nobody holds its output open.
    handle.kill().await;
    if !read_all && timeout(LAST_WORDS, reading).await.is_err() {
        tracing::warn!("the end of the hook's output is missing");
    }
    drop(process);
    if status.success() {
        return Ok(());
    }
    let mut output = cx.said();
    let stderr = handle.stderr_tail();
    if !stderr.trim().is_empty() {
        if !output.is_empty() {
            output.push('\n');
        }
        output.push_str(stderr.trim_end());
    }
    Err(Failure {
        why: format!("it ended with {status}"),
        output,
    })
}

/// Says the last lines of the hook's output, to its end.
async fn read(cx: &StepCx, mut lines: LineReader<ChildStdout>) {
    let mut tail = VecDeque::new();
    while let Ok(Some(line)) = lines.next().await {
        let line = match line {
            Line::Complete(line) => String::from_utf8_lossy(&line).into_owned(),
            _ => "…".to_owned(),
        };
        if tail.len() == SHOWN_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
        cx.say(joined(&tail));
    }
}

fn joined(lines: &VecDeque<String>) -> String {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    lines.join("\n")
}

/// What tools get, and three variables of its own.
fn environment(preparer: &Preparer, turn: &Turn, workspace: &Workspace) -> ChildEnv {
    let secrets = turn.model.api_key.iter().chain(turn.model.headers.values());
    let mut env: ChildEnv = without_secrets(&preparer.image, secrets)
        .into_iter()
        .collect();
    for (name, value) in &workspace.variables {
        env.set(name, value.expose_secret());
    }
    env.set("WEGENT_TASK_DIR", &workspace.cwd);
    env.set("WEGENT_TASK_ID", turn.key.task.to_string());
    if let Some(git) = &turn.git {
        env.set("WEGENT_GIT_URL", without_password(&git.url));
    }
    env
}

/// The URL without `user:password@`.
fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority
                .rsplit_once('@')
                .map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}
