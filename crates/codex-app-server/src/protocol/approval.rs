//! Requests of codex to us: approvals, questions, calls of our tools.
//!
//! Each carries the way to answer it, and the answer's type is fixed by the request's: an [`Ask`] can be answered with
//! nothing else. An unanswered request would hang its turn for ever, so an `Ask` that is dropped refuses by itself.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{CommandAction, ItemId, Raw, ThreadId, TurnId};
use crate::rpc::{Reply, RequestId};

/// What codex can ask, and the answer it expects.
pub trait AskParams: DeserializeOwned + fmt::Debug + Send + 'static {
    /// The method on the wire.
    const METHOD: &'static str;
    /// The answer.
    type Answer: Serialize + fmt::Debug + Send;
}

/// A request of codex that waits for its answer.
#[derive(Debug)]
pub struct Ask<P> {
    /// What it asks.
    pub params: P,
    reply: Reply,
}

impl<P: AskParams> Ask<P> {
    /// Codex's id of the request, as [`RequestResolved`](super::RequestResolved) repeats it.
    pub fn id(&self) -> &RequestId {
        self.reply.id()
    }

    /// Answers. Never waits.
    pub fn answer(self, answer: &P::Answer) {
        self.reply.answer(answer);
    }

    /// Refuses with an error, which tells the model that the request failed.
    pub fn refuse(self, message: &str) {
        self.reply.refuse(crate::rpc::INTERNAL_ERROR, message);
    }
}

macro_rules! server_requests {
    ($( $(#[$meta:meta])* $variant:ident($params:ident -> $answer:ty) = $method:literal ),+ $(,)?) => {
        /// A request of codex, by its method.
        #[derive(Debug)]
        pub enum ServerRequest {
            $( $(#[$meta])* $variant(Ask<$params>), )+
        }

        $(
            impl AskParams for $params {
                const METHOD: &'static str = $method;
                type Answer = $answer;
            }
        )+

        impl ServerRequest {
            /// The methods this version knows. Any other request is refused at once.
            pub const KNOWN: &[&str] = &[$($method),+];

            /// The method as it is on the wire.
            pub fn method(&self) -> &'static str {
                match self {
                    $( Self::$variant(_) => $method, )+
                }
            }

            /// Refuses with an error, whatever it is.
            pub fn refuse(self, message: &str) {
                match self {
                    $( Self::$variant(ask) => ask.refuse(message), )+
                }
            }

            /// Reads a request; one that can't be read is refused and `None`.
            pub(crate) fn parse(method: &str, params: &str, reply: Reply) -> Option<Self> {
                match method {
                    $(
                        $method => match serde_json::from_str::<$params>(params) {
                            Ok(params) => Some(Self::$variant(Ask { params, reply })),
                            Err(error) => {
                                tracing::warn!(method, column = error.column(), "request of an unexpected shape refused");
                                reply.refuse(crate::rpc::INVALID_PARAMS, "unexpected parameters");
                                None
                            }
                        },
                    )+
                    _ => {
                        tracing::debug!(method, "unknown request refused");
                        reply.refuse(crate::rpc::METHOD_NOT_FOUND, "not supported by this client");
                        None
                    }
                }
            }
        }
    };
}

server_requests! {
    /// May a command run?
    CommandApproval(CommandApproval -> CommandApprovalAnswer) = "item/commandExecution/requestApproval",
    /// May a patch be applied? The changes are in the preceding `item/started`.
    FileChangeApproval(FileChangeApproval -> FileChangeApprovalAnswer) = "item/fileChange/requestApproval",
    /// May the agent have more rights?
    PermissionsApproval(PermissionsApproval -> PermissionsAnswer) = "item/permissions/requestApproval",
    /// An MCP server asks the user, or: may an MCP tool be called?
    Elicitation(Elicitation -> ElicitationAnswer) = "mcpServer/elicitation/request",
    /// The agent asks the user.
    UserInput(UserInputRequest -> UserInputAnswer) = "item/tool/requestUserInput",
    /// The agent calls one of our tools.
    ToolCall(ToolCall -> ToolCallAnswer) = "item/tool/call",
    /// What time is it?
    CurrentTime(CurrentTime -> CurrentTimeAnswer) = "currentTime/read",
}

/// May a command run?
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandApproval {
    /// The thread.
    pub thread_id: ThreadId,
    /// The turn.
    pub turn_id: TurnId,
    /// The command's item.
    pub item_id: ItemId,
    /// The command line.
    #[serde(default)]
    pub command: Option<String>,
    /// Where it would run.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// Why codex asks, in the model's words.
    #[serde(default)]
    pub reason: Option<String>,
    /// What codex believes the command does.
    #[serde(default)]
    pub command_actions: Option<Vec<CommandAction>>,
    /// The decisions that make sense here, if codex says so; each a string or an object.
    #[serde(default)]
    pub available_decisions: Option<Vec<Raw>>,
}

open_enum! {
    /// Yes or no.
    pub enum ApprovalDecision {
        /// Yes, this time.
        Accept = "accept",
        /// Yes, and don't ask again in this session.
        AcceptForSession = "acceptForSession",
        /// No; the model goes on without.
        Decline = "decline",
        /// No, and the turn ends as interrupted.
        Cancel = "cancel",
    }
}

/// The decision about a command.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CommandDecision {
    /// Yes or no.
    Plain(ApprovalDecision),
    /// One of [`CommandApproval::available_decisions`], given back as it came (rules for the future).
    Offered(Raw),
}

/// The answer to [`CommandApproval`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommandApprovalAnswer {
    /// The decision.
    pub decision: CommandDecision,
}

impl From<ApprovalDecision> for CommandApprovalAnswer {
    fn from(decision: ApprovalDecision) -> Self {
        Self {
            decision: CommandDecision::Plain(decision),
        }
    }
}

/// May a patch be applied?
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileChangeApproval {
    /// The thread.
    pub thread_id: ThreadId,
    /// The turn.
    pub turn_id: TurnId,
    /// The patch's item.
    pub item_id: ItemId,
    /// Why codex asks.
    #[serde(default)]
    pub reason: Option<String>,
    /// A folder that would become writable.
    #[serde(default)]
    pub grant_root: Option<PathBuf>,
}

/// The answer to [`FileChangeApproval`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileChangeApprovalAnswer {
    /// The decision.
    pub decision: ApprovalDecision,
}

