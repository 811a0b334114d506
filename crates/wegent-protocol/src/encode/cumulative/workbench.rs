//! The panel beside the conversation: task, repository, files changed.

use std::{borrow::Cow, fmt::Write as _, path::Path};

use agent_core::{CommitMade, FileChange, FileChangeKind, FileChanges, TaskId};
use serde::Serialize;

use super::{bounds::beginning, time::iso};
use crate::TaskFacts;

/// How much of the prompt and of the summary is shown, in bytes: every snapshot repeats them.
const MAX_TEXT: usize = 2048;
/// How many changed files are listed.
const MAX_FILES: usize = 500;

/// The workbench, complete each time.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Workbench<'a> {
    task_title: &'a str,
    task_number: String,
    status: &'static str,
    completed_time: String,
    repository: &'a str,
    branch: &'a str,
    sessions: u32,
    premium_requests: u32,
    last_updated: String,
    summary: Cow<'a, str>,
    changes: [(); 0],
    original_prompt: &'a str,
    #[serde(rename = "file_changes")]
    file_changes: Vec<ChangedFile>,
    #[serde(rename = "git_info")]
    git_info: GitInfo<'a>,
    #[serde(rename = "git_domain")]
    git_domain: &'a str,
    #[serde(rename = "git_type")]
    git_type: &'static str,
}

#[derive(Serialize)]
struct ChangedFile {
    old_path: String,
    new_path: String,
    new_file: bool,
    renamed_file: bool,
    deleted_file: bool,
    added_lines: u64,
    removed_lines: u64,
    diff_title: String,
}

#[derive(Serialize)]
struct GitInfo<'a> {
    initial_commit_id: String,
    initial_commit_message: String,
    task_commits: Vec<TaskCommit>,
    source_branch: &'a str,
    target_branch: String,
}

#[derive(Serialize)]
struct TaskCommit {
    commit_id: String,
    short_id: String,
    message: String,
    author: String,
    author_email: String,
    committed_date: String,
    stats: Stats,
}

#[derive(Serialize)]
struct Stats {
    files_changed: u64,
    insertions: u64,
    deletions: u64,
}

impl<'a> Workbench<'a> {
    /// The workbench of a turn whose answer is `value` so far.
    pub(super) fn new(
        facts: &'a TaskFacts,
        task: TaskId,
        status: &'static str,
        value: &'a str,
        at_ms: u64,
    ) -> Self {
        let over = status != "running";
        let before = [&facts.subtask_title, &facts.prompt];
        let before = before.into_iter().find(|text| !text.is_empty());
        let summary = if over && !value.is_empty() {
            value
        } else {
            before.map_or("", |text| text.as_str())
        };
        let github = facts.git_domain.contains("github.com");
        Self {
            task_title: &facts.title,
            task_number: task.to_string(),
            status,
            completed_time: String::new(),
            repository: &facts.repository,
            branch: &facts.branch,
            sessions: 1,
            premium_requests: 0,
            last_updated: iso(at_ms),
            summary: beginning(summary, MAX_TEXT).into(),
            changes: [],
            original_prompt: beginning(&facts.prompt, MAX_TEXT),
            file_changes: Vec::new(),
            git_info: GitInfo {
                initial_commit_id: String::new(),
                initial_commit_message: String::new(),
                task_commits: Vec::new(),
                source_branch: &facts.branch,
                target_branch: String::new(),
            },
            git_domain: &facts.git_domain,
            git_type: if github { "github" } else { "gitlab" },
        }
    }

    /// Says when the turn was over.
    pub(super) fn completed(&mut self, at_ms: u64) {
        self.completed_time = iso(at_ms);
    }

    /// Adds what a turn has changed. Once it has made commits they are its summary.
    pub(super) fn changed(&mut self, changes: &FileChanges) {
        if !changes.commits.is_empty() {
            let list = list(&changes.commits);
            self.summary = beginning(&list, MAX_TEXT).to_owned().into();
        }
        self.file_changes = changes.files.iter().take(MAX_FILES).map(changed).collect();
        let git = &mut self.git_info;
        git.task_commits = changes.commits.iter().map(task_commit).collect();
        if let Some(base) = &changes.base {
            git.initial_commit_id.clone_from(&base.id);
            git.initial_commit_message.clone_from(&base.message);
        }
        if let Some(branch) = changes
            .branch
            .as_ref()
            .filter(|branch| *branch != git.source_branch)
        {
            git.target_branch.clone_from(branch);
        }
    }
}

/// Commits as Markdown.
fn list(commits: &[CommitMade]) -> String {
    let mut list = String::new();
    for CommitMade { id, message, .. } in commits {
        // Writing into a string can't fail.
        let _ = write!(list, "### commit id: {id}\n\n{}\n\n---\n\n", message.trim());
    }
    list
}

fn changed(change: &FileChange) -> ChangedFile {
    let name = Path::new(&change.path).file_name().unwrap_or_default();
    let renamed = match &change.kind {
        FileChangeKind::Renamed { from } => Some(from),
        _ => None,
    };
    ChangedFile {
        old_path: renamed.unwrap_or(&change.path).clone(),
        new_path: change.path.clone(),
        new_file: change.kind == FileChangeKind::Added,
        renamed_file: renamed.is_some(),
        deleted_file: change.kind == FileChangeKind::Deleted,
        added_lines: change.additions,
        removed_lines: change.deletions,
        diff_title: name.to_string_lossy().into_owned(),
    }
}

fn task_commit(commit: &CommitMade) -> TaskCommit {
    let at = u64::try_from(commit.at_seconds).unwrap_or_default();
    TaskCommit {
        commit_id: commit.id.clone(),
        short_id: commit.id.chars().take(8).collect(),
        message: commit.message.clone(),
        author: commit.author.clone(),
        author_email: commit.email.clone(),
        committed_date: iso(at.saturating_mul(1000)),
        stats: Stats {
            files_changed: commit.files,
            insertions: commit.additions,
            deletions: commit.deletions,
        },
    }
}
