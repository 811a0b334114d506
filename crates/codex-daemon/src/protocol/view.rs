//! What the daemon shows of itself.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{AskId, SessionName, Settings};

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its name.
    pub name: SessionName,
    /// The folder it works in.
    pub cwd: PathBuf,
    /// Codex's own name for its conversation; none before the first question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// What holds for its questions.
    pub settings: Settings,
    /// The question being answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<AskId>,
    /// How many questions wait.
    pub queued: usize,
    /// Permissions that are waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<String>,
    /// The last questions and how they ended, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<TurnView>,
    /// When it was last used, in seconds since 1970.
    pub used: u64,
}

/// A question that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnView {
    /// Which.
    pub ask: AskId,
    /// `running`, `completed`, `failed`, `interrupted` or `lost`.
    pub state: String,
}

/// How Codex is driven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// An app-server of our own, kept warm.
    AppServer,
    /// Somebody else's app-server, over its socket.
    Attached {
        /// Its socket.
        socket: PathBuf,
    },
    /// A `codex exec` per question: no deltas, no permissions, no warmth.
    Exec {
        /// Why nothing better works.
        why: String,
    },
}

/// How warm Codex is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Warmth {
    /// It starts.
    Starting,
    /// It shook hands and waits.
    Ready {
        /// Its process.
        pid: i32,
        /// Its version.
        version: String,
        /// How long ago it shook hands, in seconds.
        since_seconds: u64,
    },
    /// It failed and is started again in a while.
    Failed {
        /// Why.
        why: String,
    },
}

/// How the daemon is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How long it has been running, in seconds.
    pub uptime_seconds: u64,
    /// Its socket.
    pub socket: PathBuf,
    /// How Codex is driven.
    pub mode: Mode,
    /// What else is less than it could be, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lesser: Vec<String>,
    /// How warm Codex is.
    pub codex: Warmth,
    /// `workspace-write`, `read-only` or `full`.
    pub access: String,
    /// Whether the sandbox works: `works`, `untried`, or why not.
    pub sandbox: String,
    /// Connected clients.
    pub clients: usize,
    /// Sessions.
    pub sessions: usize,
    /// Questions being answered.
    pub running: usize,
    /// Questions that wait.
    pub queued: usize,
    /// Questions answered since the start, in whatever way.
    pub turns: u64,
    /// Of those, failed or lost.
    pub failed_turns: u64,
    /// How often Codex was started again.
    pub restarts: u64,
    /// Resident memory of the daemon, in bytes.
    pub rss: u64,
    /// Resident memory of Codex, in bytes.
    pub codex_rss: u64,
    /// Open files of the daemon.
    pub open_files: u64,
    /// Open files of Codex.
    pub codex_open_files: u64,
    /// When the last heartbeat was, in seconds since 1970.
    pub heartbeat: u64,
}

/// Whether the daemon is well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// Whether nothing is wrong.
    pub healthy: bool,
    /// What is wrong, a sentence each.
    #[serde(default)]
    pub reasons: Vec<String>,
}

impl HealthView {
    /// Well if there are no reasons not to be.
    pub fn of(reasons: Vec<String>) -> Self {
        Self {
            healthy: reasons.is_empty(),
            reasons,
        }
    }
}
