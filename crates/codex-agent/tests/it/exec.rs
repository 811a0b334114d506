//! A Codex whose app-server can't be talked to: the real CLI, behind a script that has none.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use agent_core::{
    Agent, AgentEvent, AnswerStatus, AnswerValue, CancelHandle, CancelReason, FormAnswer,
    McpServer, McpTransport, NoticeKind, Outcome, ToolEvent, Turn,
};
use testkit::{FormServer, ModelServer, model::Options, procs};

use crate::stage::{Stage, text, turn};

/// A program that passes everything on to `codex` but the app-server.
fn without_app_server(folder: &Path, codex: &Path) -> std::path::PathBuf {
    let program = folder.join("codex");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = app-server ]; then\n  echo \"error: unrecognized subcommand 'app-server'\" >&2\n  exit 2\nfi\nexec '{}' \"$@\"\n",
        codex.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

async fn stage(test: &str) -> Option<(Stage, ModelServer, tempfile::TempDir)> {
    let codex = testkit::cli::require_codex(test)?;
    let folder = tempfile::tempdir().unwrap();
    let model = ModelServer::start(Options::default()).await.unwrap();
    let stage = Stage::new(&without_app_server(folder.path(), &codex), |_| {});
    Some((stage, model, folder))
}

fn announcements(events: &[AgentEvent]) -> usize {
    let told = |event: &&AgentEvent| matches!(event, AgentEvent::Notice(notice) if notice.kind == NoticeKind::Warning);
    events.iter().filter(told).count()
}

