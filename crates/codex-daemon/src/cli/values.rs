//! What the commands take: sessions, questions, settings, answers.

use std::{io, path::PathBuf};

use clap::{Args, ValueEnum};

use crate::{
    config::{FOLDER_VARIABLE, ProcessEnvironment},
    protocol::{Decision, SessionName, Settings, Target},
};

/// Which session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct TargetArguments {
    /// The session's name. Default: the session of the folder.
    #[arg(short, long, value_name = "NAME", value_parser = session_name)]
    pub session: Option<SessionName>,
    /// The folder. Default: the current one.
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
}

impl TargetArguments {
    /// As the daemon wants it.
    pub(crate) fn target(&self, environment: &ProcessEnvironment) -> io::Result<Target> {
        let cwd = match (&self.cwd, environment.path(FOLDER_VARIABLE)) {
            (Some(cwd), _) => std::path::absolute(cwd)?,
            (None, Some(folder)) => folder,
            (None, None) => std::env::current_dir()?,
        };
        Ok(Target {
            session: self.session.clone(),
            cwd: Some(cwd),
        })
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct AskArguments {
    /// What to say. Without it, and without --file, it is read from standard input.
    pub question: Option<String>,
    /// A file with the question; `-` is standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with = "question")]
    pub file: Option<PathBuf>,
    /// In which session.
    #[command(flatten)]
    pub target: TargetArguments,
    /// Ask again, once, if the process that answers is lost.
    #[arg(long)]
    pub ask_again: bool,
    /// Fail if no daemon is running, instead of starting it.
    #[arg(long)]
    pub no_start: bool,
}

/// Settings of a session.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[group(required = true, multiple = true, args = ["model", "effort", "reasoning", "final_only"])]
pub struct SetArguments {
    /// Which session.
    #[command(flatten)]
    pub target: TargetArguments,
    /// The model.
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,
    /// How hard it thinks.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Settings::EFFORTS))]
    pub effort: Option<String>,
    /// Whether its reasoning is shown.
    #[arg(long, value_enum)]
    pub reasoning: Option<Switch>,
    /// Whether only the final answer is shown.
    #[arg(long, value_enum)]
    pub final_only: Option<Switch>,
}

/// A command without an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Slash {
    /// `/codex-status`.
    Status,
    /// `/codex-reset`.
    Reset,
    /// `/codex-help`.
    Help,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

impl From<Switch> for bool {
    fn from(switch: Switch) -> Self {
        switch == Switch::On
    }
}

/// An answer to a request for permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Answer {
    /// Yes, this once.
    Accept,
    /// Yes, and don't ask again in this session.
    AcceptForSession,
    /// No; Codex goes on without.
    Decline,
    /// No, and the question ends.
    Cancel,
}

impl From<Answer> for Decision {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Accept => Self::Accept,
            Answer::AcceptForSession => Self::AcceptForSession,
            Answer::Decline => Self::Decline,
            Answer::Cancel => Self::Cancel,
        }
    }
}

pub(super) fn assignment(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(super) fn session_name(text: &str) -> Result<SessionName, String> {
    SessionName::try_from(text.to_owned()).map_err(|error| error.to_string())
}
