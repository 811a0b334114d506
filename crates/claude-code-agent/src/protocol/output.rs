//! What the CLI says.

use serde::Deserialize;

use super::{
    content::{Block, ToolUseResult, blocks, lenient},
    control::{ControlRequest, ControlResponse},
    result::TurnResult,
};

/// A line of the CLI's.
#[derive(Debug)]
pub(crate) enum Message {
    /// A turn begins; said at the start of every turn, also of one that nobody asked for.
    Init(Init),
    /// A request to the model failed and will be made again.
    ApiRetry(ApiRetry),
    /// A hook of the settings is over.
    HookResponse(HookResponse),
    /// A task (a background shell, a sub-agent) began.
    TaskStarted(TaskStarted),
    /// A task is over.
    TaskNotification(TaskNotification),
    /// A piece of what the model is writing.
    Stream(StreamLine),
    /// A content block is complete: the truth about it.
    Assistant(Assistant),
    /// What the model is told: results of tools, and remarks of the CLI's own.
    User(UserLine),
    /// A turn is over.
    Result(Box<TurnResult>),
    /// The CLI asks us.
    ControlRequest(ControlRequest),
    /// The CLI answers us.
    ControlResponse(ControlResponse),
    /// The CLI no longer wants an answer.
    ControlCancel {
        /// The request it takes back.
        request_id: String,
    },
    /// Anything else, known or not.
    Other {
        /// Its type, and subtype if there is one.
        kind: String,
    },
}

/// A line that is no message.
#[derive(Debug, thiserror::Error)]
#[error("not a message of the protocol")]
pub(crate) struct NotAMessage(#[from] serde_json::Error);

/// What tells messages apart. The order of the keys isn't fixed, so the line is read twice.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    subtype: Option<String>,
}

impl Message {
    /// Reads a line.
    ///
    /// # Errors
    /// [`NotAMessage`] if it is no JSON object with a type, or a message that must be understood and can't be.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, NotAMessage> {
        let head: Head = serde_json::from_slice(line)?;
        let system = (head.kind == "system")
            .then_some(head.subtype.as_deref())
            .flatten();
        Ok(match (head.kind.as_str(), system) {
            (_, Some("init")) => Self::Init(serde_json::from_slice(line)?),
            (_, Some("api_retry")) => Self::ApiRetry(serde_json::from_slice(line)?),
            (_, Some("hook_response")) => Self::HookResponse(serde_json::from_slice(line)?),
            (_, Some("task_started")) => Self::TaskStarted(serde_json::from_slice(line)?),
            (_, Some("task_notification")) => Self::TaskNotification(serde_json::from_slice(line)?),
            ("stream_event", _) => Self::Stream(serde_json::from_slice(line)?),
            ("assistant", _) => Self::Assistant(serde_json::from_slice(line)?),
            ("user", _) => Self::User(serde_json::from_slice(line)?),
            ("result", _) => Self::Result(serde_json::from_slice(line)?),
            ("control_request", _) => Self::ControlRequest(serde_json::from_slice(line)?),
            ("control_response", _) => {
                let Answer { response } = serde_json::from_slice(line)?;
                Self::ControlResponse(response)
            }
            ("control_cancel_request", _) => {
                let Withdrawn { request_id } = serde_json::from_slice(line)?;
                Self::ControlCancel { request_id }
            }
            _ => Self::Other {
                kind: match head.subtype {
                    Some(subtype) => format!("{}/{subtype}", head.kind),
                    None => head.kind,
                },
            },
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    response: ControlResponse,
}

#[derive(Deserialize)]
struct Withdrawn {
    request_id: String,
}

/// The beginning of a turn.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Init {
    /// The conversation's id.
    pub(crate) session_id: String,
    /// The model that will answer.
    pub(crate) model: String,
}

/// The end of a hook; the CLI tells of it where it's asked to (`--include-hook-events`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HookResponse {
    /// The event, with the tool if it is one of a tool's: `PreToolUse:Write`.
    pub(crate) hook_name: String,
    /// `success`, `error`; `cancelled` also if it took too long.
    pub(crate) outcome: String,
    /// Its exit code.
    pub(crate) exit_code: Option<i32>,
    /// What it said.
    pub(crate) output: String,
}

/// A request to the model that failed and will be made again.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ApiRetry {
    /// Which attempt comes next, from 1.
    pub(crate) attempt: u32,
    /// How many there will be.
    pub(crate) max_retries: u32,
    /// How long until then, in milliseconds.
    pub(crate) retry_delay_ms: f64,
    /// The HTTP status, if there was an answer.
    pub(crate) error_status: Option<u16>,
    /// What kind of failure it was.
    pub(crate) error: Option<AssistantError>,
}

/// A task that began.
#[derive(Debug, Deserialize)]
pub(crate) struct TaskStarted {
    /// Its id.
    pub(crate) task_id: String,
    /// The call that started it.
    #[serde(default)]
    pub(crate) tool_use_id: Option<String>,
    /// `local_bash`, `local_agent`, …
    #[serde(default)]
    pub(crate) task_type: Option<String>,
}

impl TaskStarted {
    /// Whether the task is a sub-agent.
    pub(crate) fn is_agent(&self) -> bool {
        self.task_type.as_deref() == Some("local_agent")
    }
}

/// A task that is over.
#[derive(Debug, Deserialize)]
pub(crate) struct TaskNotification {
    /// Its id.
    pub(crate) task_id: String,
    /// The call that started it.
    #[serde(default)]
    pub(crate) tool_use_id: Option<String>,
    /// `completed`, `failed`, `stopped`, …
    #[serde(default)]
    pub(crate) status: Option<String>,
    /// What came of it.
    #[serde(default)]
    pub(crate) summary: Option<String>,
}

