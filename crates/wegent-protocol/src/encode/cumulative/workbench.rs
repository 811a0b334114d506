//! The panel beside the conversation: task, repository, files changed.

use std::path::Path;

use agent_core::{FileChange, FileChanges, TaskId};
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
    summary: &'a str,
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
    initial_commit_id: &'static str,
    initial_commit_message: &'static str,
    task_commits: [(); 0],
    source_branch: &'a str,
    target_branch: &'static str,
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
            summary: beginning(summary, MAX_TEXT),
            changes: [],
            original_prompt: beginning(&facts.prompt, MAX_TEXT),
            file_changes: Vec::new(),
            git_info: GitInfo {
                initial_commit_id: "",
                initial_commit_message: "",
                task_commits: [],
                source_branch: &facts.branch,
                target_branch: "",
            },
            git_domain: &facts.git_domain,
            git_type: if github { "github" } else { "gitlab" },
        }
    }

    /// Adds what a turn left behind.
    pub(super) fn completed(&mut self, changes: &FileChanges, at_ms: u64) {
        self.completed_time = iso(at_ms);
        let files = changes.0.iter().take(MAX_FILES);
        self.file_changes = files.map(|(path, change)| changed(path, change)).collect();
    }
}

fn changed(path: &str, change: &FileChange) -> ChangedFile {
    let name = Path::new(path).file_name().unwrap_or_default();
    ChangedFile {
        old_path: path.to_owned(),
        new_path: path.to_owned(),
        new_file: *change == FileChange::Added,
        renamed_file: false,
        deleted_file: *change == FileChange::Deleted,
        added_lines: 0,
        removed_lines: 0,
        diff_title: name.to_string_lossy().into_owned(),
    }
}
