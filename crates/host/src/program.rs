//! Finding programs.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Whether `file` is a file that somebody may execute.
pub fn is_executable(file: &Path) -> bool {
    fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The first executable called `name` in the folders of `path`.
///
/// An empty entry would mean the current folder, which may be a workspace and is not to be trusted: it counts as none.
pub fn on_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    path?
        .to_str()?
        .split(':')
        .filter(|entry| !entry.is_empty())
        .map(|entry| Path::new(entry).join(name))
        .find(|file| is_executable(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executables_in_named_folders_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent");
        let path = format!("::/nowhere:{}", folder.path().display());
        fs::write(&file, "").unwrap();
        assert_eq!(on_path("agent", Some(OsStr::new(&path))), None);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(on_path("agent", Some(OsStr::new(&path))), Some(file));
        assert_eq!(on_path("agent", None), None);
    }
}
