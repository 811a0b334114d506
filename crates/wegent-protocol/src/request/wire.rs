//! `POST /v1/responses` as it stands on the wire.
//!
//! Everything is optional and may be `null`: what a turn can't do without is asked for when it is
//! converted. Fields that nobody here reads are left out; they stay available in the raw request.

use std::{collections::BTreeMap, fmt};

use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value},
};
use serde_json::Value;

use super::lenient::{Int, Number, OneOrMany, SecretText, Text, TextOr, TextOrTexts, WebSearch};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Body {
    pub(super) model: Option<String>,
    pub(super) input: Option<Input>,
    pub(super) instructions: Option<String>,
    pub(super) tools: Option<Vec<Tool>>,
    pub(super) text: Option<TextSettings>,
    pub(super) background: Option<bool>,
    pub(super) metadata: Option<Metadata>,
    pub(super) model_config: Option<ModelConfig>,
}

/// What the answer is to look like, as the Responses API has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TextSettings {
    pub(super) format: Option<TextFormat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TextFormat {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) schema: Option<Value>,
}

/// Text, content blocks, or messages; what a message says has the same forms.
#[derive(Debug)]
pub(super) enum Input {
    Text(String),
    Items(Vec<Item>),
}

/// A content block (`type`, `text`, `image_url`) or a message (`role`, `content`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Item {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) text: Option<String>,
    pub(super) image_url: Option<TextOr<ImageUrl>>,
    pub(super) url: Option<String>,
    pub(super) role: Option<String>,
    pub(super) content: Option<Input>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ImageUrl {
    pub(super) url: Option<String>,
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InputVisitor;

        impl<'de> Visitor<'de> for InputVisitor {
            type Value = Input;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Input, E> {
                Ok(Input::Text(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Input, E> {
                Ok(Input::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Input, A::Error> {
                Vec::deserialize(value::SeqAccessDeserializer::new(seq)).map(Input::Items)
            }
        }

        deserializer.deserialize_any(InputVisitor)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tool {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) server_label: Option<String>,
    pub(super) server_url: Option<String>,
    pub(super) server_type: Option<String>,
    pub(super) server_auth: Option<BTreeMap<String, Option<SecretText>>>,
    pub(super) command: Option<String>,
    pub(super) args: Option<Vec<Text>>,
    pub(super) env: Option<BTreeMap<String, Option<SecretText>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) task_id: Option<Int>,
    pub(super) subtask_id: Option<Int>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) bot: Option<OneOrMany<Bot>>,
    pub(super) bot_name: Option<String>,
    pub(super) user: Option<User>,
    pub(super) user_name: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) claude_permission_mode: Option<String>,
    pub(super) max_turns: Option<Int>,
    pub(super) allowed_tools: Option<Vec<String>>,
    pub(super) disallowed_tools: Option<Vec<String>>,
    pub(super) message_id: Option<Int>,
    pub(super) new_session: Option<bool>,
    pub(super) skill_names: Option<Vec<String>>,
    pub(super) skill_configs: Option<Vec<SkillConfig>>,
    pub(super) preload_skills: Option<Vec<String>>,
    pub(super) user_selected_skills: Option<Vec<String>>,
    pub(super) selected_knowledge_prompt: Option<String>,
    pub(super) kb_meta_prompt: Option<String>,
    pub(super) is_user_selected_kb: Option<bool>,
    pub(super) required_skills: Option<Vec<String>>,
    pub(super) skill_refs: Option<SkillRefs>,
    pub(super) preload_skill_refs: Option<SkillRefs>,
    pub(super) team_namespace: Option<String>,
    pub(super) user_subtask_id: Option<Int>,
    pub(super) backend_url: Option<String>,
    pub(super) attachments: Option<Vec<Attachment>>,
    pub(super) auth_token: Option<SecretString>,
    pub(super) skill_identity_token: Option<SecretString>,
    pub(super) git_url: Option<String>,
    pub(super) git_domain: Option<String>,
    pub(super) git_repo: Option<String>,
    pub(super) git_repo_id: Option<Text>,
    pub(super) skip_git_clone: Option<bool>,
    pub(super) branch_name: Option<String>,
    pub(super) workspace: Option<Workspace>,
    pub(super) inherited_sessions: Option<Vec<InheritedSession>>,
    pub(super) executor_name: Option<String>,
    pub(super) executor_namespace: Option<String>,
    pub(super) callback_url: Option<String>,
    pub(super) validation_params: Option<ValidationParams>,
    pub(super) interactive_form_answer: Option<FormAnswer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Bot {
    pub(super) id: Option<Text>,
    pub(super) name: Option<String>,
    pub(super) shell_type: Option<String>,
    pub(super) system_prompt: Option<String>,
    pub(super) role: Option<String>,
    pub(super) cwd: Option<String>,
    pub(super) mcp_servers: Option<McpServers>,
    #[serde(rename = "mcpServers")]
    pub(super) mcp_servers_camel: Option<McpServers>,
    pub(super) skills: Option<Vec<String>>,
    pub(super) skill_refs: Option<SkillRefs>,
    pub(super) preload_skill_refs: Option<SkillRefs>,
}

/// Skills by name.
pub(super) type SkillRefs = BTreeMap<String, Option<SkillRef>>;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SkillRef {
    pub(super) skill_id: Option<Text>,
    pub(super) namespace: Option<String>,
    pub(super) content_hash: Option<String>,
}

/// What a skill brings along.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SkillConfig {
    pub(super) name: Option<String>,
    pub(super) skill_id: Option<Text>,
    #[serde(rename = "mcpServers", alias = "mcp_servers")]
    pub(super) mcp_servers: Option<McpServers>,
}

/// An array of servers with names, or a map by name. The map may be wrapped in `mcpServers` or `mcp_servers`, once or
/// more often.
#[derive(Debug, Default)]
pub(super) struct McpServers {
    pub(super) own: Vec<McpServer>,
    pub(super) wrapped_camel: Option<Box<McpServers>>,
    pub(super) wrapped_snake: Option<Box<McpServers>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct McpServer {
    pub(super) name: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) url: Option<String>,
    pub(super) base_url: Option<String>,
    pub(super) headers: Option<BTreeMap<String, Option<SecretText>>>,
    pub(super) auth: Option<BTreeMap<String, Option<SecretText>>>,
    #[serde(alias = "bearerTokenEnvVar")]
    pub(super) bearer_token_env_var: Option<String>,
    #[serde(alias = "oauthClientId")]
    pub(super) oauth_client_id: Option<String>,
    #[serde(alias = "oauthResource")]
    pub(super) oauth_resource: Option<String>,
    pub(super) command: Option<String>,
    pub(super) args: Option<Vec<Text>>,
    pub(super) env: Option<BTreeMap<String, Option<SecretText>>>,
    pub(super) timeout: Option<Number>,
    pub(super) timeout_seconds: Option<Number>,
    #[serde(rename = "timeoutSeconds")]
    pub(super) timeout_seconds_camel: Option<Number>,
}

impl<'de> Deserialize<'de> for McpServers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct McpServersVisitor;

        impl<'de> Visitor<'de> for McpServersVisitor {
            type Value = McpServers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of servers or an object of servers by name")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<McpServers, A::Error> {
                Vec::deserialize(value::SeqAccessDeserializer::new(seq)).map(|own| McpServers {
                    own,
                    ..McpServers::default()
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<McpServers, A::Error> {
                let mut servers = McpServers::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "mcpServers" => servers.wrapped_camel = map.next_value()?,
                        "mcp_servers" => servers.wrapped_snake = map.next_value()?,
                        _ => {
                            if let Some(server) = map.next_value::<Option<McpServer>>()? {
                                let name = Some(name);
                                servers.own.push(McpServer { name, ..server });
                            }
                        }
                    }
                }
                Ok(servers)
            }
        }

        deserializer.deserialize_any(McpServersVisitor)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct User {
    pub(super) user_name: Option<String>,
    pub(super) git_domain: Option<String>,
    pub(super) git_token: Option<SecretString>,
    pub(super) git_id: Option<Text>,
    pub(super) git_login: Option<String>,
    pub(super) git_email: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attachment {
    pub(super) id: Option<Int>,
    pub(super) original_filename: Option<String>,
    pub(super) mime_type: Option<String>,
    pub(super) file_size: Option<Int>,
    pub(super) subtask_id: Option<Int>,
    pub(super) status: Option<String>,
    pub(super) local_path: Option<String>,
    pub(super) error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Workspace {
    pub(super) repository: Option<Repository>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Repository {
    #[serde(rename = "branchName")]
    pub(super) branch_name: Option<String>,
}

/// Both spellings of the keys occur in the platform's own code.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct InheritedSession {
    pub(super) agent: Option<String>,
    #[serde(rename = "threadId", alias = "thread_id")]
    pub(super) thread_id: Option<String>,
    #[serde(rename = "sessionId", alias = "session_id")]
    pub(super) session_id: Option<String>,
    #[serde(rename = "botId", alias = "bot_id")]
    pub(super) bot_id: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ValidationParams {
    pub(super) shell_type: Option<String>,
    pub(super) image: Option<String>,
    pub(super) shell_name: Option<String>,
    pub(super) validation_id: Option<Text>,
}

/// What the person filled in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FormAnswer {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) tool_use_id: Option<String>,
    pub(super) task_id: Option<Int>,
    pub(super) subtask_id: Option<Int>,
    pub(super) answers: Option<BTreeMap<String, Option<TextOrTexts>>>,
    pub(super) success: Option<bool>,
    pub(super) status: Option<String>,
    pub(super) message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ModelConfig {
    pub(super) model_id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) api_key: Option<SecretString>,
    pub(super) base_url: Option<String>,
    pub(super) default_headers: Option<BTreeMap<String, Option<SecretText>>>,
    pub(super) api_format: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) context_window: Option<Int>,
    pub(super) reasoning: Option<TextOr<Reasoning>>,
    pub(super) verbosity: Option<String>,
    pub(super) service_tier: Option<String>,
    pub(super) web_search: Option<WebSearch>,
    pub(super) runtime_config: Option<RuntimeConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reasoning {
    pub(super) effort: Option<String>,
    pub(super) summary: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RuntimeConfig {
    pub(super) codex: Option<CodexRuntime>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CodexRuntime {
    pub(super) use_user_config: Option<bool>,
}
