//! Becoming another program.

use std::{ffi::OsString, io, os::unix::process::CommandExt as _, path::PathBuf, process::Command};

use crate::ChildEnv;

/// A program that this process is to become: it keeps the process's number, terminal, group, folder and parent.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// The program.
    pub program: PathBuf,
    /// The name it is shown under.
    pub name: OsString,
    /// Its arguments. Everybody on the machine can read them: no secrets.
    pub args: Vec<OsString>,
    /// Its environment, complete.
    pub env: ChildEnv,
}

impl Replacement {
    /// Becomes it. Signals are as they are for a program that a shell starts.
    ///
    /// Returns only if that fails: what the system says.
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing is started: this process goes on as another program"
    )]
    pub fn exec(&self) -> io::Error {
        Command::new(&self.program)
            .arg0(&self.name)
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter())
            .exec()
    }
}
