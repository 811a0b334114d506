//! Requests in Wegent's form, made from one that a running Wegent sent.

use serde_json::{Value, json};
use testkit::GitServer;

/// The model's key in every request.
pub const API_KEY: &str = "sk-e2e-model-key-4f7d1c";
/// The task's token in every request.
pub const AUTH_TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.e2e-task-token.sig";
/// The skills' token in every request.
pub const SKILL_TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.e2e-skill-token.sig";

const CODEX: &str =
    include_str!("../../crates/wegent-protocol/fixtures/requests/codex-live-first.json");
const CLAUDE_CODE: &str =
    include_str!("../../crates/wegent-protocol/fixtures/requests/claudecode-live-first.json");

/// With a repository, as a running Wegent names one.
const REPOSITORY: &str =
    include_str!("../../crates/wegent-protocol/fixtures/requests/claudecode-live-repository.json");

/// The body of a dispatch.
#[derive(Clone, Debug)]
pub struct TurnBody(pub Value);

impl TurnBody {
    /// A captured request for Codex with other ids, prompt, provider and tokens.
    pub fn new(task: i64, subtask: i64, prompt: &str, base_url: &str) -> Self {
        Self::captured(CODEX, task, subtask, prompt, base_url)
    }

    /// A captured request for Claude Code with the same changes, and without Wegent's own MCP server, which no test has.
    pub fn claude(task: i64, subtask: i64, prompt: &str, base_url: &str) -> Self {
        Self::captured(CLAUDE_CODE, task, subtask, prompt, base_url)
            .with_bot("mcp_servers", json!([]))
    }

    fn captured(request: &str, task: i64, subtask: i64, prompt: &str, base_url: &str) -> Self {
        let mut body: Value = serde_json::from_str(request).expect("the captured request is JSON");
        body["input"] = json!(prompt);
        body["model"] = json!("scripted-model");
        let metadata = &mut body["metadata"];
        metadata["task_id"] = json!(task);
        metadata["subtask_id"] = json!(subtask);
        metadata["message_id"] = json!(subtask * 10);
        metadata["auth_token"] = json!(AUTH_TOKEN);
        metadata["skill_identity_token"] = json!(SKILL_TOKEN);
        // No test has the skills of a running Wegent, nor the MCP servers that they bring along.
        for field in ["skill_configs", "skill_names"] {
            metadata[field] = json!([]);
        }
        metadata["bot"][0]["skills"] = json!([]);
        let model = &mut body["model_config"];
        model["model_id"] = json!("scripted-model");
        model["base_url"] = json!(base_url);
        model["api_key"] = json!(API_KEY);
        Self(body)
    }

    /// The subtask's id.
    ///
    /// # Panics
    /// If the body has none.
    pub fn subtask(&self) -> i64 {
        self.0["metadata"]["subtask_id"]
            .as_i64()
            .expect("a turn has a subtask")
    }

    /// The same with a field of `metadata` set.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.0["metadata"][field] = value;
        self
    }

    /// The same in the `main` branch of a repository, for a person with this token.
    #[must_use]
    pub fn in_repository(mut self, server: &GitServer, name: &str, token: &str) -> Self {
        let text = REPOSITORY.replace(
            "http://git.example:8090/e2e/demo.git",
            &format!("{}/{name}", server.url()),
        );
        let text = text.replace("git.example:8090", &server.domain());
        let captured: Value = serde_json::from_str(&text).expect("the captured request is JSON");
        let (from, metadata) = (&captured["metadata"], &mut self.0["metadata"]);
        for field in [
            "user",
            "workspace",
            "git_url",
            "git_domain",
            "git_repo",
            "git_repo_id",
            "branch_name",
            "skip_git_clone",
        ] {
            metadata[field] = from[field].clone();
        }
        metadata["user"]["git_token"] = json!(token);
        self
    }

    /// The same for another model.
    #[must_use]
    pub fn with_model(mut self, model: &str) -> Self {
        self.0["model"] = json!(model);
        self.0["model_config"]["model_id"] = json!(model);
        self
    }

    /// The same with a field of the bot set.
    #[must_use]
    pub fn with_bot(mut self, field: &str, value: Value) -> Self {
        self.0["metadata"]["bot"][0][field] = value;
        self
    }
}
