//! What the CLI asks us, and our answers.
//!
//! Every question is answered at once, also one that is not understood: the CLI waits for ever otherwise. What only the
//! person can answer is put off: the call is denied, or deferred where it is a form's, and the turn ends with it. The
//! answer comes with a later turn.

use std::collections::HashSet;

use agent_core::{FORM_TOOL, Permission, Question};
use serde_json::Value;

use crate::{
    Access,
    answer::Standing,
    protocol::{
        Block, ControlRequest, HookAnswer, Hooks, Message, PermissionAnswer, Reply, RequestFromCli,
    },
    questions::{self, ASK_USER, EXIT_PLAN},
};

/// The person's side of a conversation: who is asked what, and what has been allowed.
pub(crate) struct Host {
    access: Access,
    /// What holds for the turn that runs.
    standing: Standing,
    /// Calls of the form tool that the model made in this process; others were put off by an earlier one.
    forms: HashSet<String>,
    /// The plan that the model wrote last. 2.1.329 leaves it out of its question.
    plan: Option<String>,
    /// Tools that the person allowed for the whole conversation.
    allowed: HashSet<String>,
    asked: Option<Question>,
}

impl Host {
    /// Nobody has been asked anything.
    pub(crate) fn new(access: Access) -> Self {
        Self {
            access,
            standing: Standing::default(),
            forms: HashSet::new(),
            plan: None,
            allowed: HashSet::new(),
            asked: None,
        }
    }

    /// A new turn begins.
    pub(crate) fn begin(&mut self, standing: Standing) {
        if let Some((tool, Permission::Session)) = &standing.permission {
            self.allowed.insert(tool.clone());
        }
        self.standing = standing;
        self.asked = None;
    }

    /// What the person was asked in this turn.
    pub(crate) fn take_asked(&mut self) -> Option<Question> {
        self.asked.take()
    }

    /// The hooks by which the CLI asks us before it makes a form's call.
    pub(crate) fn hooks() -> Hooks {
        Hooks::before(format!("mcp__.*{FORM_TOOL}.*"))
    }

    /// Takes note of a message.
    pub(crate) fn see(&mut self, message: &Message) {
        let Message::Assistant(line) = message else {
            return;
        };
        for block in &line.message.content {
            let Block::ToolUse { id, name, input } = block else {
                continue;
            };
            if name.contains(FORM_TOOL) {
                self.forms.insert(id.clone());
            } else if name == EXIT_PLAN {
                self.plan = questions::plan_of(input);
            }
        }
    }

    /// The answer to a question.
    pub(crate) fn answer(&mut self, request: ControlRequest) -> Reply {
        let id = request.request_id;
        match request.request {
            RequestFromCli::CanUseTool {
                tool_name,
                input,
                tool_use_id,
            } => Reply::permission(id, self.permission(&tool_name, input, &tool_use_id)),
            RequestFromCli::HookCallback { tool_use_id } => {
                // A CLI that resumes a conversation takes up what was put off before it says anything else.
                let answer = if self.forms.contains(&tool_use_id) {
                    HookAnswer::Defer
                } else {
                    HookAnswer::Deny {
                        reason: self.standing.replayed.clone(),
                    }
                };
                Reply::hook(id, answer)
            }
            RequestFromCli::Unknown => {
                Reply::refusal(id, "this host does not serve requests of this kind")
            }
        }
    }

    fn permission(&mut self, tool: &str, input: Value, call: &str) -> PermissionAnswer {
        let verdict = self.verdict(tool, &input, call);
        tracing::info!(tool, ?verdict, "claude asks for permission");
        let deny = |message: &str, interrupt| PermissionAnswer::Deny {
            message: message.to_owned(),
            interrupt,
        };
        match verdict {
            Verdict::Allowed => PermissionAnswer::Allow {
                updated_input: input,
            },
            Verdict::Denied(why) => deny(why, false),
            Verdict::Asked(question) => {
                // Of several calls at once the first is asked about; the turn ends with it.
                self.asked.get_or_insert(*question);
                deny(
                    "The user has been asked. The answer comes with the next message.",
                    true,
                )
            }
        }
    }