#[tokio::test]
async fn without_an_app_server_turns_run_by_exec_and_that_is_told_once() {
    let test = "without_an_app_server_turns_run_by_exec_and_that_is_told_once";
    let Some((stage, model, _folder)) = stage(test).await else {
        return;
    };
    let ask = |prompt: &str| turn(prompt, Some(model.base_url()));
    let (events, result) = stage.run(&ask("first #script:commentary_tool_final")).await;
    let Ok(Outcome::Completed(done)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(announcements(&events), 1, "{events:?}");
    assert_eq!(text(&events), model.spoken().text());
    assert_eq!(Some(done.text.as_str()), model.spoken().final_text());
    let calls = events
        .iter()
        .filter(|event| matches!(event, AgentEvent::Tool(ToolEvent::Finished { output, .. }) if !output.is_empty()));
    assert_eq!(calls.count(), model.spoken().tools().count(), "{events:?}");
    assert!(done.usage.is_some());
    // The conversation goes on, and nothing is told again.
    let (events, _) = stage.run(&ask("second #script:remember")).await;
    assert_eq!(announcements(&events), 0, "{events:?}");
    assert!(
        text(&events).contains("first #script:"),
        "{}",
        text(&events)
    );
    let requests = model.requests();
    let asked = requests
        .iter()
        .filter(|request| request.path.ends_with("/responses"));
    for request in asked {
        assert_eq!(request.bearer(), Some("sk-agent-test-key"));
    }
}

#[tokio::test]
async fn by_exec_a_tool_finds_no_key_in_any_file_or_process() {
    let test = "by_exec_a_tool_finds_no_key_in_any_file_or_process";
    let Some((stage, model, _folder)) = stage(test).await else {
        return;
    };
    // The command itself must not hold what it looks for.
    let command = "k=sk-agent; grep -rs \"$k-test-key\" \"$TMPDIR\" /proc/[0-9]*/environ | head -c 200; echo searched";
    let prompt = format!("Look. #script:shell\n#cmd:{command}");
    let (events, result) = stage.run(&turn(&prompt, Some(model.base_url()))).await;
    assert!(matches!(result, Ok(Outcome::Completed(_))), "{result:?}");
    let outputs: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::Tool(ToolEvent::Finished { output, .. }) => Some(output.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(outputs, ["searched\n"]);
}

#[tokio::test]
async fn by_exec_a_refused_key_fails_at_once_and_a_cancel_leaves_nothing() {
    let test = "by_exec_a_refused_key_fails_at_once_and_a_cancel_leaves_nothing";
    let Some((stage, model, _folder)) = stage(test).await else {
        return;
    };
    let ask = |prompt: &str| turn(prompt, Some(model.base_url()));
    let (_, result) = stage.run(&ask("Go. #script:err401")).await;
    let error = result.unwrap_err();
    assert_eq!(
        error.class(),
        agent_core::ErrorClass::Unauthorized,
        "{error}"
    );

    let (handle, cancel) = CancelHandle::new();
    let sleeping = ask("Go. #script:shell\n#cmd:sleep 9000");
    let (_, result) = stage
        .run_until(&sleeping, cancel, |event| {
            if matches!(event, AgentEvent::Tool(ToolEvent::Started { .. })) {
                handle.cancel(CancelReason::User);
            }
        })
        .await;
    assert!(
        matches!(result, Ok(Outcome::Cancelled { survivors: 0, .. })),
        "{result:?}"
    );
    procs::wait_until_gone(|| stage.processes(), std::time::Duration::from_secs(5))
        .await
        .unwrap();
    stage.agent.shutdown().await;
}

#[tokio::test]
async fn by_exec_a_form_is_shown_and_its_answer_is_the_next_turns() {
    let test = "by_exec_a_form_is_shown_and_its_answer_is_the_next_turns";
    let Some((stage, model, _folder)) = stage(test).await else {
        return;
    };
    let forms = FormServer::start("exec-form-token").await.unwrap();
    let server = McpServer {
        name: "forms".to_owned(),
        transport: McpTransport::Http {
            url: forms.url(),
            headers: [("Authorization".to_owned(), "Bearer exec-form-token".into())].into(),
        },
        bearer_token_variable: None,
        tool_timeout_seconds: None,
        wants_oauth: false,
    };
    let ask = |prompt: &str| Turn {
        mcp_servers: vec![server.clone()],
        ..turn(prompt, Some(model.base_url()))
    };
    let form = r#"{"questions": [{"id": "where", "question": "Where to?"}]}"#;
    let (events, result) = stage
        .run(&ask(&format!("Ask. #script:form\n#cmd:{form}")))
        .await;
    let Ok(Outcome::WaitingForUser { call, .. }) = &result else {
        panic!("{result:?}: {events:?}")
    };
    assert!(
        matches!(events.last(), Some(AgentEvent::Question(question)) if question.call == *call),
        "{events:?}"
    );
    assert_eq!(forms.calls().len(), 1);
    let mut turn = ask("(the form's answer)");
    turn.answer = Some(FormAnswer {
        kind: "interactive_form_question".into(),
        call: call.clone(),
        task: None,
        subtask: None,
        status: AnswerStatus::Answered,
        answers: [(
            "where".to_owned(),
            AnswerValue::One("here #script:remember".into()),
        )]
        .into(),
        message: None,
    });
    let (events, result) = stage.run(&turn).await;
    assert!(matches!(result, Ok(Outcome::Completed(_))), "{result:?}");
    let said = text(&events);
    assert!(
        said.contains("Ask. #script:form") && said.contains("here"),
        "{said}"
    );
    assert_eq!(forms.calls().len(), 1, "it is not shown again");
    stage.agent.shutdown().await;
}

#[tokio::test]
async fn by_exec_an_answer_by_a_schema_is_asked_for() {
    let test = "by_exec_an_answer_by_a_schema_is_asked_for";
    let Some((stage, model, _folder)) = stage(test).await else {
        return;
    };
    let mut turn = turn("Go. #script:text", Some(model.base_url()));
    let schema =
        serde_json::json!({"type": "object", "properties": {}, "additionalProperties": false});
    turn.options.output_schema = Some(schema.clone());
    let (_, result) = stage.run(&turn).await;
    assert!(matches!(result, Ok(Outcome::Completed(_))), "{result:?}");
    assert_eq!(model.requests()[0].body["text"]["format"]["schema"], schema);
}

#[tokio::test]
async fn by_exec_a_conversation_that_has_gone_is_begun_anew_and_that_is_told() {
    let test = "by_exec_a_conversation_that_has_gone_is_begun_anew_and_that_is_told";
    let Some((stage, model, _folder)) = stage(test).await else {
        return;
    };
    let ask = |prompt: &str| turn(prompt, Some(model.base_url()));
    stage.run(&ask("first #script:text")).await.1.unwrap();
    fs::remove_dir_all(stage.workspace.state.join("codex/sessions")).unwrap();
    let (events, result) = stage.run(&ask("second #script:remember")).await;
    assert!(matches!(result, Ok(Outcome::Completed(_))), "{result:?}");
    let fresh = |event: &AgentEvent| matches!(event, AgentEvent::Notice(notice) if notice.kind == NoticeKind::FreshSession);
    assert!(events.iter().any(fresh), "{events:?}");
    assert!(!text(&events).contains("first"), "{events:?}");
}
