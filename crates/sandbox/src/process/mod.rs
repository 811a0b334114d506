//! `/process.Process/*`: commands.

mod registry;
mod stream;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

pub(crate) use self::registry::Processes;
use self::{registry::Selector, stream::Begun};
use crate::{
    Sandbox,
    answer::{Code, Refusal},
    connect,
};

/// What is to be started.
#[derive(Clone, Debug, Deserialize)]
struct Command {
    #[serde(default)]
    cmd: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    envs: BTreeMap<String, String>,
    #[serde(default)]
    cwd: Option<String>,
}

#[derive(Deserialize)]
struct Start {
    process: Command,
    #[serde(default)]
    tag: Option<String>,
    /// Whether its input stays open for `SendInput`.
    #[serde(default)]
    stdin: bool,
    /// A terminal, which there is none of here.
    #[serde(default)]
    pty: Option<serde_json::Value>,
}

/// Starts a command and streams what it says. The stream's end, not its beginning, says how it went.
pub(crate) async fn start(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let start: Start = connect::message(&body)?;
    if start.pty.is_some() {
        let message = "pty: there are no terminals here; start the command without one";
        return Err(Refusal::new(Code::Unimplemented, message));
    }
    if start.process.cmd.is_empty() {
        return Err(Refusal::invalid("process.cmd: missing"));
    }
    let cwd = match start.process.cwd.as_deref().filter(|cwd| !cwd.is_empty()) {
        Some(cwd) => sandbox.path(cwd, None)?,
        None => sandbox.folder(),
    };
    let wanted = Wanted {
        cwd,
        command: start.process,
        tag: start.tag,
        stdin: start.stdin,
        limit: milliseconds(&headers, "connect-timeout-ms"),
    };
    let keepalive = headers
        .get("keepalive-ping-interval")
        .and_then(|seconds| seconds.to_str().ok()?.parse().ok())
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs);
    let begun = Begun::start(&sandbox, wanted).await;
    let mut response = Response::new(Body::from_stream(begun.stream(keepalive)));
    let kind = HeaderValue::from_static(connect::STREAM);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// A command with everything that its start needs.
#[derive(Debug)]
struct Wanted {
    command: Command,
    cwd: PathBuf,
    tag: Option<String>,
    stdin: bool,
    /// How long it may run.
    limit: Option<Duration>,
}

fn milliseconds(headers: &HeaderMap, name: &str) -> Option<Duration> {
    let text = headers.get(name)?.to_str().ok()?;
    let millis = text.parse().ok().filter(|millis| *millis > 0)?;
    Some(Duration::from_millis(millis))
}

#[derive(Serialize)]
pub(crate) struct List {
    processes: Vec<Listed>,
}

/// A command that runs. Its variables are not told: they may be secrets.
#[derive(Clone, Debug, Serialize)]
struct Listed {
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    config: ListedCommand,
}

#[derive(Clone, Debug, Serialize)]
struct ListedCommand {
    cmd: String,
    args: Vec<String>,
    cwd: String,
}

pub(crate) async fn list(State(sandbox): State<Sandbox>) -> Json<List> {
    let processes = sandbox.0.processes.list();
    Json(List { processes })
}

#[derive(Deserialize)]
struct SendSignal {
    process: Selector,
    signal: Signal,
}

/// The signals that the SDK has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "serde_json::Value")]
enum Signal {
    Term,
    Kill,
}

impl TryFrom<serde_json::Value> for Signal {
    type Error = &'static str;

    /// By its name or its number.
    fn try_from(value: serde_json::Value) -> Result<Self, &'static str> {
        match (value.as_str(), value.as_i64()) {
            (Some("SIGNAL_SIGTERM"), _) | (_, Some(15)) => Ok(Self::Term),
            (Some("SIGNAL_SIGKILL"), _) | (_, Some(9)) => Ok(Self::Kill),
            _ => Err("signal: expected SIGNAL_SIGTERM or SIGNAL_SIGKILL"),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Done {}

pub(crate) async fn signal(
    State(sandbox): State<Sandbox>,
    body: Bytes,
) -> Result<Json<Done>, Refusal> {
    let asked: SendSignal = connect::plain(&body)?;
    let process = sandbox.0.processes.find(&asked.process)?;
    match asked.signal {
        Signal::Term => process.handle.terminate().await,
        // With all that it has started.
        Signal::Kill => process.handle.kill().await,
    }
    Ok(Json(Done {}))
}

#[derive(Deserialize)]
struct SendInput {
    process: Selector,
    input: Input,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    stdin: Option<String>,
}

pub(crate) async fn input(
    State(sandbox): State<Sandbox>,
    body: Bytes,
) -> Result<Json<Done>, Refusal> {
    let asked: SendInput = connect::plain(&body)?;
    let process = sandbox.0.processes.find(&asked.process)?;
    let text = asked.input.stdin.unwrap_or_default();
    let bytes = BASE64_STANDARD
        .decode(text)
        .map_err(|error| Refusal::invalid(format!("input.stdin: {error}")))?;
    process.write(bytes).await?;
    Ok(Json(Done {}))
}
