//! Git: the checkout a turn works in, the credentials its tools need, and what the turn changed in it.
//!
//! # How it works
//!
//! What needs the network is done by the system's `git`, which knows credential helpers, proxies and LFS. What can be
//! answered from the disk is asked of libgit2, which runs no hook, no filter and no other program, whatever the
//! repository's configuration says.
//!
//! No credential is in a URL, an argument, a file or an environment. They are kept in memory; git is told, by
//! `GIT_CONFIG_COUNT` in its environment, to ask `wegent-executor git-credential` for them, which asks the executor at a
//! socket. The answer is for one scheme, host and port: a redirect or a submodule elsewhere gets none. Tools have the same
//! configuration, so an agent's own `git push` works like the clone did.
//!
//! # What is protected from whom
//!
//! The token is kept from other users of the machine, from archives, logs and callbacks, from other servers and from
//! whoever reads the repository's folder later. It isn't kept from the agent: its tools may use the token, so they can ask
//! for it. The guard of branches ([`BranchPattern`]) is against mistakes, see there.

mod access;
mod branch;
mod changes;
mod checkout;
mod clone;
mod commits;
mod config;
mod credential;
mod error;
mod hooks;
mod identity;
mod keeper;
mod lfs;
mod login;
mod program;
mod progress;
mod remote;
mod settings;
mod snapshot;
mod token;

use std::ffi::OsString;

pub use branch::Branch;
pub use changes::TurnChanges;
pub use checkout::{Checkout, Git};
pub use credential::Credential;
pub use error::GitError;
pub use keeper::ask_for_credential;
pub use progress::progress;
pub use remote::{InUrl, Origin, Remote};
pub use settings::{BadPattern, BadProxies, BranchPattern, Filter, GitSettings, RepoProxies};
pub use token::TokenCipher;

/// Variables by which git asks no person, and trusts what the image trusts.
fn quiet(programs: &program::Programs) -> Vec<(OsString, OsString)> {
    let unset = |name| programs.variable(name).is_none();
    let mut variables = vec![("GIT_TERMINAL_PROMPT".into(), "0".into())];
    if unset("GIT_SSH_COMMAND") && unset("GIT_SSH") {
        variables.push(("GIT_SSH_COMMAND".into(), "ssh -oBatchMode=yes".into()));
    }
    // Of the two, not every build of curl heeds the first.
    if let Some(roots) = programs
        .variable("SSL_CERT_FILE")
        .filter(|_| unset("GIT_SSL_CAINFO"))
    {
        variables.push(("GIT_SSL_CAINFO".into(), roots.clone()));
    }
    variables
}
