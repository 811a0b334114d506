//! What Codex homes may come to weigh on disk.
//!
//! Codex 0.169 writes its log and its history of threads into SQLite databases that it never shrinks, about 60 KB per turn.
//! Both can be done without: a conversation is resumed from its rollout. They can't be removed under a running process, so a
//! home is cleared before its app-server starts, and an app-server whose home has grown large is ended after its turn.
//!
//! Rollouts lie with the task and are what conversations live on; beyond a limit those that no conversation of the task goes
//! on from are removed, the oldest first.
//!
//! Homes of tasks that have not come back for long are removed as a whole: a home can always be made again. Nothing here is
//! worth a failed turn, so what can't be removed is left with a word in the log.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use agent_core::SessionId;

/// How large a home's databases may be together, in bytes.
const DATABASES_LIMIT: u64 = 64 << 20;
/// How large the rollouts of a task may be together, in bytes.
const ROLLOUTS_LIMIT: u64 = 256 << 20;
/// How long a home is kept for a task that does not come back.
const HOME_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The databases that can be done without, by the beginnings of their names; `-wal` and `-shm` files are among them.
const DATABASES: [&str; 2] = ["logs_", "thread_history_"];

/// Clears a home that no process uses, and the folder of homes around it.
pub(crate) fn clear(home: &Path, folder: &Path) {
    if is_overgrown(home) {
        let removed: Result<Vec<()>, io::Error> = databases(home)
            .map(|(file, _)| fs::remove_file(file))
            .collect();
        if let Err(error) = removed {
            tracing::warn!(home = %home.display(), %error, "the databases of a Codex home can't be removed");
        }
    }
    touch(home);
    remove_old(folder, SystemTime::now() - HOME_KEPT);
}

/// Removes rollouts of conversations other than `current`, the oldest first, until the rest is within the limit.
pub(crate) fn clear_rollouts(sessions: &Path, current: &[SessionId]) {
    let mut rollouts = Vec::new();
    collect(sessions, &mut rollouts);
    let mut bytes: u64 = rollouts.iter().map(|rollout| rollout.bytes).sum();
    rollouts.sort_by_key(|rollout| rollout.written);
    for Rollout {
        file, bytes: size, ..
    } in rollouts
    {
        if bytes <= ROLLOUTS_LIMIT {
            return;
        }
        // The id is a part of the name: `rollout-<time>-<id>.jsonl`.
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if current.iter().any(|id| name.contains(id.as_str())) {
            continue;
        }
        match fs::remove_file(&file) {
            Ok(()) => bytes -= size,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "an old rollout can't be removed")
            }
        }
    }
}

struct Rollout {
    file: PathBuf,
    bytes: u64,
    written: SystemTime,
}

/// The files below `folder`; they lie in a folder per day.
fn collect(folder: &Path, rollouts: &mut Vec<Rollout>) {
    for path in entries(folder) {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            collect(&path, rollouts);
        } else if metadata.is_file() {
            rollouts.push(Rollout {
                bytes: metadata.len(),
                written: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                file: path,
            });
        }
    }
}

/// Notes that a home was used now: its time of change tells.
pub(crate) fn touch(home: &Path) {
    let touched = fs::File::open(home).and_then(|home| home.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::debug!(%error, "the time of a Codex home can't be set");
    }
}

/// Whether the databases of a home are larger than they should be.
pub(crate) fn is_overgrown(home: &Path) -> bool {
    databases(home).map(|(_, bytes)| bytes).sum::<u64>() > DATABASES_LIMIT
}

/// Removes the homes of spares that no task has taken, by the beginning of their names.
pub(crate) fn remove_spares(folder: &Path, prefix: &str) {
    let taken: Vec<PathBuf> = entries(folder)
        .filter_map(|entry| fs::read_link(entry).ok())
        .collect();
    for spare in entries(folder) {
        let ours = spare
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(prefix));
        if ours && !taken.contains(&spare) {
            remove(&spare);
        }
    }
}

/// Removes the homes that were last used before `limit`. A link counts as what it leads to, and goes with it.
fn remove_old(folder: &Path, limit: SystemTime) {
    for home in entries(folder) {
        let Ok(target) = fs::canonicalize(&home) else {
            // It leads nowhere.
            remove(&home);
            continue;
        };
        let used = fs::metadata(&target).and_then(|metadata| metadata.modified());
        if used.is_ok_and(|used| used < limit) {
            remove(&home);
            if target != home {
                remove(&target);
            }
        }
    }
}

