//! A turn that asks the person something.

use std::{path::Path, sync::Arc, time::Duration};

use agent_core::{
    Agent, AgentError, AgentEvent, AgentKind, Form, NotDelivered, Outcome, Question, SessionId,
    SessionRef, TaskId, ToolCallId, ToolEvent, Turn, TurnCx, Usage, Workspace,
};
use executor::runs::{Turns, registry};
use futures::future::{BoxFuture, FutureExt, ready};
use serde_json::json;

use crate::stage::{Seen, services};

const TOOL: &str = "mcp__forms__interactive_form_question";

/// Calls the form tool, and asks only when that has been delivered.
struct Asking(Arc<Seen>);

impl Asking {
    async fn ask(&self, cx: TurnCx) -> Result<Outcome, AgentError> {
        self.0.hold(true);
        let call = ToolCallId::new("toolu_1").unwrap();
        let input = json!({"questions": [{"id": "a", "question": "A?"}]});
        let started = ToolEvent::Started {
            call: call.clone(),
            parent: None,
            name: TOOL.to_owned(),
            input: input.clone(),
        };
        cx.events.emit(AgentEvent::Tool(started)).await?;
        // Nothing of this is ever sent, so nobody may wait for it.
        let session = SessionRef {
            agent: AgentKind::Codex,
            id: SessionId::new("s").unwrap(),
        };
        cx.events.emit(AgentEvent::Session(session.clone())).await?;
        cx.events.emit(AgentEvent::Usage(Usage::default())).await?;

        let short = Duration::from_millis(50);
        let held = cx.events.delivered(short).await;
        assert_eq!(held, Err(NotDelivered::Late(short)));
        self.0.hold(false);
        let delivered = cx.events.delivered(Duration::from_secs(20)).await;
        assert_eq!(delivered, Ok(()));
        let seen = ["response.created", "response.block.created"];
        assert_eq!(self.0.types(), seen);

        let question = Question {
            call: call.clone(),
            form: Form::Tool {
                name: TOOL.to_owned(),
                input,
            },
        };
        cx.events.emit(AgentEvent::Question(question)).await?;
        Ok(Outcome::WaitingForUser {
            call,
            usage: None,
            session: Some(session),
        })
    }
}

impl Agent for Asking {
    fn kind(&self) -> AgentKind {
        AgentKind::Codex
    }

    fn run<'a>(
        &'a self,
        _turn: &'a Turn,
        _workspace: &'a Workspace,
        cx: TurnCx,
    ) -> BoxFuture<'a, Result<Outcome, AgentError>> {
        self.ask(cx).boxed()
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
async fn an_agent_that_asks_can_wait_until_its_words_have_arrived() {
    let root = tempfile::tempdir().unwrap();
    let seen = Arc::new(Seen::default());
    let (turns, runs) = registry(services(root.path(), Asking(seen.clone()), &seen)).unwrap();
    let mut work = tokio::task::JoinSet::new();
    work.spawn(runs.run());
    let body = json!({"input": "hi", "metadata": {"task_id": 1, "subtask_id": 2, "bot": {"shell_type": "Codex"}}});
    let dispatch = wegent_protocol::decode(body.to_string().as_bytes()).unwrap();
    drop(turns.submit(dispatch).await.unwrap());
    seen.until(4).await;
    assert_eq!(
        seen.types()[2..],
        ["response.output_item.done", "response.completed"]
    );
    turns.shutdown().await;
}
