//! Finding the native Claude Code binary.
//!
//! `claude` on `PATH` is the native program itself, a link to it, or npm's wrapper, a script that starts the program of
//! the package for this platform. The wrapper would only add a process that, when killed, orphans the real one.

use std::{
    env::consts::ARCH,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use agent_core::{
    AgentError,
    program::{is_executable, missing, on_path},
};

/// The program to start: `given` if there is one, else the one in `home`, where its own installer puts it, else what
/// `path` offers.
///
/// # Errors
/// [`AgentError::Spawn`] naming what was looked for.
pub fn find(
    given: Option<&Path>,
    home: Option<&OsStr>,
    path: Option<&OsStr>,
) -> Result<PathBuf, AgentError> {
    if let Some(given) = given {
        return if is_executable(given) {
            Ok(native(given).unwrap_or_else(|| given.to_path_buf()))
        } else {
            Err(missing(
                given.display().to_string(),
                "CLAUDE_BINARY_PATH names no executable file",
            ))
        };
    }
    let installed = home.map(|home| Path::new(home).join(".local/bin/claude"));
    installed
        .filter(|file| is_executable(file))
        .or_else(|| on_path("claude", path))
        .map(|found| native(&found).unwrap_or(found))
        .ok_or_else(|| missing("claude", "not on PATH, and CLAUDE_BINARY_PATH is not set"))
}

/// The native program that belongs to npm's package, whose `bin/claude.exe` is a stub until its install script ran.
fn native(program: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(program).ok()?;
    let package = match real.file_name()?.to_str()? {
        "claude.exe" => real.parent()?.parent()?,
        "cli-wrapper.cjs" => real.parent()?,
        _ => return None,
    };
    let arch = match ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => return None,
    };
    // Where npm puts an optional dependency: within the package, or beside it (hoisted).
    let homes = [
        package.join("node_modules/@anthropic-ai"),
        package.parent()?.to_path_buf(),
    ];
    let libcs = ["", "-musl"];
    homes
        .iter()
        .flat_map(|home| {
            libcs.map(|libc| home.join(format!("claude-code-linux-{arch}{libc}/claude")))
        })
        .find(|file| is_executable(file))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn executable(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn npms_stub_leads_to_the_native_program() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        let modules = root.join("lib/node_modules/@anthropic-ai");
        let stub = modules.join("claude-code/bin/claude.exe");
        executable(&stub);
        let arch = if ARCH == "aarch64" { "arm64" } else { "x64" };
        let native = modules.join(format!("claude-code-linux-{arch}/claude"));
        executable(&native);
        let bin = root.join("bin");
        fs::create_dir_all(&bin).unwrap();
        symlink(&stub, bin.join("claude")).unwrap();
        assert_eq!(find(None, None, Some(bin.as_os_str())).unwrap(), native);
        assert_eq!(find(Some(&native), None, None).unwrap(), native);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = find(Some(Path::new("/nowhere/claude")), None, None).unwrap_err();
        assert!(
            error.chain().contains("/nowhere/claude"),
            "{}",
            error.chain()
        );
        let error = find(None, None, Some(OsStr::new("::/nowhere"))).unwrap_err();
        assert!(
            error.chain().contains("CLAUDE_BINARY_PATH"),
            "{}",
            error.chain()
        );
    }
}
