//! Questions of the real CLI to the person.

use std::time::Duration;

use agent_core::{
    Agent, AgentError, AgentEvent, AnswerStatus, AnswerValue, Form, FormAnswer, Outcome,
    Permission, Prompt, Question, ToolCallId, Turn,
};
use codex_agent::{Access, Approvals, CodexConfig};
use testkit::{ModelServer, model::Options, procs};

use crate::stage::{Stage, text, turn};

type Ran = (Vec<AgentEvent>, Result<Outcome, AgentError>);

/// A real CLI that asks, and its model.
struct Scene {
    stage: Stage,
    model: ModelServer,
}

impl Scene {
    async fn new(test: &str, approvals: Approvals, access: Access) -> Option<Self> {
        Self::with(test, |config| {
            config.approvals = approvals;
            config.access = access;
        })
        .await
    }

    async fn with(test: &str, change: impl FnOnce(&mut CodexConfig)) -> Option<Self> {
        let codex = testkit::cli::require_codex(test)?;
        let model = ModelServer::start(Options::default()).await.unwrap();
        let stage = Stage::new(&codex, change);
        Some(Self { stage, model })
    }

    fn turn(&self, prompt: &str) -> Turn {
        turn(prompt, Some(self.model.base_url()))
    }

    async fn run(&self, prompt: &str) -> Ran {
        self.stage.run(&self.turn(prompt)).await
    }

    async fn answer(&self, call: &ToolCallId, answers: &[(&str, &str)]) -> Ran {
        let mut turn = self.turn("");
        turn.prompt = Prompt::text("(an answer)");
        turn.answer = Some(answered(call, answers));
        self.stage.run(&turn).await
    }

    fn made(&self, name: &str) -> bool {
        self.stage.workspace.cwd.join(name).exists()
    }
}

fn answered(call: &ToolCallId, answers: &[(&str, &str)]) -> FormAnswer {
    let one = |(id, text): &(&str, &str)| ((*id).to_owned(), AnswerValue::One((*text).into()));
    FormAnswer {
        kind: "interactive_form_question".into(),
        call: call.clone(),
        task: None,
        subtask: None,
        status: AnswerStatus::Answered,
        answers: answers.iter().map(one).collect(),
        message: None,
    }
}

/// The question with which a turn ended.
fn asked((events, result): &Ran) -> Question {
    let Ok(Outcome::WaitingForUser { call, session, .. }) = result else {
        panic!("{result:?}")
    };
    assert!(session.is_some());
    match events.last() {
        Some(AgentEvent::Question(question)) => {
            assert_eq!(question.call, *call);
            question.clone()
        }
        other => panic!("{other:?}"),
    }
}

/// The texts of a question.
fn texts(question: &Question) -> String {
    let Form::Fields(fields) = &question.form else {
        panic!("{question:?}")
    };
    let texts: Vec<&str> = fields.iter().map(|field| field.text.as_str()).collect();
    texts.join("\n")
}

fn completed((_, result): &Ran) -> &str {
    match result {
        Ok(Outcome::Completed(done)) => &done.text,
        other => panic!("{other:?}"),
    }
}

const YES: &[(&str, &str)] = &[(Permission::FIELD, "allow")];
const NO: &[(&str, &str)] = &[(Permission::FIELD, "deny")];

#[tokio::test]
async fn a_command_waits_for_the_person_and_the_turn_goes_on_with_the_answer() {
    let test = "a_command_waits_for_the_person_and_the_turn_goes_on_with_the_answer";
    let Some(scene) = Scene::new(test, Approvals::Untrusted, Access::Full).await else {
        return;
    };
    for (answer, file) in [(YES, "yes"), (NO, "no")] {
        let prompt = format!("#script:shell #cmd:touch {file}");
        let asking = scene.run(&prompt).await;
        let question = asked(&asking);
        assert!(
            texts(&question).contains(&format!("touch {file}")),
            "{question:?}"
        );
        assert!(!scene.made(file));
        let goes_on = scene.answer(&question.call, answer).await;
        assert!(
            completed(&goes_on).starts_with("The command said:"),
            "{goes_on:?}"
        );
        assert_eq!(scene.made(file), answer == YES);
        // The words before the question are not said again.
        assert_eq!(text(&goes_on.0), completed(&goes_on));
    }
    assert_eq!(scene.model.spoken().tools().count(), 2);
}

