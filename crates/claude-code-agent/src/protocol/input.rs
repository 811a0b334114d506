//! What we say. Each value is one line; a malformed one would end the CLI, so nothing else is ever written.

use std::collections::BTreeMap;

use agent_core::ToolCallId;
use serde::Serialize;
use serde_json::{Value, json};

/// A prompt, as the line that begins a turn.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "user")]
pub(crate) struct Prompt {
    message: PromptMessage,
    parent_tool_use_id: Option<()>,
}

#[derive(Debug, Serialize)]
struct PromptMessage {
    role: &'static str,
    content: Value,
}

impl Prompt {
    /// A prompt of this content: a text, or blocks as the Messages API has them.
    pub(crate) fn new(content: Value) -> Self {
        let role = "user";
        Self {
            message: PromptMessage { role, content },
            parent_tool_use_id: None,
        }
    }
}

/// The content that gives a call its result.
pub(crate) fn tool_result(call: &ToolCallId, text: String, is_error: bool) -> Value {
    json!([{
        "type": "tool_result",
        "tool_use_id": call,
        "content": [{ "type": "text", "text": text }],
        "is_error": is_error,
    }])
}

/// A request to the CLI, as a line.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "control_request")]
pub(crate) struct ControlLine<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) request: &'a Control,
}

/// What we ask of the CLI.
#[derive(Debug, Serialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
pub(crate) enum Control {
    /// The handshake. Its answer says that the CLI is ready.
    Initialize {
        /// Text to add to the system prompt.
        #[serde(rename = "appendSystemPrompt", skip_serializing_if = "Option::is_none")]
        append_system_prompt: Option<String>,
        /// `false`: a resumed conversation takes this system prompt, not the one it began with.
        #[serde(rename = "systemPromptSnapshot")]
        system_prompt_snapshot: bool,
        /// Sub-agents by name.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        agents: BTreeMap<String, AgentDefinition>,
        /// When the CLI is to ask us before a call.
        hooks: Hooks,
    },
    /// Stop the turn.
    Interrupt {
        /// Turns that wait to be run are dropped too. Older CLIs ignore it.
        cancel_queued: bool,
    },
    /// The model of the next turns.
    SetModel {
        /// Its id; `None` for the default.
        model: Option<String>,
    },
    /// What may be done without asking.
    SetPermissionMode {
        /// The mode.
        mode: String,
    },
    /// The MCP servers, all of them; those that stay as they are keep running. Answered when each one is connected
    /// or has failed.
    McpSetServers {
        /// By name.
        servers: BTreeMap<String, Value>,
    },
    /// Settings that go before those of files.
    ApplyFlagSettings {
        /// The settings.
        settings: FlagSettings,
    },
}

/// Our hooks.
#[derive(Debug, Serialize)]
pub(crate) struct Hooks {
    #[serde(rename = "PreToolUse")]
    before_tools: [Hook; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Hook {
    matcher: String,
    hook_callback_ids: [&'static str; 1],
}

impl Hooks {
    /// One, before calls of tools whose name matches.
    pub(crate) fn before(matcher: String) -> Self {
        let hook_callback_ids = ["form"];
        Self {
            before_tools: [Hook {
                matcher,
                hook_callback_ids,
            }],
        }
    }
}

impl Control {
    /// The settings that give the CLI, and so its tools, these variables.
    pub(crate) fn variables(env: BTreeMap<String, String>) -> Self {
        Self::ApplyFlagSettings {
            settings: FlagSettings { env },
        }
    }

    /// Its name in the protocol; for logs and errors.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Initialize { .. } => "initialize",
            Self::Interrupt { .. } => "interrupt",
            Self::SetModel { .. } => "set_model",
            Self::SetPermissionMode { .. } => "set_permission_mode",
            Self::McpSetServers { .. } => "mcp_set_servers",
            Self::ApplyFlagSettings { .. } => "apply_flag_settings",
        }
    }

    /// The line with this id.
    pub(crate) fn line<'a>(&'a self, request_id: &'a str) -> ControlLine<'a> {
        ControlLine {
            request_id,
            request: self,
        }
    }
}

/// Settings that we change while the CLI runs.
#[derive(Serialize)]
pub(crate) struct FlagSettings {
    env: BTreeMap<String, String>,
}

impl std::fmt::Debug for FlagSettings {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.env.keys()).finish()
    }
}

