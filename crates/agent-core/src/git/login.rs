//! Logs the command line tools of code hosts in: `gh` for GitHub, `glab` for GitLab.
//!
//! Their configuration lies in the task's own folder and not in the image's home: there another task's tools would find
//! it, and an archive of the home would hold it. Tools are told by `GH_CONFIG_DIR` and `GLAB_CONFIG_DIR`.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use super::{
    GitError,
    program::{Programs, Run},
};
use crate::{error_chain, workspace::create_private};

/// How long a login may take.
const LIMIT: Duration = Duration::from_secs(30);

/// One of the tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Gh,
    Glab,
}

impl Tool {
    fn of(domain: &str) -> Self {
        if domain.contains("github") {
            Self::Gh
        } else {
            Self::Glab
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Gh => "gh",
            Self::Glab => "glab",
        }
    }

    /// The variable that names its folder.
    fn variable(self) -> &'static str {
        match self {
            Self::Gh => "GH_CONFIG_DIR",
            Self::Glab => "GLAB_CONFIG_DIR",
        }
    }

    /// The token goes by stdin with both.
    fn arguments(self, domain: &str) -> Vec<OsString> {
        let token = match self {
            Self::Gh => "--with-token",
            Self::Glab => "--stdin",
        };
        ["auth", "login", "--hostname", domain, token]
            .map(OsString::from)
            .into()
    }
}

/// Logs the tool for `domain` in, if it's installed. Gives the variable that tools need for it. A failure is logged and
/// nothing more: git works without these tools.
pub(super) async fn log_in(
    programs: &Programs,
    folder: &Path,
    domain: &str,
    user: Option<&str>,
    token: &SecretString,
) -> Option<(OsString, OsString)> {
    let tool = Tool::of(domain);
    programs.find(tool.program())?;
    let config = folder.join(tool.program());
    match attempt(programs, tool, &config, domain, user, token).await {
        Ok(()) => Some((tool.variable().into(), config.into())),
        Err(error) => {
            tracing::warn!(tool = tool.program(), domain, error = %error_chain(&error), "login failed");
            None
        }
    }
}

async fn attempt(
    programs: &Programs,
    tool: Tool,
    config: &Path,
    domain: &str,
    user: Option<&str>,
    token: &SecretString,
) -> Result<(), GitError> {
    create_private(config).map_err(GitError::io(config))?;
    let run = Run {
        program: tool.program(),
        args: tool.arguments(domain),
        env: vec![(tool.variable().into(), config.into())],
        cwd: config,
        stdin: Some(token),
        limit: LIMIT,
        what: format!("{} auth login", tool.program()),
    };
    match programs.run(run, |_| {}).await {
        // A token without this scope works for everything but the listing of organisations.
        Err(GitError::Failed { output, .. }) if tool == Tool::Gh && output.contains("read:org") => {
            write_hosts(config, domain, user, token).map_err(GitError::io(config))
        }
        other => other,
    }
}

/// What `gh` would have written.
fn write_hosts(
    config: &Path,
    domain: &str,
    user: Option<&str>,
    token: &SecretString,
) -> io::Result<()> {
    // JSON's strings are YAML's, too.
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let token = Zeroizing::new(text(token.expose_secret()));
    let user = user.map_or(String::new(), |user| format!("    user: {}\n", text(user)));
    let hosts = Zeroizing::new(format!(
        "{}:\n    oauth_token: {}\n{user}    git_protocol: https\n",
        text(domain),
        *token
    ));
    let (next, file) = (config.join("hosts.next"), config.join("hosts.yml"));
    let _ = fs::remove_file(&next);
    let mut created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&next)?;
    created.write_all(hosts.as_bytes())?;
    fs::rename(&next, &file)
}
