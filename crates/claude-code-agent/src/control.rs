//! What the CLI asks us, and our answers.
//!
//! Every question is answered at once, also one that is not understood: the CLI waits for ever otherwise. Nobody is
//! there to be asked, so the answer is a matter of configuration.

use crate::{
    Access,
    protocol::{ControlRequest, PermissionAnswer, Reply, RequestFromCli},
};

/// The tool that asks the person. It is not offered; were it called all the same, it would be answered like this.
pub(crate) const ASK_USER: &str = "AskUserQuestion";

/// The answer to a question.
pub(crate) fn answer(request: ControlRequest, access: Access) -> Reply {
    let id = request.request_id;
    match request.request {
        RequestFromCli::CanUseTool { tool_name, input } => {
            let answer = match refusal(&tool_name, access) {
                None => PermissionAnswer::Allow {
                    updated_input: input,
                },
                Some(message) => PermissionAnswer::Deny {
                    message: message.to_owned(),
                },
            };
            tracing::info!(
                tool_name,
                ?access,
                allowed = matches!(answer, PermissionAnswer::Allow { .. }),
                "claude asks for permission"
            );
            Reply::permission(id, answer)
        }
        RequestFromCli::HookCallback => Reply::nothing(id),
        RequestFromCli::Unknown => {
            Reply::refusal(id, "this host does not serve requests of this kind")
        }
    }
}

/// Why a tool may not run; what the model is told.
fn refusal(tool: &str, access: Access) -> Option<&'static str> {
    match (tool, access) {
        (ASK_USER, _) => Some(
            "Nobody can answer this while you work. Decide yourself, or put the question into your answer.",
        ),
        ("ExitPlanMode", _) => Some(
            "The plan has been shown to the user, who will answer in the next message. Stop here.",
        ),
        (_, Access::Full) => None,
        (_, Access::WorkspaceWrite) => Some(
            "This is not permitted here, and nobody can be asked. Work within the working folder.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Message;

    fn asked(request: &str, access: Access) -> serde_json::Value {
        let line = format!(r#"{{"type":"control_request","request_id":"1","request":{request}}}"#);
        let Ok(Message::ControlRequest(request)) = Message::parse(line.as_bytes()) else {
            panic!("no request");
        };
        serde_json::to_value(answer(request, access)).unwrap()["response"].clone()
    }

    #[test]
    fn every_question_is_answered() {
        let bash = r#"{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"ls"}}"#;
        let full = asked(bash, Access::Full);
        assert_eq!(full["response"]["behavior"], "allow");
        assert_eq!(full["response"]["updatedInput"]["command"], "ls");
        assert_eq!(
            asked(bash, Access::WorkspaceWrite)["response"]["behavior"],
            "deny"
        );
        let ask = r#"{"subtype":"can_use_tool","tool_name":"AskUserQuestion","input":{}}"#;
        assert_eq!(asked(ask, Access::Full)["response"]["behavior"], "deny");
        let hook = r#"{"subtype":"hook_callback","callback_id":"x","input":{}}"#;
        assert_eq!(asked(hook, Access::Full)["subtype"], "success");
        assert_eq!(
            asked(r#"{"subtype":"new"}"#, Access::Full)["subtype"],
            "error"
        );
    }
}
