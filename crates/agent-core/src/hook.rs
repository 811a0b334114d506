//! The operator's commands: run to their end, in time, the end of what they say kept.

use std::{collections::VecDeque, ffi::OsString, path::PathBuf, pin::pin, time::Duration};

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use supervisor::{ChildEnv, Guard, Line, LineReader, SessionMark, Spec};
use tokio::{io::AsyncWriteExt as _, process::ChildStdout, sync::watch, time::timeout};

use crate::{
    Notice, NoticeKind, Turn, Workspace,
    environment::{Environment, without_secrets},
    error_chain,
};

/// How many lines of a command's output are shown: its last ones.
const SHOWN_LINES: usize = 20;
/// The longest line that is shown, in bytes; and how much of the end of its standard error.
const MAX_LINE: usize = 4096;
/// How long the rest of its output may take to be read once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A command that runs before and after every edit of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEditHook {
    /// The command, for `bash`. It reads what is edited as JSON, in the form of Claude Code's own hooks.
    pub command: String,
    /// How long it may take.
    pub time_limit: Duration,
    /// Whether its failure is one of the edit, or of the turn where the edit can't be held back. Otherwise the person is
    /// told, and the turn goes on.
    pub required: bool,
}

/// An edit of a file, for a hook.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// The call's id.
    pub call: &'a str,
    /// The conversation's.
    pub session: &'a str,
    /// The tool, by the name it is shown under.
    pub tool: &'static str,
    /// What the tool is asked to do.
    pub input: &'a Value,
    /// What came of it; `None` before it is done.
    pub response: Option<&'a str>,
}

/// Whose command is run, and where.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The environment of the image.
    pub image: &'a Environment,
    /// Whose processes it starts.
    pub owner: &'a str,
    /// The turn it is run for.
    pub turn: &'a Turn,
    /// Where that runs.
    pub workspace: &'a Workspace,
}

/// How a command went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, in words.
    pub why: String,
    /// The end of what it said.
    pub output: String,
}

impl Failure {
    /// What the person is told of a failure around an edit that is none of the turn's.
    pub fn of_edit(&self) -> Notice {
        let (why, output) = (&self.why, self.quoted());
        tracing::warn!(why, "the file-edit hook failed");
        Notice {
            kind: NoticeKind::Warning,
            text: format!("The file-edit hook failed ({why}); the turn goes on.{output}"),
        }
    }

    /// What it said, as a block of its own; nothing if it said nothing.
    pub fn quoted(&self) -> String {
        if self.output.is_empty() {
            return String::new();
        }
        format!("\n\n```\n{}\n```", self.output)
    }
}

impl FileEditHook {
    /// Runs the command for an edit. Dropping the future ends it.
    ///
    /// # Errors
    /// [`Failure`] if it fails, or takes too long.
    pub async fn run(&self, edit: Edit<'_>, scene: Scene<'_>) -> Result<(), Failure> {
        let command = ["-c".into(), self.command.clone().into()].into();
        let event = edit.event(scene);
        execute(scene, command, event.as_bytes(), self.time_limit, |_| {}).await
    }
}

impl Edit<'_> {
    fn event(&self, scene: Scene<'_>) -> String {
        let mut event = json!({
            "hook_event_name": "PreToolUse",
            "session_id": self.session,
            "cwd": scene.workspace.cwd,
            "tool_name": self.tool,
            "tool_input": self.input,
            "tool_use_id": self.call,
        });
        if let Some(response) = self.response {
            event["hook_event_name"] = json!("PostToolUse");
            event["tool_response"] = json!(response);
        }
        event.to_string()
    }
}

/// Runs `bash` with `arguments` in the turn's folder, `input` being what it reads. `say` hears the last lines of its
/// output. Nothing of it runs on afterwards, nor when the future is dropped.
///
/// # Errors
/// [`Failure`] if it fails, or takes longer than `limit`.
pub(crate) async fn execute(
    scene: Scene<'_>,
    arguments: Vec<OsString>,
    input: &[u8],
    limit: Duration,
    say: impl Fn(&str),
) -> Result<(), Failure> {
    let (tail, said) = watch::channel(String::new());
    let say = |lines: String| {
        say(&lines);
        tail.send_replace(lines);
    };
    let ran = timeout(limit, finish(scene, arguments, input, say)).await;
    match ran {
        Ok(Ok(())) => Ok(()),
        Ok(Err((why, stderr))) => {
            let stdout = said.borrow();
            let parts = [stdout.as_str(), stderr.trim_end()].into_iter();
            let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
            let output = parts.join("\n");
            Err(Failure { why, output })
        }
        // What it had started went with the dropped future.
        Err(_) => Err(Failure {
            why: format!("it took longer than {} s", limit.as_secs()),
            output: said.borrow().clone(),
        }),
    }
}

/// The error is why it failed, and what it said on its standard error.
async fn finish(
    scene: Scene<'_>,
    arguments: Vec<OsString>,
    input: &[u8],
    say: impl Fn(String),
) -> Result<(), (String, String)> {
    let spec = Spec {
        program: "bash".into(),
        args: arguments,
        env: environment(scene),
        cwd: scene.workspace.cwd.clone(),
        session: SessionMark::new(scene.owner),
        max_line: MAX_LINE,
        stderr_tail: MAX_LINE,
    };
    let child = Guard::own().spawn(spec).await;
    let child = child.map_err(|error| (error_chain(&error), String::new()))?;
    let (mut stdin, lines, process) = child.split();
    let handle = process.handle();
    let writing = async {
        // One that doesn't read it needs it not.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let mut talking = pin!(async { tokio::join!(writing, read(lines, say)) });
    let (status, read_all) = tokio::select! {
        status = handle.exited() => (status, false),
        _ = &mut talking => (handle.exited().await, true),
    };
    // Nothing of it runs on beside the agent, and nobody holds its output open.
    handle.kill().await;
    if !read_all && timeout(LAST_WORDS, talking).await.is_err() {
        tracing::warn!("the end of the hook's output is missing");
    }
    drop(process);
    if status.success() {
        return Ok(());
    }
    Err((format!("it ended with {status}"), handle.stderr_tail()))
}

/// Says the last lines of the output, to its end.
async fn read(mut lines: LineReader<ChildStdout>, say: impl Fn(String)) {
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
        let lines: Vec<&str> = tail.iter().map(String::as_str).collect();
        say(lines.join("\n"));
    }
}

/// What tools get, and three variables of its own.
fn environment(scene: Scene<'_>) -> ChildEnv {
    let Scene {
        turn, workspace, ..
    } = scene;
    let secrets = turn.model.api_key.iter().chain(turn.model.headers.values());
    let mut env: ChildEnv = without_secrets(scene.image, secrets).into_iter().collect();
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
