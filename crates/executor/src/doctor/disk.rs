//! Folders: there, writable, private where they must be, and with room.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use agent_core::scratch;
use nix::unistd::{AccessFlags, access};

use super::Diagnosis;
use crate::config::Config;

/// With less than this free, turns fail.
const LEAST: u64 = 100 << 20;
/// With less than this free, they will soon.
const LITTLE: u64 = 1 << 30;

pub(super) fn folders(config: &Config, found: &mut Diagnosis) {
    let temporary = scratch::parent(config.image_environment.as_map());
    let places = [
        ("workspaces", &config.paths.workspace_root, "WORKSPACE_ROOT"),
        ("state", &config.paths.executor_home, "WEGENT_EXECUTOR_HOME"),
        ("temporary", &temporary, "TMPDIR"),
    ];
    for (what, folder, variable) in places {
        place(found, what, folder, variable);
    }
    private(found, &config.paths.executor_home);
}

fn place(found: &mut Diagnosis, what: &'static str, folder: &Path, variable: &str) {
    let shown = folder.display();
    let there = nearest(folder);
    if let Err(error) = writable(&there) {
        let says = format!("`{shown}` can't be written: {error}");
        let remedy = format!("give this user the right to, or name another folder in {variable}");
        return found.wrong(what, says, remedy);
    }
    let Ok(disk) = nix::sys::statvfs::statvfs(&there) else {
        return found.note(
            what,
            format!("`{shown}`: its disk tells nothing"),
            "none is needed",
        );
    };
    let free = disk.blocks_available() * disk.fragment_size();
    let says = format!("`{shown}`, {} MiB free", free >> 20);
    let remedy = format!("make room, or name a folder on another disk in {variable}");
    match free {
        0..LEAST => found.wrong(what, says, remedy),
        LEAST..LITTLE => found.note(what, says, remedy),
        _ => found.ok(what, says),
    }
}

/// The folder, or the one in which it would be made.
fn nearest(folder: &Path) -> PathBuf {
    let there = folder.ancestors().find(|folder| folder.exists());
    there.unwrap_or(Path::new("/")).to_path_buf()
}

fn writable(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    // The system's own answer: it knows of read-only disks and of root.
    access(folder, AccessFlags::W_OK | AccessFlags::X_OK)?;
    Ok(())
}

/// What the executor keeps is nobody else's to read.
fn private(found: &mut Diagnosis, home: &Path) {
    for folder in [home.join("journal"), home.join("codex")] {
        let Ok(metadata) = folder.metadata() else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let shown = folder.display();
            found.wrong(
                "modes",
                format!("`{shown}` has the mode {mode:03o}: others may read it"),
                format!("chmod 700 {shown}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_folder_that_can_be_made_is_as_good_as_there() {
        let root = tempfile::tempdir().unwrap();
        let mut found = Diagnosis::default();
        place(&mut found, "state", &root.path().join("a/b"), "X");
        assert_ne!(found.findings[0].verdict, Verdict::Wrong);
        std::fs::write(root.path().join("file"), "").unwrap();
        place(&mut found, "state", &root.path().join("file/b"), "X");
        let wrong = &found.findings[1];
        assert_eq!(wrong.verdict, Verdict::Wrong);
        assert!(wrong.remedy.as_deref().unwrap().contains('X'));
    }

    #[test]
    fn a_folder_that_others_may_read_is_told_of() {
        let root = tempfile::tempdir().unwrap();
        let journal = root.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        let mode =
            |mode| std::fs::set_permissions(&journal, PermissionsExt::from_mode(mode)).unwrap();
        let mut found = Diagnosis::default();
        mode(0o700);
        private(&mut found, root.path());
        assert!(found.findings.is_empty());
        mode(0o755);
        private(&mut found, root.path());
        assert!(found.findings[0].says.contains("755"));
    }
}
