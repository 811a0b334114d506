//! What Codex asks, as questions to the person, and the answers as Codex takes them.
//!
//! Whether a command may run, a patch be applied, rights be granted or an MCP tool be called is a [`Permission`]; what the
//! model or an MCP server wants to know is a form of its own.

use std::time::Duration;

use agent_core::{Choice, Field, Form, FormAnswer, Permission, Question, ToolCallId};
use codex_app_server::protocol::{
    ApprovalDecision, Ask, CommandApproval, Elicitation, ElicitationAction, ElicitationAnswer,
    FileChangeApproval, GrantScope, PermissionsAnswer, PermissionsApproval, QuestionAnswer,
    ServerRequest, UserInputAnswer, UserInputRequest,
};

use crate::elicitation;

/// What is added to the id of a question that can also be answered in other words.
const OTHER: &str = ".other";
/// Begins the id of a question of ours. Codex's own ids never begin like that.
const OURS: &str = "ask-";

/// Whether a call is a question made here, and not a call of the model's.
pub(crate) fn is_ours(call: &ToolCallId) -> bool {
    call.as_str().starts_with(OURS)
}

/// A request of Codex's that the person is to answer. Until then Codex waits with it.
#[derive(Debug)]
pub(crate) enum Open {
    Command(Ask<CommandApproval>),
    FileChange(Ask<FileChangeApproval>),
    Permissions(Ask<PermissionsApproval>),
    /// May an MCP tool be called?
    McpTool(Ask<Elicitation>),
    /// An MCP server asks something of its own.
    Elicitation(Ask<Elicitation>),
    UserInput(Ask<UserInputRequest>),
}

impl Open {
    /// The request as a question; gives it back if a person has no part in it.
    pub(crate) fn new(request: ServerRequest) -> Result<Self, Box<ServerRequest>> {
        Ok(match request {
            ServerRequest::CommandApproval(ask) => Self::Command(ask),
            ServerRequest::FileChangeApproval(ask) => Self::FileChange(ask),
            ServerRequest::PermissionsApproval(ask) => Self::Permissions(ask),
            ServerRequest::Elicitation(ask) if ask.params.tool_call().is_some() => {
                Self::McpTool(ask)
            }
            ServerRequest::Elicitation(ask) if elicitation::fields(&ask.params).is_some() => {
                Self::Elicitation(ask)
            }
            ServerRequest::UserInput(ask) if !ask.params.questions.is_empty() => {
                Self::UserInput(ask)
            }
            request => return Err(Box::new(request)),
        })
    }

    /// The question; `None` if Codex's own ids make no id of ours.
    ///
    /// `patch` is what is known of the patch that is asked about.
    pub(crate) fn question(&self, patch: impl Fn(&str) -> Option<String>) -> Option<Question> {
        let (id, fields) = match self {
            Self::Command(ask) => {
                let command = crate::tools::unwrapped(ask.params.command.as_deref()?);
                let text = text([
                    Some(format!("May this command run?\n\n```\n{command}\n```")),
                    ask.params.reason.clone(),
                ]);
                (ask.id(), vec![Permission::field(text, true)])
            }
            Self::FileChange(ask) => {
                let root = ask.params.grant_root.as_ref();
                let text = text([
                    Some("May these changes be made?".to_owned()),
                    patch(ask.params.item_id.as_str()),
                    root.map(|root| format!("`{}` would become writable.", root.display())),
                    ask.params.reason.clone(),
                ]);
                (ask.id(), vec![Permission::field(text, true)])
            }
            Self::Permissions(ask) => {
                let text = text([
                    Some("May the agent have more rights?".to_owned()),
                    Some(format!("```\n{}\n```", ask.params.permissions.get())),
                    ask.params.reason.clone(),
                ]);
                (ask.id(), vec![Permission::field(text, true)])
            }
            Self::McpTool(ask) => {
                let (tool, server) = (ask.params.tool_call()?, &ask.params.server_name);
                let text = text([
                    Some(format!("May the tool `{tool}` of `{server}` be called?")),
                    Some(ask.params.message.clone()),
                ]);
                (ask.id(), vec![Permission::field(text, false)])
            }
            Self::Elicitation(ask) => (ask.id(), elicitation::fields(&ask.params)?),
            Self::UserInput(ask) => (
                ask.id(),
                ask.params.questions.iter().flat_map(asked).collect(),
            ),
        };
        Some(Question {
            call: ToolCallId::new(format!("{OURS}{}-{id}", self.turn())).ok()?,
            form: Form::Fields(fields),
        })
    }