    fn verdict(&mut self, tool: &str, input: &Value, call: &str) -> Verdict {
        match tool {
            ASK_USER => match questions::of_asking(input, call) {
                Some(question) => Verdict::Asked(Box::new(question)),
                None => {
                    Verdict::Denied("A question needs a text and at least one option. Ask again.")
                }
            },
            EXIT_PLAN => match questions::plan_of(input).or_else(|| self.plan.take()) {
                Some(plan) => Verdict::Asked(Box::new(questions::of_plan(plan, call))),
                None => Verdict::Denied("There is no plan to approve yet. Write one first."),
            },
            _ if self.is_allowed(tool) => Verdict::Allowed,
            _ if self.standing.asks => {
                Verdict::Asked(Box::new(questions::of_permission(tool, input, call)))
            }
            _ if self.access == Access::WorkspaceWrite => Verdict::Denied(
                "This is not permitted here, and nobody can be asked. Work within the working folder.",
            ),
            _ => Verdict::Allowed,
        }
    }

    /// Whether the person has allowed it; once counts once.
    fn is_allowed(&mut self, tool: &str) -> bool {
        if self.allowed.contains(tool) {
            return true;
        }
        let once = |(allowed, permission): &mut (String, Permission)| {
            allowed == tool && *permission == Permission::Once
        };
        self.standing.permission.take_if(once).is_some()
    }
}

/// What becomes of a call.
#[derive(Debug)]
enum Verdict {
    Allowed,
    /// Not; what the model is told.
    Denied(&'static str),
    /// The person decides.
    Asked(Box<Question>),
}

#[cfg(test)]
mod tests {
    use agent_core::Form;
    use serde_json::json;

    use super::*;

    fn host(access: Access, asks: bool) -> Host {
        let mut host = Host::new(access);
        host.begin(Standing {
            asks,
            ..Standing::default()
        });
        host
    }

    fn ask(host: &mut Host, request: Value) -> Value {
        let line = json!({"type": "control_request", "request_id": "1", "request": request});
        let Ok(Message::ControlRequest(request)) = Message::parse(line.to_string().as_bytes())
        else {
            panic!("no request");
        };
        serde_json::to_value(host.answer(request)).unwrap()["response"].clone()
    }

    fn bash() -> Value {
        json!({"subtype": "can_use_tool", "tool_name": "Bash", "tool_use_id": "t1", "input": {"command": "ls"}})
    }

    #[test]
    fn every_question_is_answered() {
        let mut full = host(Access::Full, false);
        let allowed = ask(&mut full, bash());
        assert_eq!(allowed["response"]["behavior"], "allow");
        assert_eq!(allowed["response"]["updatedInput"]["command"], "ls");
        let mut narrow = host(Access::WorkspaceWrite, false);
        assert_eq!(ask(&mut narrow, bash())["response"]["behavior"], "deny");
        assert!(narrow.take_asked().is_none(), "nobody can be asked there");
        let mut narrow = host(Access::WorkspaceWrite, true);
        ask(&mut narrow, bash());
        assert!(narrow.take_asked().is_some());
        assert_eq!(
            ask(&mut full, json!({"subtype": "new"}))["subtype"],
            "error"
        );
        let odd = json!({"subtype": "can_use_tool", "tool_name": ASK_USER, "input": {}});
        assert_eq!(ask(&mut full, odd)["response"]["behavior"], "deny");
        assert!(full.take_asked().is_none());
    }