#[tokio::test]
async fn a_patch_waits_for_the_person() {
    let test = "a_patch_waits_for_the_person";
    let Some(scene) = Scene::new(test, Approvals::Untrusted, Access::Full).await else {
        return;
    };
    let question = asked(&scene.run("#script:patch").await);
    assert!(texts(&question).contains("hello_model.txt"), "{question:?}");
    let goes_on = scene.answer(&question.call, YES).await;
    completed(&goes_on);
    assert!(scene.made("hello_model.txt"));
}

#[tokio::test]
async fn what_the_model_wants_to_know_is_asked() {
    let test = "what_the_model_wants_to_know_is_asked";
    let Some(scene) = Scene::new(test, Approvals::OnRequest, Access::Full).await else {
        return;
    };
    let question = asked(&scene.run("#script:ask").await);
    assert!(texts(&question).contains("Which color?"), "{question:?}");
    let goes_on = scene.answer(&question.call, &[("color", "Blue")]).await;
    assert!(completed(&goes_on).contains("Blue"), "{goes_on:?}");
}

#[tokio::test]
async fn another_word_instead_of_an_answer_ends_the_turn_that_asked() {
    let test = "another_word_instead_of_an_answer_ends_the_turn_that_asked";
    let Some(scene) = Scene::new(test, Approvals::Untrusted, Access::Full).await else {
        return;
    };
    let question = asked(&scene.run("first #script:shell #cmd:touch made").await);
    let next = scene.run("second #script:remember").await;
    assert!(completed(&next).contains("first"), "{next:?}");
    assert_eq!(text(&next.0), completed(&next));
    assert!(!scene.made("made"));
    // The answer to a question that has lapsed is a word like any other.
    let late = scene.answer(&question.call, YES).await;
    completed(&late);
    let said = scene.model.requests().last().unwrap().user_texts();
    let last = said.last().unwrap();
    assert!(
        last.contains("answer to what you asked") && last.contains("allow"),
        "{last}"
    );
    assert!(!scene.made("made"));
}

#[tokio::test]
async fn after_a_restart_an_answer_goes_in_as_text() {
    let test = "after_a_restart_an_answer_goes_in_as_text";
    let Some(scene) = Scene::new(test, Approvals::Untrusted, Access::Full).await else {
        return;
    };
    let question = asked(&scene.run("first #script:shell #cmd:touch made").await);
    scene.stage.agent.shutdown().await;
    procs::wait_until_gone(|| scene.stage.processes(), Duration::from_secs(4))
        .await
        .unwrap();
    let late = scene.answer(&question.call, YES).await;
    completed(&late);
    let said = scene.model.requests().last().unwrap().user_texts();
    assert!(
        said.iter().any(|text| text.starts_with("first")),
        "{said:?}"
    );
    assert!(said.last().unwrap().contains("allow"), "{said:?}");
    assert!(!scene.made("made"));
}

#[tokio::test]
async fn a_sub_agents_command_waits_for_the_person_too() {
    let test = "a_sub_agents_command_waits_for_the_person_too";
    let Some(scene) = Scene::new(test, Approvals::Untrusted, Access::Full).await else {
        return;
    };
    let prompt = r"#script:subagent #cmd:#script:shell\n#cmd:touch below";
    let question = asked(&scene.run(prompt).await);
    let goes_on = scene.answer(&question.call, YES).await;
    assert_eq!(completed(&goes_on), "The sub-agent is done.");
    assert_eq!(text(&goes_on.0), "The sub-agent is done.");
    assert!(scene.made("below"));
}

#[tokio::test]
async fn without_a_policy_that_asks_nobody_is_asked() {
    let test = "without_a_policy_that_asks_nobody_is_asked";
    let Some(scene) = Scene::new(test, Approvals::Never, Access::Full).await else {
        return;
    };
    for (script, file) in [
        ("shell #cmd:touch made", "made"),
        ("patch", "hello_model.txt"),
    ] {
        completed(&scene.run(&format!("#script:{script}")).await);
        assert!(scene.made(file), "{script}");
    }
    let told = scene.run("#script:ask").await;
    assert!(completed(&told).starts_with("You said:"), "{told:?}");
}

/// What the fake CLI was answered, as it says it.
async fn settled(access: Access, method: &str, params: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let binary = testkit::roles::install_fake_codex(folder.path()).unwrap();
    let stage = Stage::new(&binary, |config| config.access = access);
    let asked = turn(&format!("#fake:ask {method} {params}"), None);
    completed(&stage.run(&asked).await).to_owned()
}

