//! What a turn changed in its repository, whoever changed it: an agent's editor, a shell command, a commit.
//!
//! When the turn begins the state of the working folder is written down as a git tree, ignored files aside; so it is
//! whenever somebody asks, and the difference of the two trees is what changed. The objects for that are kept in memory:
//! the repository gets none of them. It's all asked of libgit2, which runs no program.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use git2::{Delta, Diff, DiffFindOptions, Oid, Patch, Repository};

use super::{
    commits,
    snapshot::{Snapshots, options},
};
use crate::{CommitRef, FileChange, FileChangeKind, FileChanges};

/// The contents kept in memory of files that were changed already when the turn began, or that one look has found since.
const LARGEST_SUM: u64 = 64 << 20;
/// How many changed files are told of; of the rest the number.
const MOST_FILES: usize = 1000;
/// What the first look may take. A folder too large for that has no answer.
const FIRST_LOOK: Duration = Duration::from_secs(20);

/// Watches what changes in a repository from now on. Cheap to clone.
#[derive(Clone)]
pub struct TurnChanges(Option<Arc<Mutex<Baseline>>>);

impl TurnChanges {
    /// Watches nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Begins in this folder. If it lies in no repository, nothing will ever have changed.
    pub async fn begin(folder: &Path) -> Self {
        let folder = folder.to_owned();
        let taken = blocking(FIRST_LOOK, move || Baseline::take(&folder)).await;
        Self(
            taken
                .flatten()
                .map(|baseline| Arc::new(Mutex::new(baseline))),
        )
    }

    /// What has changed so far. If that can't be found out within `patience`, or at all, it's logged, and nothing is told.
    pub async fn so_far(&self, patience: Duration) -> FileChanges {
        self.look(patience, |_| LARGEST_SUM)
            .await
            .unwrap_or_default()
    }

    /// The same while the turn runs, perhaps many times: `None` if it isn't known, or once such looks have filled
    /// the memory that they may have together.
    pub async fn meanwhile(&self, patience: Duration) -> Option<FileChanges> {
        self.look(patience, |taken| taken.room(LARGEST_SUM)).await
    }

    /// `room`: how much may be taken into memory after what has been already.
    async fn look(&self, patience: Duration, room: fn(&Snapshots) -> u64) -> Option<FileChanges> {
        let baseline = self.0.clone()?;
        let changes = blocking(patience, move || {
            let mut baseline = baseline.lock().unwrap_or_else(PoisonError::into_inner);
            match room(&baseline.snapshots) {
                0 => Ok(None),
                room => baseline.changes(room).map(Some),
            }
        });
        changes.await.flatten()
    }
}

async fn blocking<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> Result<T, git2::Error> + Send + 'static,
) -> Option<T> {
    match tokio::time::timeout(patience, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(Ok(found))) => Some(found),
        Ok(Ok(Err(error))) => {
            tracing::warn!(%error, "what changed in the repository is not known");
            None
        }
        Ok(Err(panic)) => {
            tracing::error!(%panic, "looking for changes failed");
            None
        }
        Err(_) => {
            tracing::warn!(after = ?patience, "the repository is too large to tell what changed");
            None
        }
    }
}

/// A repository as it was when a turn began.
struct Baseline {
    repository: Repository,
    folder: PathBuf,
    /// The working folder's state.
    tree: Oid,
    snapshots: Snapshots,
    /// The last commit, if there was one.
    head: Option<CommitRef>,
    /// What commits are not this turn's.
    known: commits::Known,
}

impl Baseline {
    /// `None` where there is no repository, or one whose working folder is elsewhere.
    fn take(folder: &Path) -> Result<Option<Self>, git2::Error> {
        let Ok(repository) = Repository::discover(folder) else {
            return Ok(None);
        };
        // A repository can name any folder as its own, `/` too.
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let of_repository = repository
            .workdir()
            .and_then(|workdir| fs::canonicalize(workdir).ok());
        let Some(folder) =
            of_repository.filter(|workdir| real.starts_with(workdir) && workdir.parent().is_some())
        else {
            return Ok(None);
        };
        // What a partial clone left out is in no folder, and needs not be there to be named.
        git2::opts::strict_object_creation(false);
        // Objects are written here first, and so never reach the disk.
        repository.odb()?.add_new_mempack_backend(1000)?;
        let head = match repository.head() {
            Ok(head) => Some(head.peel_to_commit()?),
            Err(_) => None,
        };
        let mut snapshots = Snapshots::default();
        let tree = snapshots.take(&repository, &folder, LARGEST_SUM)?;
        let head = head.map(|commit| CommitRef {
            id: commit.id().to_string(),
            message: commits::message(&commit),
        });
        let known = commits::Known::now(&repository)?;
        Ok(Some(Self {
            repository,
            folder,
            tree,
            snapshots,
            head,
            known,
        }))
    }

    fn changes(&mut self, room: u64) -> Result<FileChanges, git2::Error> {
        let repository = &self.repository;
        let now = self.snapshots.take(repository, &self.folder, room)?;
        let (old, new) = (repository.find_tree(self.tree)?, repository.find_tree(now)?);
        let mut diff =
            repository.diff_tree_to_tree(Some(&old), Some(&new), Some(&mut options()))?;
        diff.find_similar(Some(DiffFindOptions::new().renames(true).rename_limit(400)))?;
        let total = diff.deltas().len();
        let files = (0..total.min(MOST_FILES))
            .map(|index| file(&diff, index))
            .collect::<Result<_, _>>()?;
        Ok(FileChanges {
            files,
            omitted: total.saturating_sub(MOST_FILES) as u64,
            commits: self.known.commits_since(repository)?,
            base: self.head.clone(),
            branch: branch(repository),
        })
    }
}

fn branch(repository: &Repository) -> Option<String> {
    let head = repository.head().ok().filter(git2::Reference::is_branch)?;
    head.shorthand().ok().map(str::to_owned)
}

fn file(diff: &Diff<'_>, index: usize) -> Result<FileChange, git2::Error> {
    let gone = || git2::Error::from_str("a difference went away");
    let patch = Patch::from_diff(diff, index)?;
    // Only now it's known whether it is binary.
    let delta = diff.get_delta(index).ok_or_else(gone)?;
    let (_, additions, deletions) = match &patch {
        Some(patch) => patch.line_stats()?,
        None => (0, 0, 0),
    };
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let (old, path) = (
        text(delta.old_file().path_bytes()),
        text(delta.new_file().path_bytes()),
    );
    let kind = match delta.status() {
        Delta::Added => FileChangeKind::Added,
        Delta::Deleted => FileChangeKind::Deleted,
        Delta::Renamed => FileChangeKind::Renamed { from: old },
        _ => FileChangeKind::Modified,
    };
    Ok(FileChange {
        path,
        kind,
        additions: additions as u64,
        deletions: deletions as u64,
        binary: delta.flags().is_binary(),
    })
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