fn remove(home: &Path) {
    // A link is removed, never what lies behind it.
    let removed = match fs::symlink_metadata(home) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(home),
        Ok(_) => fs::remove_file(home),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => tracing::info!(home = %home.display(), "an old Codex home was removed"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(home = %home.display(), %error, "an old Codex home can't be removed");
        }
    }
}

fn databases(home: &Path) -> impl Iterator<Item = (PathBuf, u64)> {
    entries(home).filter_map(|file| {
        let name = file.file_name()?.to_str()?;
        let ours = DATABASES
            .iter()
            .any(|beginning| name.starts_with(beginning))
            && name.contains(".sqlite");
        let bytes = fs::symlink_metadata(&file)
            .ok()
            .filter(fs::Metadata::is_file)?
            .len();
        ours.then_some((file, bytes))
    })
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn grown(file: &Path, bytes: u64) {
        fs::File::create(file).unwrap().set_len(bytes).unwrap();
    }

    #[test]
    fn large_databases_go_and_the_rest_stays() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("1");
        fs::create_dir(&home).unwrap();
        grown(&home.join("logs_2.sqlite"), DATABASES_LIMIT);
        grown(&home.join("state_5.sqlite"), 7);
        clear(&home, root.path());
        assert!(
            home.join("logs_2.sqlite").exists(),
            "it is not too large yet"
        );
        grown(&home.join("thread_history_1.sqlite-wal"), 1);
        assert!(is_overgrown(&home));
        clear(&home, root.path());
        let left: Vec<PathBuf> = entries(&home).collect();
        assert_eq!(left, [home.join("state_5.sqlite")]);
    }

    #[test]
    fn a_home_that_nobody_came_back_to_is_removed_with_its_link() {
        let root = tempfile::tempdir().unwrap();
        let home = |name: &str| root.path().join(name);
        for name in ["1", "2", "spare-me-1", "spare-me-2"] {
            fs::create_dir(home(name)).unwrap();
        }
        symlink(home("spare-me-1"), home("3")).unwrap();
        symlink(home("nowhere"), home("4")).unwrap();
        let long_ago = SystemTime::now() - 2 * HOME_KEPT;
        for name in ["2", "spare-me-1"] {
            fs::File::open(home(name))
                .unwrap()
                .set_modified(long_ago)
                .unwrap();
        }
        clear(&home("1"), root.path());
        let mut left: Vec<PathBuf> = entries(root.path()).collect();
        left.sort();
        assert_eq!(left, [home("1"), home("spare-me-2")]);
    }

    #[test]
    fn rollouts_beyond_the_limit_go_but_for_those_that_are_gone_on_from() {
        let root = tempfile::tempdir().unwrap();
        let day = root.path().join("2026/01/02");
        fs::create_dir_all(&day).unwrap();
        let rollout = |id: &str| day.join(format!("rollout-2026-01-02T03-04-05-{id}.jsonl"));
        let half = ROLLOUTS_LIMIT / 2;
        for (age, id) in [(9, "current"), (8, "old"), (7, "newer"), (6, "newest")] {
            grown(&rollout(id), half);
            let written = SystemTime::now() - Duration::from_secs(age);
            fs::File::options()
                .write(true)
                .open(rollout(id))
                .unwrap()
                .set_modified(written)
                .unwrap();
        }
        clear_rollouts(root.path(), &[SessionId::new("current").unwrap()]);
        let mut left: Vec<PathBuf> = entries(&day).collect();
        left.sort();
        assert_eq!(left, [rollout("current"), rollout("newest")]);
    }

    #[test]
    fn only_spares_that_no_task_has_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let home = |name: &str| root.path().join(name);
        for name in ["spare-me-1", "spare-me-2", "spare-you-1"] {
            fs::create_dir(home(name)).unwrap();
        }
        symlink(home("spare-me-1"), home("7")).unwrap();
        remove_spares(root.path(), "spare-me-");
        assert!(home("7/.").exists() && home("spare-you-1").exists());
        assert!(!home("spare-me-2").exists());
    }
}
