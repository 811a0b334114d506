//! What can go wrong between a request that names a repository and a checkout.

use std::{io, path::PathBuf, time::Duration};

/// Why there is no checkout. No message shows a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The repository's URL can't be used.
    #[error("git_url: {why}")]
    Url {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The branch's name is none.
    #[error("branch_name: `{name}` is not a valid branch name: {why}")]
    Branch {
        /// The name, without what a terminal could mistake for orders.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// The token came encrypted, and there is nothing to decrypt it with.
    #[error("user.git_token is encrypted, and {why}")]
    Token {
        /// What is wrong with the key.
        why: String,
    },
    /// A user's name or token that can't be told to git.
    #[error("{field} contains a line break or a NUL byte")]
    Credential {
        /// Which of them.
        field: &'static str,
    },
    /// A server that wants credentials, and none are known.
    #[error(
        "no git token is known for `{host}`, which needs one: add it in Wegent's settings and try again"
    )]
    CredentialsRequired {
        /// The server.
        host: String,
    },
    /// The server took no credentials that were offered, or wants some and none are known.
    #[error("`{host}` refused access to the repository: {}", if *.offered {
        "the git token is not accepted, or may not read it"
    } else {
        "it needs a git token, and none is set for it"
    })]
    Refused {
        /// The server.
        host: String,
        /// Whether it was offered any.
        offered: bool,
    },
    /// There is something else where the checkout should be.
    #[error("`{}` is {what}, so `{repository}` can't be cloned there", path.display())]
    Occupied {
        /// Where.
        path: PathBuf,
        /// What is there.
        what: &'static str,
        /// What should have been cloned.
        repository: String,
    },
    /// A file or folder can't be made, moved or removed.
    #[error("`{}` can't be used", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The program is missing or can't be started.
    #[error("`{program}` could not be started")]
    Start {
        /// The program.
        program: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The program failed.
    #[error("{what} failed ({status}){}", said(.output))]
    Failed {
        /// What was tried.
        what: String,
        /// How it ended, in words.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// It took too long.
    #[error("{what} took longer than {}", seconds(*.limit))]
    TimedOut {
        /// What was tried.
        what: String,
        /// How long it may take.
        limit: Duration,
    },
}

fn said(output: &str) -> String {
    match output.trim() {
        "" => String::new(),
        output => format!(": {output}"),
    }
}

fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

impl GitError {
    /// For `map_err` with the path that was used.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
