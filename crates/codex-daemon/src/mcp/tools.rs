//! The tools by name, and what they are called with.

use std::path::PathBuf;

use rmcp::model::{JsonObject, Tool};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::protocol::{Ask, Configure, Operation, SessionName, Settings, Target};

/// What a model is told of the server.
pub(super) const INSTRUCTIONS: &str = "Codex, another coding agent, kept warm on this machine. `codex_ask` asks it in the \
    session of a folder; it remembers the conversation, can read and change the folder's files, and may take minutes.";

/// A call that can be served.
#[derive(Debug, PartialEq)]
pub(super) enum Call {
    /// A question, whose progress is told of.
    Ask(Ask),
    /// Anything else: its answer is shown as it is.
    Other(Operation),
}

/// Why a call can't be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadCall {
    #[error("there is no tool `{0}`")]
    Unknown(String),
    /// Names the argument.
    #[error("{0}")]
    Arguments(#[source] serde_json::Error),
    #[error("`cwd`: `{}` is not an absolute path", .0.display())]
    Relative(PathBuf),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskArguments {
    question: String,
    session: Option<SessionName>,
    cwd: Option<PathBuf>,
}

fn read<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, BadCall> {
    serde_json::from_value(Value::Object(arguments)).map_err(BadCall::Arguments)
}

/// The session that is named, or that of the server's own folder.
fn place(
    session: Option<SessionName>,
    cwd: Option<PathBuf>,
    home: &Target,
) -> Result<Target, BadCall> {
    match cwd {
        Some(cwd) if cwd.is_relative() => Err(BadCall::Relative(cwd)),
        Some(cwd) => Ok(Target {
            session,
            cwd: Some(cwd),
        }),
        None => Ok(Target {
            session,
            cwd: home.cwd.clone(),
        }),
    }
}

impl Call {
    /// Reads a call.
    pub(super) fn parse(tool: &str, arguments: JsonObject, home: &Target) -> Result<Self, BadCall> {
        let target = |arguments| {
            let Target { session, cwd } = read(arguments)?;
            place(session, cwd, home)
        };
        Ok(Self::Other(match tool {
            "codex_ask" => {
                let AskArguments {
                    question,
                    session,
                    cwd,
                } = read(arguments)?;
                return Ok(Self::Ask(Ask::new(place(session, cwd, home)?, question)));
            }
            "codex_config" => {
                let change: Configure = read(arguments)?;
                let Target { session, cwd } = place(change.session, change.cwd, home)?;
                Operation::Configure(Configure {
                    session,
                    cwd,
                    ..change
                })
            }
            "codex_status" => {
                let Empty {} = read(arguments)?;
                Operation::Status {}
            }
            "codex_session" => Operation::Show(target(arguments)?),
            "codex_reset" => Operation::Reset(target(arguments)?),
            "codex_interrupt" => Operation::Interrupt(target(arguments)?),
            unknown => return Err(BadCall::Unknown(unknown.to_owned())),
        }))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

fn schema(mut properties: Value, required: &[&str], in_a_session: bool) -> JsonObject {
    if in_a_session && let Some(all) = properties.as_object_mut() {
        let name = "The session's name. Default: the session of the folder";
        all.insert(
            "session".into(),
            json!({"type": "string", "description": name}),
        );
        let cwd = "The folder Codex works in, as an absolute path. Default: the one this server was started in";
        all.insert("cwd".into(), json!({"type": "string", "description": cwd}));
    }
    let schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    match schema {
        Value::Object(schema) => schema,
        _ => JsonObject::new(),
    }
}

/// Every tool.
pub(super) fn all() -> Vec<Tool> {
    let switch = |about: &str| json!({"type": "boolean", "description": about});
    let question = json!({"question": {"type": "string", "description": "What to say to Codex"}});
    let settings = json!({
        "effort": {"type": "string", "enum": Settings::EFFORTS, "description": "How hard Codex thinks"},
        "model": {"type": "string", "description": "The model's id"},
        "reasoning": switch("Whether its reasoning is told of as progress"),
        "final_only": switch("Whether only the final answer is told of"),
    });
    vec![
        Tool::new(
            "codex_ask",
            "Ask Codex and wait for its answer",
            schema(question, &["question"], true),
        ),
        Tool::new(
            "codex_config",
            "Change a session's settings; what is left out stays as it is",
            schema(settings, &[], true),
        ),
        Tool::new(
            "codex_status",
            "Show how the daemon and Codex are",
            schema(json!({}), &[], false),
        ),
        Tool::new(
            "codex_session",
            "Show a session: its settings, what runs and waits, its last questions",
            schema(json!({}), &[], true),
        ),
        Tool::new(
            "codex_reset",
            "Let a session's conversation begin anew",
            schema(json!({}), &[], true),
        ),
        Tool::new(
            "codex_interrupt",
            "Stop what a session is doing, and what waits in it",
            schema(json!({}), &[], true),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(tool: &str, arguments: Value) -> Result<Call, BadCall> {
        let Value::Object(arguments) = arguments else {
            panic!("{arguments}");
        };
        Call::parse(tool, arguments, &Target::of_folder("/home/me"))
    }

    #[test]
    fn a_call_is_for_the_servers_folder_unless_it_says_otherwise() {
        let Call::Ask(ask) = parse("codex_ask", json!({"question": "why?"})).unwrap() else {
            panic!("no question");
        };
        assert_eq!(
            (ask.question.as_str(), ask.cwd),
            ("why?", Some("/home/me".into()))
        );
        let reset = parse("codex_reset", json!({"cwd": "/work"})).unwrap();
        assert_eq!(
            reset,
            Call::Other(Operation::Reset(Target::of_folder("/work")))
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (tool, arguments, hint) in [
            ("codex_ask", json!({}), "question"),
            (
                "codex_ask",
                json!({"question": "?", "sesion": "a"}),
                "sesion",
            ),
            ("codex_config", json!({"reasoning": "on"}), "boolean"),
            ("codex_reset", json!({"cwd": "here"}), "absolute"),
            ("codex_status", json!({"x": 1}), "unknown field"),
            ("codex_fly", json!({}), "codex_fly"),
        ] {
            let error = parse(tool, arguments).unwrap_err().to_string();
            assert!(error.contains(hint), "{tool}: {error}");
        }
    }

    #[test]
    fn every_tool_that_is_offered_can_be_called() {
        for tool in all() {
            let arguments = match &*tool.name {
                "codex_ask" => json!({"question": "?"}),
                _ => json!({}),
            };
            assert!(parse(&tool.name, arguments).is_ok(), "{}", tool.name);
        }
    }
}