/// A sub-agent that the main agent may call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct AgentDefinition {
    /// When to call it.
    pub(crate) description: String,
    /// Its system prompt.
    pub(crate) prompt: String,
    /// Its model, if it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
}

/// Our answer to a question of the CLI's, as a line.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "control_response")]
pub(crate) struct Reply {
    response: ReplyBody,
}

#[derive(Debug, Serialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
enum ReplyBody {
    Success {
        request_id: String,
        response: ReplyValue,
    },
    Error {
        request_id: String,
        error: String,
    },
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ReplyValue {
    Permission(PermissionAnswer),
    #[serde(rename_all = "camelCase")]
    Hook {
        hook_specific_output: HookOutput,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HookOutput {
    hook_event_name: &'static str,
    #[serde(flatten)]
    answer: HookAnswer,
}

/// What becomes of a call.
#[derive(Debug, Serialize)]
#[serde(tag = "permissionDecision", rename_all = "snake_case")]
pub(crate) enum HookAnswer {
    /// It is put off, and the turn ends with it.
    Defer,
    /// It isn't made.
    Deny {
        /// What the model reads as its result.
        #[serde(rename = "permissionDecisionReason")]
        reason: String,
    },
}

impl Reply {
    /// Whether a tool may run.
    pub(crate) fn permission(request_id: String, answer: PermissionAnswer) -> Self {
        let response = ReplyValue::Permission(answer);
        Self {
            response: ReplyBody::Success {
                request_id,
                response,
            },
        }
    }

    /// What becomes of a call.
    pub(crate) fn hook(request_id: String, answer: HookAnswer) -> Self {
        let hook_specific_output = HookOutput {
            hook_event_name: "PreToolUse",
            answer,
        };
        let response = ReplyValue::Hook {
            hook_specific_output,
        };
        Self {
            response: ReplyBody::Success {
                request_id,
                response,
            },
        }
    }

    /// It can't be answered.
    pub(crate) fn refusal(request_id: String, error: impl Into<String>) -> Self {
        let error = error.into();
        Self {
            response: ReplyBody::Error { request_id, error },
        }
    }
}

/// Whether a tool may run.
#[derive(Debug, Serialize)]
#[serde(tag = "behavior", rename_all = "snake_case")]
pub(crate) enum PermissionAnswer {
    /// It may.
    Allow {
        /// Its arguments, which must be given back.
        #[serde(rename = "updatedInput")]
        updated_input: Value,
    },
    /// It may not.
    Deny {
        /// What the model is told.
        message: String,
        /// Whether the turn ends with it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        interrupt: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_protocols_form() {
        let line = |value: &dyn erased::Line| value.json();
        assert_eq!(
            line(&Prompt::new(json!("hi"))),
            json!({"type":"user","message":{"role":"user","content":"hi"},"parent_tool_use_id":null})
        );
        assert_eq!(
            line(
                &Control::Interrupt {
                    cancel_queued: true
                }
                .line("7")
            ),
            json!({"type":"control_request","request_id":"7","request":{"subtype":"interrupt","cancel_queued":true}})
        );
        assert_eq!(
            line(&Control::variables(BTreeMap::from([("A".into(), "b".into())])).line("8"))["request"],
            json!({"subtype":"apply_flag_settings","settings":{"env":{"A":"b"}}})
        );
        assert_eq!(
            line(&Reply::hook("9".into(), HookAnswer::Defer))["response"]["response"],
            json!({"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"defer"}})
        );
        let deny = PermissionAnswer::Deny {
            message: "no".into(),
            interrupt: false,
        };
        assert_eq!(
            line(&Reply::permission("9".into(), deny))["response"]["response"],
            json!({"behavior":"deny","message":"no"})
        );
    }

    mod erased {
        pub(super) trait Line {
            fn json(&self) -> serde_json::Value;
        }
        impl<T: serde::Serialize> Line for T {
            fn json(&self) -> serde_json::Value {
                serde_json::to_value(self).unwrap()
            }
        }
    }
}
