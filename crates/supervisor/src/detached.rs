//! Starting what is to outlive us: a daemon.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
};

use crate::ChildEnv;

/// A program that is to outlive us. It has no guard, and nobody ends it but itself.
#[derive(Clone, Debug)]
pub struct Detached {
    /// The program.
    pub program: PathBuf,
    /// The name it is shown under.
    pub name: OsString,
    /// Its arguments. Everybody on the machine can read them: no secrets.
    pub args: Vec<OsString>,
    /// Its environment, complete.
    pub env: ChildEnv,
    /// The folder it starts in.
    pub cwd: PathBuf,
}

/// It runs, or has ended. Dropping this changes nothing.
#[derive(Debug)]
pub struct DetachedChild(Child);

impl Detached {
    /// Starts it in a process group of its own, without input and output; what it says goes to `stderr`.
    ///
    /// # Errors
    /// What the system says.
    #[expect(
        clippy::disallowed_methods,
        reason = "a guard would end it with us, which is what must not happen"
    )]
    pub fn start(&self, stderr: File) -> io::Result<DetachedChild> {
        Command::new(&self.program)
            .arg0(&self.name)
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter())
            .current_dir(&self.cwd)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map(DetachedChild)
    }
}

impl DetachedChild {
    /// How it ended, if it did.
    ///
    /// # Errors
    /// What the system says.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }
}
