//! Finding the native Codex binary.
//!
//! `codex` on `PATH` is usually npm's Node wrapper. The real program lies beside it, in a package per platform; the
//! wrapper would only add a process that, when killed, orphans the real one.

use std::{
    env::consts::ARCH,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use host::program::{is_executable, on_path};

/// There is no Codex to start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProgram {
    /// The program asked for can't be executed.
    #[error("`{}` is no executable file", .0.display())]
    Given(PathBuf),
    /// Nothing was asked for, and `PATH` doesn't have it.
    #[error("`codex` is not on PATH")]
    NotOnPath,
}

/// The program to start: `given` if there is one (which may be npm's wrapper), else what `path` offers.
///
/// # Errors
/// [`NoProgram`] says what was looked for.
pub fn find_program(given: Option<&Path>, path: Option<&OsStr>) -> Result<PathBuf, NoProgram> {
    let found = match given {
        Some(given) if is_executable(given) => given.to_owned(),
        Some(given) => return Err(NoProgram::Given(given.to_owned())),
        None => on_path("codex", path).ok_or(NoProgram::NotOnPath)?,
    };
    Ok(native(&found).unwrap_or(found))
}

/// The native program that belongs to npm's wrapper, `<package>/bin/codex.js`.
fn native(program: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(program).ok()?;
    if real.extension() != Some(OsStr::new("js")) {
        return None;
    }
    let package = real.parent()?.parent()?;
    let (platform, triple) = match ARCH {
        "x86_64" => ("linux-x64", "x86_64-unknown-linux-musl"),
        "aarch64" => ("linux-arm64", "aarch64-unknown-linux-musl"),
        _ => return None,
    };
    let name = format!("codex-{platform}");
    // Where npm puts an optional dependency: beside the package (hoisted) or within it.
    [
        package.parent()?.join(&name),
        package.join("node_modules/@openai").join(&name),
        package.to_path_buf(),
    ]
    .iter()
    .map(|folder| folder.join("vendor").join(triple).join("bin/codex"))
    .chain([package.join("vendor").join(triple).join("codex/codex")])
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
    fn npms_wrapper_leads_to_the_native_program() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        let modules = root.join("lib/node_modules/@openai");
        executable(&modules.join("codex/bin/codex.js"));
        let (platform, triple) = if ARCH == "aarch64" {
            ("linux-arm64", "aarch64-unknown-linux-musl")
        } else {
            ("linux-x64", "x86_64-unknown-linux-musl")
        };
        let native = modules.join(format!("codex-{platform}/vendor/{triple}/bin/codex"));
        executable(&native);
        let bin = root.join("bin");
        fs::create_dir_all(&bin).unwrap();
        symlink(modules.join("codex/bin/codex.js"), bin.join("codex")).unwrap();
        assert_eq!(find_program(None, Some(bin.as_os_str())).unwrap(), native);
        assert_eq!(
            find_program(Some(&bin.join("codex")), None).unwrap(),
            native
        );
        assert_eq!(find_program(Some(&native), None).unwrap(), native);
    }

    #[test]
    fn a_missing_program_is_named() {
        let given = Path::new("/nowhere/codex");
        assert_eq!(
            find_program(Some(given), None),
            Err(NoProgram::Given(given.to_owned()))
        );
        let path = OsStr::new("::/nowhere");
        assert_eq!(find_program(None, Some(path)), Err(NoProgram::NotOnPath));
    }
}