impl From<ApprovalDecision> for FileChangeApprovalAnswer {
    fn from(decision: ApprovalDecision) -> Self {
        Self { decision }
    }
}

/// May the agent have more rights?
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PermissionsApproval {
    /// The thread.
    pub thread_id: ThreadId,
    /// The turn.
    pub turn_id: TurnId,
    /// The item.
    pub item_id: ItemId,
    /// Why, in the model's words.
    #[serde(default)]
    pub reason: Option<String>,
    /// The working directory.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// The rights asked for: file system and network, opaque.
    #[serde(default)]
    pub permissions: Raw,
}

/// The answer to [`PermissionsApproval`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PermissionsAnswer {
    /// The rights given: those asked for, a part of them, or `{}` for none.
    pub permissions: Raw,
    /// For how long.
    pub scope: GrantScope,
}

impl PermissionsAnswer {
    /// Gives nothing.
    pub fn nothing() -> Self {
        Self {
            permissions: serde_json::json!({}).into(),
            scope: GrantScope::Turn,
        }
    }
}

/// How long rights last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GrantScope {
    /// This turn.
    Turn,
    /// The session.
    Session,
}

/// An MCP server asks the user something, or codex asks whether its tool may be called.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Elicitation {
    /// The thread.
    pub thread_id: ThreadId,
    /// The turn, if there is one.
    #[serde(default)]
    pub turn_id: Option<TurnId>,
    /// The server's name in the configuration.
    #[serde(default)]
    pub server_name: String,
    /// `form`, `url`, …
    #[serde(default)]
    pub mode: String,
    /// The question.
    #[serde(default)]
    pub message: String,
    /// JSON schema of the form.
    #[serde(default)]
    pub requested_schema: Option<Raw>,
    /// The page to open, in mode `url`.
    #[serde(default)]
    pub url: Option<String>,
    /// More about it, opaque.
    #[serde(default, rename = "_meta")]
    pub meta: Option<Raw>,
}

impl Elicitation {
    /// The tool's name, if this is codex asking whether an MCP tool may be called.
    pub fn tool_call(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Meta {
            codex_approval_kind: String,
            #[serde(default)]
            tool_name: String,
        }
        let meta: Meta = self.meta.as_ref()?.parse().ok()?;
        (meta.codex_approval_kind == "mcp_tool_call").then_some(meta.tool_name)
    }
}

/// The answer to [`Elicitation`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ElicitationAnswer {
    /// Yes or no.
    pub action: ElicitationAction,
    /// The form as filled in; `{}` for a tool call.
    pub content: Raw,
}

impl ElicitationAnswer {
    /// An answer without a filled-in form.
    pub fn plain(action: ElicitationAction) -> Self {
        Self {
            action,
            content: serde_json::json!({}).into(),
        }
    }
}

/// Yes or no, in MCP's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ElicitationAction {
    /// Yes.
    Accept,
    /// No.
    Decline,
    /// The user closed the question.
    Cancel,
}