/// A piece of what the model is writing. Only the main agent's words come like this (2.1.197, 2.1.329).
#[derive(Debug, Deserialize)]
pub(crate) struct StreamLine {
    /// What happened.
    pub(crate) event: StreamEvent,
    /// The sub-agent's call, if one is writing.
    #[serde(default)]
    pub(crate) parent_tool_use_id: Option<String>,
}

/// An event of the Messages API, passed on as it is.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum StreamEvent {
    /// The model begins a message.
    MessageStart {
        /// The message so far.
        message: MessageStart,
    },
    /// A content block begins.
    ContentBlockStart {
        /// Its number in the message.
        #[serde(default)]
        index: u64,
    },
    /// More of a content block.
    ContentBlockDelta {
        /// Its number in the message.
        #[serde(default)]
        index: u64,
        /// What came.
        delta: Delta,
    },
    /// A content block is over.
    ContentBlockStop,
    /// The message is nearly over: its figures are known.
    MessageDelta {
        /// What it has used; what is missing stands in its beginning.
        #[serde(default)]
        usage: Option<MessageUsage>,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

/// The beginning of a message.
#[derive(Debug, Deserialize)]
pub(crate) struct MessageStart {
    /// Its id.
    pub(crate) id: String,
    /// What it has used so far.
    #[serde(default)]
    pub(crate) usage: Option<MessageUsage>,
}

/// What one message of the model's has used, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct MessageUsage {
    /// Read, without cached ones.
    pub(crate) input_tokens: Option<u64>,
    /// Written.
    pub(crate) output_tokens: Option<u64>,
    /// Read from the cache.
    pub(crate) cache_read_input_tokens: Option<u64>,
    /// Read and put into the cache.
    pub(crate) cache_creation_input_tokens: Option<u64>,
}

/// More of a content block.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Delta {
    /// More of the answer.
    #[serde(rename = "text_delta")]
    Text {
        /// The text to append.
        text: String,
    },
    /// More of the reasoning.
    #[serde(rename = "thinking_delta")]
    Thinking {
        /// The text to append.
        thinking: String,
    },
    /// Arguments of a tool, signatures and the like.
    #[serde(other)]
    Other,
}

/// A complete content block of the model's.
#[derive(Debug, Deserialize)]
pub(crate) struct Assistant {
    /// The message it belongs to.
    pub(crate) message: AssistantMessage,
    /// The sub-agent's call, if it is a sub-agent's.
    #[serde(default)]
    pub(crate) parent_tool_use_id: Option<String>,
    /// The API's failure of which the text tells.
    #[serde(default)]
    pub(crate) error: Option<AssistantError>,
    /// The failure of the connection, by newer CLIs.
    #[serde(default)]
    pub(crate) api_error: Option<String>,
}

/// The message around a content block. Several lines carry the same message, each with one block of it.
#[derive(Debug, Deserialize)]
pub(crate) struct AssistantMessage {
    /// Its id.
    pub(crate) id: String,
    /// The blocks; one, so far.
    #[serde(default, deserialize_with = "blocks")]
    pub(crate) content: Vec<Block>,
}

/// What the CLI calls an API's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AssistantError {
    /// The key is not accepted.
    AuthenticationFailed,
    /// The account's money or plan is used up.
    BillingError,
    /// Too many requests.
    RateLimit,
    /// The provider is overloaded.
    Overloaded,
    /// The request is wrong, too large, or against the provider's rules.
    InvalidRequest,
    /// There is no such model.
    ModelNotFound,
    /// The provider failed, or the connection.
    ServerError,
    /// The answer grew too long.
    MaxOutputTokens,
    /// Anything else.
    #[serde(other)]
    Unknown,
}

/// What the model is told.
#[derive(Debug, Deserialize)]
pub(crate) struct UserLine {
    /// The message.
    pub(crate) message: UserMessage,
    /// The result in the tool's own form.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) tool_use_result: Option<ToolUseResult>,
}

/// The message around what the model is told.
#[derive(Debug, Deserialize)]
pub(crate) struct UserMessage {
    /// The blocks. A bare text holds no result.
    #[serde(default, deserialize_with = "blocks")]
    pub(crate) content: Vec<Block>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_no_failure() {
        for line in [
            r#"{"type":"brand_new","x":1}"#,
            r#"{"type":"system","subtype":"brand_new"}"#,
            r#"{"type":"stream_event","event":{"type":"brand_new"},"parent_tool_use_id":null}"#,
            r#"{"type":"assistant","message":{"id":"m","content":[{"type":"brand_new"},{"no":"type"},7]}}"#,
            r#"{"type":"assistant","message":{"id":"m","content":[]},"error":"brand_new"}"#,
            r#"{"type":"user","message":{"content":"plain"},"tool_use_result":"Error: x"}"#,
            r#"{"type":"user","message":{"content":{"odd":1}},"tool_use_result":[1]}"#,
            r#"{"type":"control_request","request_id":"1","request":{"subtype":"brand_new","a":1}}"#,
            r#"{"type":"result"}"#,
        ] {
            let parsed = Message::parse(line.as_bytes());
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }

    #[test]
    fn what_is_no_message_is_said_to_be_none() {
        for line in [
            "",
            "not json",
            "[1]",
            "{\"type\":1}",
            "{\"type\":\"assis",
            "{}",
        ] {
            assert!(Message::parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn the_type_may_stand_at_the_end() {
        let line = r#"{"is_error":true,"num_turns":2,"subtype":"success","type":"result"}"#;
        let Ok(Message::Result(result)) = Message::parse(line.as_bytes()) else {
            panic!("no result");
        };
        assert!(result.is_error);
    }
}
