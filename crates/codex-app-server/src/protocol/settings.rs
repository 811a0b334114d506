//! What a thread or a turn is run with.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Raw;

/// Keys of codex's `config.toml` for one thread, dotted or nested: model provider, MCP servers, features.
///
/// Opaque to us. It carries bearer tokens, so its `Debug` shows the top-level keys only.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ThreadConfig(Map<String, Value>);

impl ThreadConfig {
    /// Takes the keys.
    pub fn new(keys: Map<String, Value>) -> Self {
        Self(keys)
    }

    /// Sets a key.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) -> &mut Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Map<String, Value>> for ThreadConfig {
    fn from(keys: Map<String, Value>) -> Self {
        Self(keys)
    }
}

impl fmt::Debug for ThreadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.keys().map(|key| (key, format_args!("[redacted]"))))
            .finish()
    }
}

/// The sandbox of a thread's tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// Reads everything, writes nothing, no network.
    ReadOnly,
    /// Writes the working directory, `/tmp` and `$TMPDIR`, no network.
    WorkspaceWrite,
    /// No sandbox.
    DangerFullAccess,
}

/// The sandbox of a turn's tools, in detail. On the wire a turn takes this form and a thread [`SandboxMode`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum SandboxPolicy {
    /// No sandbox.
    DangerFullAccess,
    /// Reads everything, writes nothing.
    ReadOnly {
        /// Whether the network may be used.
        #[serde(default)]
        network_access: bool,
    },
    /// Writes some folders.
    WorkspaceWrite {
        /// Folders that may be written beside the working directory.
        #[serde(default)]
        writable_roots: Vec<PathBuf>,
        /// Whether the network may be used.
        #[serde(default)]
        network_access: bool,
        /// Whether `$TMPDIR` stays read-only.
        #[serde(default)]
        exclude_tmpdir_env_var: bool,
        /// Whether `/tmp` stays read-only.
        #[serde(default)]
        exclude_slash_tmp: bool,
    },
    /// Somebody else confines codex.
    ExternalSandbox {
        /// What that sandbox says about the network.
        #[serde(default)]
        network_access: NetworkAccess,
    },
}

/// Whether an external sandbox lets the network through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NetworkAccess {
    /// It doesn't.
    #[default]
    Restricted,
    /// It does.
    Enabled,
}

/// When codex asks before it acts. (`on-failure` of old versions is gone.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalPolicy {
    /// Before everything but what is known to be harmless.
    Untrusted,
    /// When the model asks for more than the sandbox allows.
    OnRequest,
    /// Never: what the sandbox refuses is refused. MCP tool calls aren't asked about either.
    Never,
    /// By kind of question.
    Granular(GranularApproval),
}

/// Which kinds of question are asked; the others are refused without asking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GranularApproval {
    /// Leaving the sandbox.
    pub sandbox_approval: bool,
    /// What rules say to ask about.
    pub rules: bool,
    /// Questions of MCP servers.
    pub mcp_elicitations: bool,
    /// The tool `request_permissions`.
    #[serde(default)]
    pub request_permissions: bool,
    /// Skills.
    #[serde(default)]
    pub skill_approval: bool,
}

open_enum! {
    /// How much of its reasoning the model sums up.
    pub enum ReasoningSummary {
        /// The model decides.
        Auto = "auto",
        /// Short.
        Concise = "concise",
        /// Long.
        Detailed = "detailed",
        /// Nothing.
        None = "none",
    }
}

open_enum! {
    /// How a thread's history is stored.
    pub enum HistoryMode {
        /// As in old versions: the whole history is read on resume.
        Legacy = "legacy",
        /// In pages (the default of codex 0.169).
        Paginated = "paginated",
    }
}

/// A tool that the client provides; codex calls it with `item/tool/call`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename = "function", rename_all = "camelCase")]
pub struct DynamicTool {
    /// Its name for the model.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON schema of its arguments.
    pub input_schema: Raw,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_config_never_shows_its_values() {
        let mut config = ThreadConfig::default();
        config.set(
            "model_providers",
            json!({"p": {"experimental_bearer_token": "sk-secret"}}),
        );
        let shown = format!("{config:?}");
        assert!(shown.contains("model_providers"), "{shown}");
        assert!(!shown.contains("sk-secret"), "{shown}");
    }

    #[test]
    fn sandbox_and_approval_have_the_wire_names() {
        assert_eq!(
            serde_json::to_value(SandboxMode::DangerFullAccess).unwrap(),
            json!("danger-full-access")
        );
        assert_eq!(
            serde_json::to_value(SandboxPolicy::ReadOnly {
                network_access: true
            })
            .unwrap(),
            json!({"type": "readOnly", "networkAccess": true})
        );
        assert_eq!(
            serde_json::to_value(SandboxPolicy::ExternalSandbox {
                network_access: NetworkAccess::Enabled
            })
            .unwrap(),
            json!({"type": "externalSandbox", "networkAccess": "enabled"})
        );
        assert_eq!(
            serde_json::to_value(ApprovalPolicy::OnRequest).unwrap(),
            json!("on-request")
        );
        assert_eq!(
            serde_json::to_value(ApprovalPolicy::Granular(GranularApproval::default())).unwrap()["granular"]
                ["rules"],
            json!(false)
        );
    }

    #[test]
    fn a_dynamic_tool_is_a_function() {
        let tool = DynamicTool {
            name: "n".into(),
            description: "d".into(),
            input_schema: json!({}).into(),
        };
        assert_eq!(
            serde_json::to_value(tool).unwrap(),
            json!({"type": "function", "name": "n", "description": "d", "inputSchema": {}})
        );
    }
}