#[tokio::test]
async fn what_is_asked_although_nobody_should_be_is_settled_by_the_access() {
    let tool = r#"{"serverName": "demo", "_meta": {"codex_approval_kind": "mcp_tool_call", "tool_name": "echo"}}"#;
    let rights = r#"{"permissions": {"network": {"enabled": true}}}"#;
    for (method, params, full, workspace) in [
        (
            "item/commandExecution/requestApproval",
            r#"{"command": "ls"}"#,
            r#"{"decision":"accept"}"#,
            r#"{"decision":"decline"}"#,
        ),
        (
            "item/fileChange/requestApproval",
            "{}",
            r#"{"decision":"accept"}"#,
            r#"{"decision":"decline"}"#,
        ),
        (
            "item/permissions/requestApproval",
            rights,
            r#"{"permissions":{"network":{"enabled":true}},"scope":"turn"}"#,
            r#"{"permissions":{},"scope":"turn"}"#,
        ),
        (
            "mcpServer/elicitation/request",
            tool,
            r#"{"action":"accept","content":{}}"#,
            r#"{"action":"decline","content":{}}"#,
        ),
    ] {
        assert_eq!(settled(Access::Full, method, params).await, full);
        assert_eq!(
            settled(Access::WorkspaceWrite, method, params).await,
            workspace
        );
    }
}

#[tokio::test]
async fn a_request_that_nobody_knows_is_answered_with_an_error_at_once() {
    for method in [
        "item/hologram/requestApproval",
        "item/tool/call",
        "currentTime/read",
    ] {
        let answer = settled(Access::Full, method, r#"{"tool": "t", "callId": "c"}"#).await;
        assert!(answer.contains(r#""code":"#), "{method}: {answer}");
    }
}

#[tokio::test]
async fn a_question_with_fields_of_an_mcp_server_is_a_form() {
    let (stage, _cli) = Stage::with_fake();
    let schema = r#"{"serverName": "demo", "message": "Who?", "requestedSchema": {"type": "object", "properties": {"age": {"type": "integer"}}}}"#;
    let asking = stage
        .run(&turn(
            &format!("#fake:ask mcpServer/elicitation/request {schema}"),
            None,
        ))
        .await;
    let question = asked(&asking);
    assert!(texts(&question).contains("Who?"), "{question:?}");
    let mut answer = turn("(an answer)", None);
    answer.answer = Some(answered(&question.call, &[("age", "36")]));
    let goes_on = stage.run(&answer).await;
    assert_eq!(
        completed(&goes_on),
        r#"{"action":"accept","content":{"age":36}}"#
    );
}

#[tokio::test]
async fn a_question_lapses_at_the_time_that_codex_sets() {
    let (stage, _cli) = Stage::with_fake();
    let ask = r#"#fake:ask item/tool/requestUserInput {"questions": [{"id": "q", "question": "Which?"}], "autoResolutionMs": 100}"#;
    let question = asked(&stage.run(&turn(ask, None)).await);
    procs::wait_until_gone(|| stage.processes(), Duration::from_secs(60))
        .await
        .unwrap();
    let mut answer = turn("(an answer)", None);
    answer.answer = Some(answered(&question.call, &[("q", "that one")]));
    let late = stage.run(&answer).await;
    assert!(completed(&late).contains("that one"), "{late:?}");
}

#[tokio::test]
async fn a_question_has_a_time_of_its_own_in_which_it_can_be_answered() {
    let test = "a_question_has_a_time_of_its_own_in_which_it_can_be_answered";
    for (idle, question) in [(0, 3600), (3600, 0)] {
        let scene = Scene::with(test, |config| {
            config.approvals = Approvals::Untrusted;
            config.idle = Duration::from_secs(idle);
            config.question = Duration::from_secs(question);
        });
        let Some(scene) = scene.await else { return };
        let ran = scene.run("run #script:shell #cmd:touch made").await;
        let call = asked(&ran).call;
        if question == 0 {
            let task = scene.turn("").key.task;
            let lapsed = async {
                while scene.stage.agent.has_session(task).await {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let patience = Duration::from_secs(60);
            tokio::time::timeout(patience, lapsed).await.unwrap();
        }
        let (events, result) = scene.answer(&call, &[("permission", "allow")]).await;
        assert!(matches!(result, Ok(Outcome::Completed(_))), "{result:?}");
        assert_eq!(scene.made("made"), question > 0, "{events:?}");
    }
}
