//! The real CLIs, pinned and installed into a folder of the project.
//!
//! What is looked for are the native binaries in the packages of the platform: the launchers of the packages need
//! Node, and Claude Code's is only put in place by a script that npm runs at the installation (ours runs none).

use std::{
    env, fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// A CLI is not there.
#[derive(Debug, thiserror::Error)]
pub enum NoCli {
    /// The folder of the pinned CLIs lacks it.
    #[error("no {cli} binary under {}: run `make cli`", .folder.display())]
    NotInstalled {
        /// Its name.
        cli: String,
        /// Where it should be.
        folder: PathBuf,
    },
    /// The machine's architecture has no package.
    #[error("no package for architecture `{0}`")]
    Architecture(&'static str),
    /// The folder can't be read.
    #[error("{} can't be read", .path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

/// The versions of Claude Code that the tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaudeVersion {
    /// 2.1.197.
    V2_1_197,
    /// 2.1.329.
    V2_1_329,
}

impl ClaudeVersion {
    /// All of them, the oldest first.
    pub const ALL: [Self; 2] = [Self::V2_1_197, Self::V2_1_329];

    /// The version as the CLI and npm write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2_1_197 => "2.1.197",
            Self::V2_1_329 => "2.1.329",
        }
    }
}

impl fmt::Display for ClaudeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The variable that names a Claude Code to be tried instead of the pinned ones, as `make test-latest` does.
pub const TEST_CLAUDE: &str = "WEGENT_TEST_CLAUDE";

/// The workspace's root folder.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .map_or_else(|| here.to_owned(), Path::to_owned)
}

/// The script that drives a program in a terminal, as a person would; it says how.
pub fn terminal_driver() -> PathBuf {
    workspace_root().join("crates/testkit/drive.py")
}

fn modules() -> PathBuf {
    workspace_root().join("tests/cli/node_modules")
}

/// The machine's architecture as npm's packages are named.
fn architecture() -> Result<&'static str, NoCli> {
    match env::consts::ARCH {
        "x86_64" => Ok("x64"),
        "aarch64" => Ok("arm64"),
        other => Err(NoCli::Architecture(other)),
    }
}

/// The pinned native codex binary: `tests/cli/node_modules/@openai/codex-linux-*/vendor/*/bin/codex`.
///
/// # Errors
/// If it is not installed.
pub fn codex() -> Result<PathBuf, NoCli> {
    let vendor = modules()
        .join(format!("@openai/codex-linux-{}", architecture()?))
        .join("vendor");
    let missing = |folder| NoCli::NotInstalled {
        cli: "codex".to_owned(),
        folder,
    };
    let entries = match fs::read_dir(&vendor) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(vendor)),
        Err(source) => {
            return Err(NoCli::Read {
                path: vendor,
                source,
            });
        }
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/codex")))
        .find(|path| path.is_file())
        .ok_or_else(|| missing(vendor))
}

/// The pinned native Claude Code binary of a version.
///
/// npm puts the platform package of one version beside the others and that of the other into the folder of the
/// package that needs it, so both places are looked at and the version is read from the package itself.
///
/// # Errors
/// If it is not installed.
pub fn claude(version: ClaudeVersion) -> Result<PathBuf, NoCli> {
    let modules = modules();
    let own = modules.join(format!("claude-code-{version}"));
    let name = format!("@anthropic-ai/claude-code-linux-{}", architecture()?);
    [own.join("node_modules"), modules]
        .iter()
        // The second name is the package's where the C library is musl.
        .flat_map(|place| [place.join(&name), place.join(format!("{name}-musl"))])
        .filter(|package| is_version(package, version))
        .map(|package| package.join("claude"))
        .find(|path| path.is_file())
        .ok_or_else(|| NoCli::NotInstalled {
            cli: format!("claude {version}"),
            folder: own,
        })
}

fn is_version(package: &Path, version: ClaudeVersion) -> bool {
    #[derive(Deserialize)]
    struct Manifest {
        version: String,
    }
    fs::read(package.join("package.json"))
        .ok()
        .and_then(|text| serde_json::from_slice::<Manifest>(&text).ok())
        .is_some_and(|manifest| manifest.version == version.as_str())
}

/// The codex binary for the test named `test`. Without one the test is to return: what was skipped is printed.
///
/// # Panics
/// If it is missing while `CI=true`: there, nothing may be skipped.
pub fn require_codex(test: &str) -> Option<PathBuf> {
    required(codex(), test, "codex")
}

/// The Claude Code binary for the test named `test`, as [`require_codex`] has it.
///
/// # Panics
/// If it is missing while `CI=true`.
pub fn require_claude(version: ClaudeVersion, test: &str) -> Option<PathBuf> {
    required(claude(version), test, "claude")
}

/// The machine's `gh` for the test named `test`, as [`require_codex`] has it.
///
/// # Panics
/// If it is missing while `CI=true`.
pub fn require_gh(test: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "gh is on the machine's PATH")]
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|folder| folder.join("gh"))
        .find(|file| file.is_file());
    let missing = || NoCli::NotInstalled {
        cli: "gh".to_owned(),
        folder: "the machine's PATH".into(),
    };
    required(found.ok_or_else(missing), test, "gh")
}

/// The Claude Code binaries that the test named `test` runs on: those of [`require_claude`] in every version, or only the
/// one that [`TEST_CLAUDE`] names.
///
/// # Panics
/// If one is missing while `CI=true`.
pub fn require_claudes(test: &str) -> Vec<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no configuration of their own"
    )]
    let named = env::var_os(TEST_CLAUDE).filter(|path| !path.is_empty());
    match named {
        Some(path) => vec![path.into()],
        None => ClaudeVersion::ALL
            .into_iter()
            .filter_map(|version| require_claude(version, test))
            .collect(),
    }
}

fn required(found: Result<PathBuf, NoCli>, test: &str, cli: &str) -> Option<PathBuf> {
    match found {
        Ok(path) => Some(path),
        Err(error) if in_ci() => panic!("{test} needs the {cli} CLI: {error}"),
        Err(error) => {
            // Not `eprintln!`: what that prints is shown of failed tests only.
            let _ = writeln!(
                io::stderr(),
                "SKIPPED: {test} needs the {cli} CLI; run `make cli` ({error})"
            );
            None
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration of their own"
)]
fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| value == "true")
}