    /// How long it can be answered, if Codex says so.
    pub(crate) fn limit(&self) -> Option<Duration> {
        match self {
            Self::UserInput(ask) => ask.params.auto_resolution_ms.map(Duration::from_millis),
            Self::Command(_)
            | Self::FileChange(_)
            | Self::Permissions(_)
            | Self::McpTool(_)
            | Self::Elicitation(_) => None,
        }
    }

    fn turn(&self) -> &str {
        match self {
            Self::Command(ask) => ask.params.turn_id.as_str(),
            Self::FileChange(ask) => ask.params.turn_id.as_str(),
            Self::Permissions(ask) => ask.params.turn_id.as_str(),
            Self::UserInput(ask) => ask.params.turn_id.as_str(),
            Self::McpTool(ask) | Self::Elicitation(ask) => {
                let turn = ask.params.turn_id.as_ref();
                turn.map_or(ask.params.thread_id.as_str(), |turn| turn.as_str())
            }
        }
    }

    /// Answers Codex with what the person said.
    pub(crate) fn answer(self, answer: &FormAnswer) {
        let permission = Permission::of(answer);
        match self {
            Self::Command(ask) => ask.answer(&decision(permission).into()),
            Self::FileChange(ask) => ask.answer(&decision(permission).into()),
            Self::Permissions(ask) => {
                let asked = ask.params.permissions.clone();
                let granted = |scope| PermissionsAnswer {
                    permissions: asked,
                    scope,
                };
                ask.answer(&match permission {
                    Permission::Once => granted(GrantScope::Turn),
                    Permission::Session => granted(GrantScope::Session),
                    Permission::Denied => PermissionsAnswer::nothing(),
                });
            }
            Self::McpTool(ask) => ask.answer(&ElicitationAnswer::plain(match permission {
                Permission::Once | Permission::Session => ElicitationAction::Accept,
                Permission::Denied => ElicitationAction::Decline,
            })),
            Self::Elicitation(ask) => {
                let said = elicitation::answer(&ask.params, answer);
                ask.answer(&said);
            }
            Self::UserInput(ask) => {
                let questions = ask.params.questions.iter();
                let answers = questions
                    .map(|question| (question.id.clone(), said(&question.id, answer)))
                    .collect();
                ask.answer(&UserInputAnswer { answers });
            }
        }
    }
}

fn decision(permission: Permission) -> ApprovalDecision {
    match permission {
        Permission::Once => ApprovalDecision::Accept,
        Permission::Session => ApprovalDecision::AcceptForSession,
        Permission::Denied => ApprovalDecision::Decline,
    }
}

/// The parts that are there, as paragraphs.
fn text<const N: usize>(parts: [Option<String>; N]) -> String {
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.trim().is_empty())
        .collect();
    parts.join("\n\n")
}

/// A question of the model's. Where other words than the choices are welcome, they have a field of their own.
fn asked(question: &codex_app_server::protocol::Question) -> Vec<Field> {
    let title = Some(&question.header).filter(|header| !question.question.contains(*header));
    let text = text([title.cloned(), Some(question.question.clone())]);
    let options = question.options.as_deref().unwrap_or_default();
    if options.is_empty() {
        return vec![Field::text(question.id.clone(), text)];
    }
    let choices = options.iter().map(|option| Choice {
        label: if option.description.is_empty() {
            option.label.clone()
        } else {
            format!("{}: {}", option.label, option.description)
        },
        value: option.label.clone(),
    });
    let mut field = Field::choice(question.id.clone(), text, choices);
    field.required = !question.is_other;
    let mut fields = vec![field];
    if question.is_other {
        let mut other = Field::text(format!("{}{OTHER}", question.id), "Or in your own words:");
        other.required = false;
        fields.push(other);
    }
    fields
}

/// The answer to a question of the model's. Own words go before choices.
fn said(id: &str, answer: &FormAnswer) -> QuestionAnswer {
    let own: Vec<String> = answer
        .chosen(&format!("{id}{OTHER}"))
        .iter()
        .filter(|text| !text.trim().is_empty())
        .cloned()
        .collect();
    QuestionAnswer {
        answers: if own.is_empty() {
            answer.chosen(id).to_vec()
        } else {
            own
        },
    }
}
