//! Which commits a turn made.

use std::time::{SystemTime, UNIX_EPOCH};

use git2::{Commit, Oid, Repository, Sort};

use crate::CommitMade;

/// How many commits are told of, the first ones.
const MOST: usize = 100;
/// How much of a message is told, in bytes.
const LONGEST: usize = 4 << 10;
/// A commit's time has whole seconds.
const SECOND: i64 = 1;

/// What could be reached when the turn began.
pub(super) struct Known {
    tips: Vec<Oid>,
    /// Seconds since 1970.
    at: i64,
}

impl Known {
    pub(super) fn now(repository: &Repository) -> Result<Self, git2::Error> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Self {
            tips: tips(repository, "refs/*")?,
            at: i64::try_from(now.as_secs()).unwrap_or_default(),
        })
    }

    /// The commits made since, the oldest first: what the local branches have come to hold. What was fetched or pulled
    /// is older than the turn, as a rule, and is left out by that.
    pub(super) fn commits_since(
        &self,
        repository: &Repository,
    ) -> Result<Vec<CommitMade>, git2::Error> {
        let mut walk = repository.revwalk()?;
        walk.set_sorting(Sort::TOPOLOGICAL | Sort::REVERSE)?;
        for tip in tips(repository, "refs/heads/*")? {
            walk.push(tip)?;
        }
        for tip in &self.tips {
            // One that a garbage collection has taken hides nothing.
            let _ = walk.hide(*tip);
        }
        let mut made = Vec::new();
        for id in walk {
            let commit = repository.find_commit(id?)?;
            if commit.time().seconds() + SECOND >= self.at {
                made.push(describe(repository, &commit)?);
            }
            if made.len() == MOST {
                break;
            }
        }
        Ok(made)
    }
}

/// The commits that `HEAD` and these references point at.
fn tips(repository: &Repository, glob: &str) -> Result<Vec<Oid>, git2::Error> {
    let mut tips: Vec<Oid> = repository
        .head()
        .ok()
        .and_then(|head| head.target())
        .into_iter()
        .collect();
    for reference in repository.references_glob(glob)? {
        // A broken one, or a tag of something else, points at no commit.
        if let Ok(commit) = reference.and_then(|reference| reference.peel_to_commit()) {
            tips.push(commit.id());
        }
    }
    Ok(tips)
}

fn describe(repository: &Repository, commit: &Commit<'_>) -> Result<CommitMade, git2::Error> {
    let parent = match commit.parent(0) {
        Ok(parent) => Some(parent.tree()?),
        Err(_) => None,
    };
    let diff = repository.diff_tree_to_tree(parent.as_ref(), Some(&commit.tree()?), None)?;
    let stats = diff.stats()?;
    let author = commit.author();
    Ok(CommitMade {
        id: commit.id().to_string(),
        message: message(commit),
        author: String::from_utf8_lossy(author.name_bytes()).into_owned(),
        email: String::from_utf8_lossy(author.email_bytes()).into_owned(),
        at_seconds: commit.time().seconds(),
        files: stats.files_changed() as u64,
        additions: stats.insertions() as u64,
        deletions: stats.deletions() as u64,
    })
}

/// The commit's message, cut where it's too long.
pub(super) fn message(commit: &Commit<'_>) -> String {
    let bytes = commit.message_bytes();
    String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)])
        .trim()
        .to_owned()
}
