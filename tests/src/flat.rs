//! Flat payloads, made from ones that a running Wegent of January 2026 sent.

use serde_json::{Value, json};
use testkit::GitServer;

use crate::{API_KEY, AUTH_TOKEN};

const CODEX: &str = include_str!("../../crates/wegent-protocol/fixtures/flat/codex-first.json");
const CLAUDE_CODE: &str =
    include_str!("../../crates/wegent-protocol/fixtures/flat/claudecode-first.json");
const CODEX_FOLLOW_UP: &str =
    include_str!("../../crates/wegent-protocol/fixtures/flat/codex-followup.json");
const CLAUDE_CODE_FOLLOW_UP: &str =
    include_str!("../../crates/wegent-protocol/fixtures/flat/claudecode-followup.json");
const REPOSITORY: &str =
    include_str!("../../crates/wegent-protocol/fixtures/flat/codex-repository.json");

/// What `TASK_INFO` or the body of `POST /api/tasks/execute` holds.
#[derive(Clone, Debug)]
pub struct FlatTurn(pub Value);

impl FlatTurn {
    /// A captured payload for Codex with other ids, prompt, provider and tokens.
    pub fn codex(task: i64, subtask: i64, prompt: &str, base_url: &str) -> Self {
        Self::captured_codex(CODEX, task, subtask, prompt, base_url)
    }

    /// The payload of a task's second message for Codex. Its `resume_session_id` is nobody's.
    pub fn codex_follow_up(task: i64, subtask: i64, prompt: &str, base_url: &str) -> Self {
        Self::captured_codex(CODEX_FOLLOW_UP, task, subtask, prompt, base_url)
    }

    fn captured_codex(
        payload: &str,
        task: i64,
        subtask: i64,
        prompt: &str,
        base_url: &str,
    ) -> Self {
        let mut turn = Self::captured(payload, task, subtask, prompt, base_url);
        let env = &mut turn.0["bot"][0]["agent_config"]["env"];
        let config = env["CODEX_CONFIG_TOML"].as_str();
        let config = config.expect("the captured payload has a configuration");
        env["CODEX_CONFIG_TOML"] = json!(config.replace("http://llm.example:8080/v1", base_url));
        turn
    }

    /// The same for Claude Code. Its `session_id` is the task's id, as in a task's first turn.
    pub fn claude(task: i64, subtask: i64, prompt: &str, base_url: &str) -> Self {
        Self::captured(CLAUDE_CODE, task, subtask, prompt, base_url)
            .with("session_id", json!(task.to_string()))
    }

    /// The payload of a task's second message for Claude Code. Its `session_id` is the task's id again.
    pub fn claude_follow_up(task: i64, subtask: i64, prompt: &str, base_url: &str) -> Self {
        Self::captured(CLAUDE_CODE_FOLLOW_UP, task, subtask, prompt, base_url)
            .with("session_id", json!(task.to_string()))
    }

    fn captured(payload: &str, task: i64, subtask: i64, prompt: &str, base_url: &str) -> Self {
        let mut body: Value = serde_json::from_str(payload).expect("the captured payload is JSON");
        body["task_id"] = json!(task);
        body["subtask_id"] = json!(subtask);
        body["prompt"] = json!(prompt);
        body["auth_token"] = json!(AUTH_TOKEN);
        let env = &mut body["bot"][0]["agent_config"]["env"];
        env["model_id"] = json!("scripted-model");
        env["base_url"] = json!(base_url);
        env["api_key"] = json!(API_KEY);
        Self(body)
    }

    /// The subtask's id.
    ///
    /// # Panics
    /// If the payload has none.
    pub fn subtask(&self) -> i64 {
        self.0["subtask_id"].as_i64().expect("a turn has a subtask")
    }

    /// The same with a field set.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.0[field] = value;
        self
    }

    /// The same with a field of the first bot set.
    #[must_use]
    pub fn with_bot(mut self, field: &str, value: Value) -> Self {
        self.0["bot"][0][field] = value;
        self
    }

    /// The same in the `main` branch of a repository, as captured, for a person with this token.
    ///
    /// # Panics
    /// If the captured payload is no JSON.
    #[must_use]
    pub fn in_repository(mut self, server: &GitServer, name: &str, token: &str) -> Self {
        let url = format!("{}/{name}", server.url());
        let text = REPOSITORY.replace("http://git.example:8090/demo/demo.git", &url);
        let text = text.replace("git.example:8090", &server.domain());
        let captured: Value = serde_json::from_str(&text).expect("the captured payload is JSON");
        for field in [
            "user",
            "git_domain",
            "git_repo",
            "git_repo_id",
            "branch_name",
            "git_url",
            "repo_dir",
        ] {
            self.0[field] = captured[field].clone();
        }
        self.0["user"]["git_token"] = json!(token);
        self
    }
}