    #[test]
    fn in_a_mode_that_asks_the_person_decides() {
        let mut host = host(Access::Full, true);
        let denied = ask(&mut host, bash());
        assert_eq!(denied["response"]["behavior"], "deny");
        assert_eq!(denied["response"]["interrupt"], true);
        let asked = host.take_asked().unwrap();
        assert_eq!(asked.call.as_str(), "permission-Bash-t1");

        let standing = |permission| Standing {
            asks: true,
            permission: Some(("Bash".to_owned(), permission)),
            ..Standing::default()
        };
        host.begin(standing(Permission::Once));
        assert_eq!(ask(&mut host, bash())["response"]["behavior"], "allow");
        assert_eq!(ask(&mut host, bash())["response"]["behavior"], "deny");
        host.begin(standing(Permission::Session));
        host.begin(Standing {
            asks: true,
            ..Standing::default()
        });
        assert_eq!(ask(&mut host, bash())["response"]["behavior"], "allow");
    }

    #[test]
    fn the_questions_of_the_cli_become_a_form() {
        let mut host = host(Access::Full, false);
        let request = json!({"subtype": "can_use_tool", "tool_name": ASK_USER, "tool_use_id": "t2", "input": {"questions": [
            {"question": "Which?", "header": "H", "multiSelect": true, "options": [{"label": "A", "description": "first"}, {"label": "B"}]},
        ]}});
        assert_eq!(ask(&mut host, request)["response"]["interrupt"], true);
        let asked = host.take_asked().unwrap();
        assert_eq!(asked.call.as_str(), "ask-t2");
        let Form::Fields(fields) = asked.form else {
            panic!("fields");
        };
        assert_eq!((fields[0].id.as_str(), fields[0].several), ("Which?", true));
        let choices: Vec<_> = fields[0]
            .choices
            .iter()
            .map(|c| (c.label.as_str(), c.value.as_str()))
            .collect();
        assert_eq!(choices, [("A: first", "A"), ("B", "B")]);
    }

    #[test]
    fn a_plan_becomes_a_form_also_where_the_question_leaves_it_out() {
        let request = |input: Value| json!({"subtype": "can_use_tool", "tool_name": EXIT_PLAN, "tool_use_id": "t4", "input": input});
        let text = |host: &mut Host| {
            let asked = host.take_asked().unwrap();
            assert_eq!(asked.call.as_str(), "plan-t4");
            let Form::Fields(fields) = asked.form else {
                panic!("fields");
            };
            fields[0].text.clone()
        };
        let mut host = host(Access::Full, false);
        let nothing = ask(&mut host, request(json!({})));
        assert_eq!(nothing["response"]["behavior"], "deny");
        assert!(host.take_asked().is_none());
        ask(&mut host, request(json!({"plan": "look"})));
        assert!(text(&mut host).ends_with("look"));
        let line = json!({"type": "assistant", "message": {"id": "m", "content": [
            {"type": "tool_use", "id": "t4", "name": EXIT_PLAN, "input": {"plan": "act"}}]}});
        host.see(&Message::parse(line.to_string().as_bytes()).unwrap());
        ask(&mut host, request(json!({})));
        assert!(text(&mut host).ends_with("act"));
    }

    #[test]
    fn a_form_is_put_off_and_one_of_an_earlier_process_is_not_put_off_again() {
        let mut host = host(Access::Full, false);
        let line = json!({"type": "assistant", "message": {"id": "m", "content": [
            {"type": "tool_use", "id": "t3", "name": "mcp__f__interactive_form_question", "input": {}}]}});
        host.see(&Message::parse(line.to_string().as_bytes()).unwrap());
        let hook = |call: &str| json!({"subtype": "hook_callback", "callback_id": "form", "input": {}, "tool_use_id": call});
        let decision =
            |reply: Value| reply["response"]["hookSpecificOutput"]["permissionDecision"].clone();
        assert_eq!(decision(ask(&mut host, hook("t3"))), "defer");
        assert_eq!(decision(ask(&mut host, hook("t0"))), "deny");
    }
}
