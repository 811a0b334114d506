//! The real CLIs, pinned and installed into a folder of the project.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// A CLI is not there.
#[derive(Debug, thiserror::Error)]
pub enum NoCli {
    /// The folder of the pinned CLIs lacks it.
    #[error("no codex binary under {}: run `make cli`", .0.display())]
    NotInstalled(PathBuf),
    /// The machine's architecture has no package.
    #[error("no codex package for architecture `{0}`")]
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

/// The workspace's root folder.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .map_or_else(|| here.to_owned(), Path::to_owned)
}

/// The pinned native codex binary: `tests/cli/node_modules/@openai/codex-linux-*/vendor/*/bin/codex`.
///
/// # Errors
/// If it is not installed.
pub fn codex() -> Result<PathBuf, NoCli> {
    let package = match env::consts::ARCH {
        "x86_64" => "codex-linux-x64",
        "aarch64" => "codex-linux-arm64",
        other => return Err(NoCli::Architecture(other)),
    };
    let vendor = workspace_root()
        .join("tests/cli/node_modules/@openai")
        .join(package)
        .join("vendor");
    let entries = match fs::read_dir(&vendor) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(NoCli::NotInstalled(vendor));
        }
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
        .ok_or(NoCli::NotInstalled(vendor))
}

/// The codex binary for the test named `test`. Without one the test is to return: what was skipped is printed.
///
/// # Panics
/// If it is missing while `CI=true`: there, nothing may be skipped.
pub fn require_codex(test: &str) -> Option<PathBuf> {
    match codex() {
        Ok(path) => Some(path),
        Err(error) if in_ci() => panic!("{test} needs the codex CLI: {error}"),
        Err(error) => {
            eprintln!("SKIPPED: {test} needs the codex CLI; run `make cli` ({error})");
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
