//! Conversations over restarts.

use agent_core::{
    Agent, AgentEvent, AgentKind, CancelHandle, ErrorClass, InheritedSession, NoticeKind, SessionId,
};

use crate::stage::{Stage, run, text, turn};

fn notices(events: &[AgentEvent]) -> Vec<NoticeKind> {
    let kinds = events.iter().filter_map(|event| match event {
        AgentEvent::Notice(notice) => Some(notice.kind),
        _ => None,
    });
    kinds.collect()
}

#[tokio::test]
async fn a_conversation_goes_on_in_another_executor_and_another_folder() {
    for (mut stage, model) in Stage::of_all_versions("resume").await {
        let (events, done) = stage.complete(&turn("first #script:text", &model)).await;
        let session = done.session.unwrap();
        let stored = events
            .iter()
            .position(|event| matches!(event, AgentEvent::Session(stored) if *stored == session));
        assert!(stored.is_some(), "{events:?}");
        stage.close().await;
        stage.restart();
        stage.workspace.cwd = stage.workspace.cwd.with_file_name("moved");
        std::fs::create_dir_all(&stage.workspace.cwd).unwrap();
        let (events, done) = stage
            .complete(&turn("second #script:remember", &model))
            .await;
        assert!(
            text(&events).contains("first #script:text"),
            "{}",
            text(&events)
        );
        assert_eq!(notices(&events), []);
        assert_eq!(done.session.unwrap(), session);
        stage.close().await;
    }
}

#[tokio::test]
async fn a_conversation_has_one_executor() {
    for (stage, model) in Stage::of_all_versions("owner").await {
        stage.complete(&turn("first #script:text", &model)).await;
        let other = stage.another_agent();
        let (_handle, cancel) = CancelHandle::new();
        let asked = turn("second #script:text", &model);
        let (_, result) = run(&other, &stage.workspace, &asked, cancel, |_| {}).await;
        let error = result.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Workspace);
        assert!(error.to_string().contains("another executor"), "{error}");
        other.shutdown().await;
        stage.close().await;
    }
}

#[tokio::test]
async fn a_new_session_forgets_and_a_lost_one_is_told() {
    for (mut stage, model) in Stage::of_all_versions("fresh").await {
        stage.complete(&turn("first #script:text", &model)).await;
        let mut asked = turn("second #script:remember", &model);
        asked.new_session = true;
        let (events, _) = stage.complete(&asked).await;
        assert!(!text(&events).contains("first"), "{}", text(&events));
        assert_eq!(notices(&events), []);
        stage.close().await;

        std::fs::remove_dir_all(stage.workspace.state.join("claude/projects")).unwrap();
        stage.restart();
        let (events, _) = stage
            .complete(&turn("third #script:remember", &model))
            .await;
        assert_eq!(notices(&events), [NoticeKind::FreshSession]);
        stage.close().await;
    }
}

#[tokio::test]
async fn an_inherited_conversation_that_is_not_here_is_told() {
    for (stage, model) in Stage::of_all_versions("inherited").await {
        let mut asked = turn("#script:text", &model);
        asked.inherited_sessions.push(InheritedSession {
            agent: AgentKind::ClaudeCode,
            session: SessionId::new("11111111-2222-4333-8444-555555555555").unwrap(),
            bot: None,
        });
        let (events, _) = stage.complete(&asked).await;
        assert_eq!(notices(&events), [NoticeKind::FreshSession]);
        stage.close().await;
    }
}

#[tokio::test]
async fn a_transcript_that_cannot_be_read_is_replaced_by_a_fresh_conversation() {
    for (mut stage, model) in Stage::of_all_versions("damaged").await {
        let (_, done) = stage.complete(&turn("first #script:text", &model)).await;
        stage.close().await;
        let id = done.session.unwrap().id;
        let projects = std::fs::read_dir(stage.workspace.state.join("claude/projects")).unwrap();
        for project in projects {
            let file = project.unwrap().path().join(format!("{id}.jsonl"));
            if file.exists() {
                std::fs::write(file, "not a transcript\n").unwrap();
            }
        }
        stage.restart();
        let (events, _) = stage.complete(&turn("second #script:text", &model)).await;
        assert_eq!(notices(&events), [NoticeKind::FreshSession]);
        stage.close().await;
    }
}
