//! Nothing of a task is told while its cancel is answered: registry, gate and courier together.

use std::{path::Path, sync::Arc, time::Duration};

use agent_core::{
    Agent, AgentError, AgentEvent, AgentKind, BlockId, Outcome, StopStep, TaskId, Turn, TurnCx,
    Workspace,
};
use executor::runs::{Turns, registry};
use futures::future::{BoxFuture, FutureExt, ready};
use serde_json::json;

use crate::stage::{Seen, services};

/// Says nothing until it is told to stop, and then a last word.
struct LastWord;

impl Agent for LastWord {
    fn kind(&self) -> AgentKind {
        AgentKind::Codex
    }

    fn run<'a>(
        &'a self,
        _turn: &'a Turn,
        _workspace: &'a Workspace,
        cx: TurnCx,
    ) -> BoxFuture<'a, Result<Outcome, AgentError>> {
        async move {
            let reason = cx.cancel.cancelled().await;
            let text = AgentEvent::Text {
                block: BlockId::new("b").unwrap(),
                parent: None,
                delta: "last word".to_owned(),
            };
            cx.events.emit(text).await?;
            Ok(Outcome::Cancelled {
                reason,
                stopped_by: StopStep::Protocol,
                survivors: 0,
                usage: None,
            })
        }
        .boxed()
    }

    fn warm_up<'a>(&'a self, _task: TaskId, _state: &'a Path) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }

    fn skills_folder(&self, _task: TaskId, state: &Path) -> agent_core::SkillsFolder {
        agent_core::SkillsFolder {
            path: state.to_path_buf(),
            exclusive: true,
        }
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}

#[tokio::test]
async fn nothing_is_told_before_a_dispatch_or_a_cancel_has_been_answered() {
    let root = tempfile::tempdir().unwrap();
    let seen = Arc::new(Seen::default());
    let services = services(root.path(), LastWord, &seen);
    let (turns, runs) = registry(services).unwrap();
    let mut work = tokio::task::JoinSet::new();
    work.spawn(runs.run());
    let quiet = Duration::from_millis(100);

    let body = json!({"input": "hi", "metadata": {"task_id": 1, "subtask_id": 2, "bot": {"shell_type": "Codex"}}});
    let dispatch = wegent_protocol::decode(body.to_string().as_bytes()).unwrap();
    let accepted = turns.submit(dispatch).await.unwrap();
    tokio::time::sleep(quiet).await;
    assert_eq!(seen.types(), [""; 0]);
    drop(accepted);
    seen.until(1).await;

    let cancelled = turns.cancel(TaskId(1), None).await.unwrap();
    tokio::time::sleep(quiet).await;
    assert_eq!(seen.types(), ["response.created"]);
    drop(cancelled);
    seen.until(3).await;
    let expected = [
        "response.created",
        "response.output_text.delta",
        "response.incomplete",
    ];
    assert_eq!(seen.types(), expected);
    turns.shutdown().await;
}
