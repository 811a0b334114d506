//! Test binaries that play other programs.
//!
//! A binary that links this crate looks, before its `main`, whether it was started to be something else: the guard
//! of a child process (see `supervisor`), or the [fake codex](crate::fake_codex). So tests need neither to be built
//! after another binary nor to find it.
//!
//! The linker keeps this only if something of the crate is used; a test binary that uses nothing else calls
//! [`init`].

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::fake_codex::FakeCodex;

/// The environment variable that names the role to play.
pub const ROLE: &str = "TESTKIT_ROLE";

const FAKE_CODEX: &str = "fake-codex";

/// Does nothing, but makes the linker keep the roles.
// Inlined, it would leave nothing for the linker to look for.
#[inline(never)]
pub fn init() {}

/// How to start the fake codex: this very binary, and what its environment needs beside `CODEX_HOME`.
pub fn fake_codex() -> (PathBuf, Vec<(OsString, OsString)>) {
    (own_binary(), vec![(ROLE.into(), FAKE_CODEX.into())])
}

/// Writes an executable `codex` into `folder` that is the fake codex, for a program that chooses the environment of
/// what it starts.
///
/// # Errors
/// If the file can't be written.
pub fn install_fake_codex(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join("codex");
    let binary = own_binary().display().to_string().replace('\'', "'\\''");
    let script = format!("#!/bin/sh\n{ROLE}={FAKE_CODEX} exec '{binary}' \"$@\"\n");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o700)
        .open(&path)?;
    file.write_all(script.as_bytes())?;
    Ok(path)
}

fn own_binary() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"))
}

/// The fake codex as this process's environment and arguments ask for it. Gives the exit code.
pub fn run_fake_codex() -> u8 {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    FakeCodex {
        home: variable("CODEX_HOME").map(PathBuf::from),
    }
    .run(&arguments)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a role is given by the environment, and read before any configuration"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

#[ctor::ctor]
fn play_role() {
    supervisor::run_guard_if_asked();
    if variable(ROLE).is_some_and(|role| role == FAKE_CODEX) {
        std::process::exit(run_fake_codex().into());
    }
}
