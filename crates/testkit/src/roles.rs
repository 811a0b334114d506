//! Test binaries that play other programs.
//!
//! A binary that links this crate looks, before its `main`, whether it was started to be something else: the guard
//! of a child process (see `supervisor`), the [fake codex](crate::fake_codex), the [fake claude](crate::fake_claude),
//! or a [recording](crate::transcript::ClaudeReplay) of Claude Code. So tests need neither to be built after another
//! binary nor to find it.
//!
//! The linker keeps this only if something of the crate is used; a test binary that uses nothing else calls
//! [`init`].

use std::{
    ffi::OsString,
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    cli::ClaudeVersion,
    clock,
    fake_claude::{FakeClaude, named_session},
    fake_codex::FakeCodex,
    notes::Notebook,
    stdout::Direct,
    transcript::{self, ClaudeReplay},
};

/// The environment variable that names the role to play.
pub const ROLE: &str = "TESTKIT_ROLE";

const FAKE_CODEX: &str = "fake-codex";
const FAKE_CLAUDE: &str = "fake-claude";
/// Followed by the version and the recording's name, each after a colon.
const REPLAYED_CLAUDE: &str = "replayed-claude";

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
    install(folder, "codex", FAKE_CODEX)
}

/// How to start the fake claude: this very binary, and what its environment needs beside `CLAUDE_CONFIG_DIR`.
pub fn fake_claude() -> (PathBuf, Vec<(OsString, OsString)>) {
    (own_binary(), vec![(ROLE.into(), FAKE_CLAUDE.into())])
}

/// Writes an executable `claude` into `folder` that is the fake claude.
///
/// # Errors
/// If the file can't be written.
pub fn install_fake_claude(folder: &Path) -> io::Result<PathBuf> {
    install(folder, "claude", FAKE_CLAUDE)
}

/// Writes executables `codex` and `claude` into `folder` that are the fakes, and write down what they say in the file
/// `notes`. Gives their paths.
///
/// # Errors
/// If a file can't be written.
pub fn install_noting(folder: &Path, notes: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let noting = |role: &str| format!("{role}:{}", notes.display());
    Ok((
        install(folder, "codex", &noting(FAKE_CODEX))?,
        install(folder, "claude", &noting(FAKE_CLAUDE))?,
    ))
}

/// Writes an executable `claude` into `folder` that repeats a recording of Claude Code, for the session that its
/// arguments name if they name one.
///
/// # Errors
/// If the file can't be written.
pub fn install_replayed_claude(
    folder: &Path,
    version: ClaudeVersion,
    name: &str,
) -> io::Result<PathBuf> {
    install(
        folder,
        "claude",
        &format!("{REPLAYED_CLAUDE}:{version}:{name}"),
    )
}

fn install(folder: &Path, name: &str, role: &str) -> io::Result<PathBuf> {
    let path = folder.join(name);
    let quoted = |text: &str| text.replace('\'', "'\\''");
    let (binary, role) = (quoted(&own_binary().display().to_string()), quoted(role));
    let script = format!("#!/bin/sh\n{ROLE}='{role}' exec '{binary}' \"$@\"\n");
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
    noting_codex(Notebook::default())
}

fn noting_codex(notes: Notebook) -> u8 {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    FakeCodex {
        home: variable("CODEX_HOME").map(PathBuf::from),
        notes,
    }
    .run(&arguments)
}

/// The fake claude as this process's environment, folder and arguments ask for it. Gives the exit code.
pub fn run_fake_claude() -> u8 {
    noting_claude(Notebook::default())
}

fn noting_claude(notes: Notebook) -> u8 {
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".claude"));
    FakeClaude {
        config: variable("CLAUDE_CONFIG_DIR")
            .map(PathBuf::from)
            .or_else(home),
        folder: std::env::current_dir().unwrap_or_default(),
        arguments: text_arguments(),
        notes,
    }
    .run()
}

fn text_arguments() -> Vec<String> {
    let arguments = std::env::args_os().skip(1);
    arguments
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect()
}

/// A recording of Claude Code, given as `VERSION:NAME`, served over this process's pipes. Gives the exit code.
fn run_replayed_claude(recording: &str) -> u8 {
    match replay(recording) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("replayed claude: {error}");
            70
        }
    }
}

fn replay(recording: &str) -> io::Result<u8> {
    let (version, name) = recording.split_once(':').unwrap_or(("", recording));
    let version = ClaudeVersion::ALL
        .into_iter()
        .find(|known| known.as_str() == version)
        .ok_or_else(|| io::Error::other(format!("no recordings of version `{version}`")))?;
    let recorded = transcript::load_claude(version, name).map_err(io::Error::other)?;
    let arguments = text_arguments();
    if arguments.iter().any(|argument| argument == "--version") {
        println!("{version} (Claude Code)");
        return Ok(0);
    }
    let mut served = ClaudeReplay::new(recorded);
    if let Some(session) = named_session(&arguments) {
        served = served.session(&session);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stdin, stderr) = (tokio::io::stdin(), tokio::io::stderr());
    let report = runtime.block_on(served.serve(stdin, Direct, stderr));
    // Reading stdin blocks a thread that nobody can stop.
    runtime.shutdown_background();
    Ok(report?.exit.unwrap_or(0))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a role is given by the environment, and read before any configuration"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

static BORN: OnceLock<String> = OnceLock::new();

/// When this process was started, as a [stamp](crate::clock::stamp).
pub(crate) fn born() -> String {
    BORN.get_or_init(clock::stamp).clone()
}

#[ctor::ctor]
fn play_role() {
    born();
    supervisor::run_guard_if_asked();
    let Some(role) = variable(ROLE).and_then(|role| role.into_string().ok()) else {
        return;
    };
    let status = match role.split_once(':') {
        None if role == FAKE_CODEX => run_fake_codex(),
        None if role == FAKE_CLAUDE => run_fake_claude(),
        Some((FAKE_CODEX, notes)) => noting_codex(Notebook::at(notes.into())),
        Some((FAKE_CLAUDE, notes)) => noting_claude(Notebook::at(notes.into())),
        Some((REPLAYED_CLAUDE, recording)) => run_replayed_claude(recording),
        _ => return,
    };
    std::process::exit(status.into());
}
