//! What clients can ask for.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Cursor, Decision};

/// Names a question. The client chooses it, so that the same question can be sent again after a lost connection without
/// being asked twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AskId(String);

impl AskId {
    /// A new one.
    pub fn random() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }
}

impl From<&str> for AskId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for AskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names a session: a word, or the folder whose session it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionName(String);

/// A text can't name a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` can't name a session: up to 64 letters, digits, `.`, `_` and `-`, or the whole path of a folder"
)]
pub struct UnknownName(String);

impl TryFrom<String> for SessionName {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Self, UnknownName> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_word = !name.is_empty() && name.len() <= 64 && name.bytes().all(word);
        let is_path = name.starts_with('/') && name.len() < 4096 && !name.contains('\0');
        if is_word || is_path {
            Ok(Self(name))
        } else {
            Err(UnknownName(name.chars().take(80).collect()))
        }
    }
}

impl From<SessionName> for String {
    fn from(name: SessionName) -> Self {
        name.0
    }
}

impl SessionName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which session. Without a name it is that of the folder `cwd`; one of the two has to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionName>,
    /// The folder it works in. Of a session that is there already it stays what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

impl Target {
    /// The session of a folder.
    pub fn of_folder(cwd: impl Into<PathBuf>) -> Self {
        Self {
            session: None,
            cwd: Some(cwd.into()),
        }
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// In which session: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionName>,
    /// In which session: its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Names the question. If the daemon knows it, the call joins the one that is there.
    #[serde(default = "AskId::random")]
    pub ask: AskId,
    /// What to say to Codex.
    pub question: String,
    /// Whether events are sent, or only the answer.
    #[serde(default = "yes")]
    pub stream: bool,
    /// Whether this client can answer requests for permission.
    #[serde(default)]
    pub interactive: bool,
    /// What to do when the process that answers is lost.
    #[serde(default)]
    pub on_loss: OnLoss,
    /// The last event that was seen of it, when it is sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Cursor>,
}

fn yes() -> bool {
    true
}

impl Ask {
    /// A question in the session of a folder, with events.
    pub fn new(target: Target, question: impl Into<String>) -> Self {
        Self {
            session: target.session,
            cwd: target.cwd,
            ask: AskId::random(),
            question: question.into(),
            stream: true,
            interactive: false,
            on_loss: OnLoss::Report,
            after: None,
        }
    }

    /// Which session.
    pub fn target(&self) -> Target {
        Target {
            session: self.session.clone(),
            cwd: self.cwd.clone(),
        }
    }
}

/// What to do when the process that answers a question is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnLoss {
    /// Say so. What the question set in motion may have happened.
    #[default]
    Report,
    /// Ask again, once.
    AskAgain,
}

/// Watches a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionName>,
    /// Its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// The last event that was seen; without it only what comes from now on, and permissions that are waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Cursor>,
    /// Whether this client can answer requests for permission.
    #[serde(default)]
    pub interactive: bool,
}

/// Answers a request for permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// Which, as the event named it.
    pub approval: String,
    /// The answer.
    pub decision: Decision,
}

/// Settings of a session, kept until they are changed. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configure {
    /// The session's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionName>,
    /// The session's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How hard it thinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Whether its reasoning is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<bool>,
    /// Whether only the final answer is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_only: Option<bool>,
}

/// What holds for a session's questions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The model; `None`: Codex's own configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How hard it thinks; `None`: Codex's own configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Whether its reasoning is shown.
    pub reasoning: bool,
    /// Whether only the final answer is shown.
    pub final_only: bool,
}

impl Settings {
    /// The efforts that Codex 0.169 knows.
    pub const EFFORTS: [&'static str; 6] = ["none", "minimal", "low", "medium", "high", "xhigh"];
}

/// `on` or `off`, as in the slash commands. `None` for anything else.
pub fn on_off(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// Starts a session with the conversation of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// The name of the session to copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionName>,
    /// Its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// The name of the new one.
    pub name: SessionName,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Operation {
    /// Ask a question. Answer: the `ended` event.
    Ask(Ask),
    /// Stop what a session is doing, and what waits in it. Answer: how many questions that were.
    Interrupt(Target),
    /// Get a session's events until the connection ends.
    Watch(Watch),
    /// Answer a request for permission.
    Decide(Decide),
    /// Change settings. Answer: the session.
    Configure(Configure),
    /// All sessions.
    Sessions {},
    /// One session.
    Show(Target),
    /// Forget a session's conversation; its settings stay. Answer: the session.
    Reset(Target),
    /// Copy a session's conversation into a new session. Answer: the new session.
    Fork(Fork),
    /// How the daemon is.
    Status {},
    /// Whether the daemon is well. Answer: [`HealthView`](super::HealthView).
    Health {},
    /// The figures of `status` as Prometheus text.
    Metrics {},
    /// Replace Codex's process as soon as no question is being answered.
    RestartCodex {},
    /// End the daemon.
    Stop {},
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_a_word_or_a_folder() {
        let name = |text: &str| SessionName::try_from(text.to_owned());
        for good in ["a", "my-session_1.x", "/home/me/project with blanks"] {
            assert_eq!(name(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "../x", "é", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