/// The agent asks the user.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserInputRequest {
    /// The thread.
    pub thread_id: ThreadId,
    /// The turn.
    pub turn_id: TurnId,
    /// The item.
    pub item_id: ItemId,
    /// The questions.
    #[serde(default)]
    pub questions: Vec<Question>,
    /// After how many milliseconds codex goes on by itself.
    #[serde(default)]
    pub auto_resolution_ms: Option<u64>,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Which one, for the answer.
    pub id: String,
    /// A short title.
    #[serde(default)]
    pub header: String,
    /// The question.
    #[serde(default)]
    pub question: String,
    /// What can be chosen; `None` for free text.
    #[serde(default)]
    pub options: Option<Vec<QuestionOption>>,
    /// Whether another answer than the options is welcome.
    #[serde(default)]
    pub is_other: bool,
    /// Whether the answer is a secret.
    #[serde(default)]
    pub is_secret: bool,
}

/// What can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct QuestionOption {
    /// The choice; it's also the answer.
    pub label: String,
    /// What it means.
    #[serde(default)]
    pub description: String,
}

/// The answer to [`UserInputRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UserInputAnswer {
    /// Answers by the question's id.
    pub answers: BTreeMap<String, QuestionAnswer>,
}

/// The answer to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QuestionAnswer {
    /// Labels, or free text.
    pub answers: Vec<String>,
}

/// The agent calls one of our tools.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    /// The thread.
    pub thread_id: ThreadId,
    /// The turn.
    pub turn_id: TurnId,
    /// The call; also the item's id.
    pub call_id: ItemId,
    /// The tool.
    pub tool: String,
    /// Opaque.
    #[serde(default)]
    pub arguments: Raw,
}

/// The answer to [`ToolCall`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolCallAnswer {
    /// What the model gets.
    pub content_items: Vec<ToolOutput>,
    /// Whether it worked.
    pub success: bool,
}

/// A piece of a tool's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ToolOutput {
    /// Text.
    InputText {
        /// The text.
        text: String,
    },
    /// An image.
    InputImage {
        /// A `data:` or `https:` address.
        image_url: String,
    },
}

/// What time is it? Asked only by clients' own wish.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CurrentTime {
    /// The thread.
    pub thread_id: ThreadId,
}

/// The answer to [`CurrentTime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CurrentTimeAnswer {
    /// Seconds since 1970.
    pub current_time_at: i64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_have_the_wire_form() {
        let mut answers = UserInputAnswer::default();
        answers.answers.insert(
            "color".into(),
            QuestionAnswer {
                answers: vec!["Blue".into()],
            },
        );
        let offered = json!({"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch"]}});
        for (answer, expected) in [
            (
                serde_json::to_value(CommandApprovalAnswer::from(
                    ApprovalDecision::AcceptForSession,
                )),
                json!({"decision": "acceptForSession"}),
            ),
            (
                serde_json::to_value(CommandApprovalAnswer {
                    decision: CommandDecision::Offered(offered.clone().into()),
                }),
                json!({"decision": offered}),
            ),
            (
                serde_json::to_value(FileChangeApprovalAnswer::from(ApprovalDecision::Decline)),
                json!({"decision": "decline"}),
            ),
            (
                serde_json::to_value(PermissionsAnswer::nothing()),
                json!({"permissions": {}, "scope": "turn"}),
            ),
            (
                serde_json::to_value(ElicitationAnswer::plain(ElicitationAction::Accept)),
                json!({"action": "accept", "content": {}}),
            ),
            (
                serde_json::to_value(answers),
                json!({"answers": {"color": {"answers": ["Blue"]}}}),
            ),
            (
                serde_json::to_value(ToolCallAnswer {
                    content_items: vec![ToolOutput::InputText {
                        text: "pong".into(),
                    }],
                    success: true,
                }),
                json!({"contentItems": [{"type": "inputText", "text": "pong"}], "success": true}),
            ),
            (
                serde_json::to_value(CurrentTimeAnswer { current_time_at: 7 }),
                json!({"currentTimeAt": 7}),
            ),
        ] {
            assert_eq!(answer.unwrap(), expected);
        }
    }

    #[test]
    fn a_tool_approval_is_told_from_a_question_of_the_server() {
        let ask = |meta| Elicitation {
            meta,
            ..serde_json::from_value(json!({"threadId": "t", "serverName": "demo"})).unwrap()
        };
        let approval = json!({"codex_approval_kind": "mcp_tool_call", "tool_name": "echo"});
        assert_eq!(
            ask(Some(approval.into())).tool_call().as_deref(),
            Some("echo")
        );
        assert_eq!(ask(Some(json!({"x": 1}).into())).tool_call(), None);
        assert_eq!(ask(None).tool_call(), None);
    }
}
