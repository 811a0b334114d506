//! A form that the model asks for by the platform's own tool.
//!
//! Codex calls the platform's MCP server itself. The server attaches the form to the call's block, so Codex is made to ask
//! before it calls (`thread_config`), and is told to go on once the platform has that block. The call's result says that
//! the person sees the form; Codex's turn is interrupted with that. The answer comes to the model as text: nothing has to be
//! kept for it, so it may come after a restart, too.

use std::time::Duration;

use agent_core::{
    AgentEvent, CancelReason, Form, Question, ToolCallId,
    interaction::{FORM_DELIVERY_LIMIT, FORM_TOOL, form_is_shown},
};
use codex_app_server::{
    Connection, ThreadEvent, ThreadStream,
    protocol::{
        Ask, Elicitation, ElicitationAction, ElicitationAnswer, ItemStatus, Notification,
        ThreadItem, TurnId,
    },
};
use serde_json::Value;

use tokio::time::{Instant, timeout_at};

use crate::{
    map::Mapper,
    stopping::kill,
    tools::{self, Shown},
    turn::{Drive, Driven},
};

/// Codex tells a call's result just before it notes it in the conversation, and tells nothing of that. A turn that is
/// interrupted before has the call as aborted there, which is only less clear to the model.
pub(crate) const NOTED: Duration = Duration::from_millis(200);

/// Whether it is Codex's asking whether the form tool may be called.
pub(crate) fn is_asked(elicitation: &Elicitation) -> bool {
    elicitation.tool_call().as_deref() == Some(FORM_TOOL)
}

/// The form that the person sees now, if that is what a notification says.
pub(crate) fn shown(notification: &Notification) -> Option<Question> {
    let Notification::ItemCompleted(event) = notification else {
        return None;
    };
    let ThreadItem::McpToolCall(item) = &event.item else {
        return None;
    };
    let result = item.result.as_ref()?;
    let shows = |block: Value| block["text"].as_str().is_some_and(form_is_shown);
    let mut blocks = result.content.iter().filter_map(|block| block.parse().ok());
    if item.status != ItemStatus::Completed || !item.tool.contains(FORM_TOOL) || !blocks.any(shows)
    {
        return None;
    }
    let Shown::Tool(card) = tools::card(&event.item) else {
        return None;
    };
    Some(Question {
        call: ToolCallId::new(item.id.as_str()).ok()?,
        form: Form::Tool {
            name: card.name,
            input: card.input,
        },
    })
}

impl Drive<'_> {
    /// Lets the form tool be called, once its block has been delivered.
    ///
    /// # Errors
    /// [`CancelReason`] when the turn is to stop before.
    pub(crate) async fn let_be_called(&self, ask: Ask<Elicitation>) -> Result<(), CancelReason> {
        tokio::select! {
            delivered = self.cx.events.delivered(FORM_DELIVERY_LIMIT) => {
                if let Err(error) = delivered {
                    tracing::warn!(%error, "the form's block has not arrived yet");
                }
            }
            // Dropped, it is refused.
            reason = self.cx.cancel.cancelled() => return Err(reason),
        }
        ask.answer(&ElicitationAnswer::plain(ElicitationAction::Accept));
        Ok(())
    }

    /// Ends Codex's turn, which would go on with the form unanswered, and this one as waiting.
    pub(crate) async fn leave_to_person(
        &self,
        connection: &Connection,
        stream: &mut ThreadStream,
        turn: &TurnId,
        question: Question,
        mut mapper: Mapper,
    ) -> Driven {
        let mut said = noted(stream, &mut mapper).await;
        let (ended, rest) = self
            .interrupt(connection, stream, Some(turn), &mut mapper)
            .await;
        said.extend(rest);
        let clean = ended && self.sweep(connection, stream.id(), &mapper).await;
        if !clean {
            kill(connection).await;
        }
        let outcome = self.waiting(&question.call, stream.id(), mapper.usage());
        let said = said.into_iter().filter(|event| !is_speech(event));
        let paused = mapper.pause().into_iter();
        for event in said.chain(paused).chain([AgentEvent::Question(question)]) {
            if let Err(closed) = self.cx.events.emit(event).await {
                return Driven::failed(closed.into());
            }
        }
        Driven::over(Ok(outcome), clean)
    }
}

/// Waits until Codex has noted the result, at the latest until the model goes on from it. Gives what is said meanwhile.
async fn noted(stream: &mut ThreadStream, mapper: &mut Mapper) -> Vec<AgentEvent> {
    let deadline = Instant::now() + NOTED;
    let mut said = Vec::new();
    while let Ok(event) = timeout_at(deadline, stream.next()).await {
        match event {
            ThreadEvent::Notification(notification) => {
                let goes_on = matches!(notification, Notification::ItemStarted(_));
                said.extend(mapper.map(notification));
                if goes_on || mapper.is_over() {
                    break;
                }
            }
            ThreadEvent::Request(request) => request.refuse("the turn waits for the person"),
            ThreadEvent::Lost { .. } => break,
        }
    }
    said
}

/// Whether it is what the model began to say about a form that isn't answered yet.
fn is_speech(event: &AgentEvent) -> bool {
    matches!(
        event,
        AgentEvent::Text { .. } | AgentEvent::Reasoning { .. } | AgentEvent::BlockEnd { .. }
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(tool: &str, text: &str) -> Notification {
        let params = json!({"threadId": "t", "turnId": "u", "item": {
            "type": "mcpToolCall", "id": "call_1", "server": "forms", "tool": tool, "status": "completed",
            "arguments": {"questions": []}, "result": {"content": [{"type": "text", "text": text}]},
        }});
        Notification::ItemCompleted(serde_json::from_value(params).unwrap())
    }

    #[test]
    fn a_form_is_shown_when_its_server_says_so() {
        let says = r#"{"__deferred_user_input__": true, "success": true, "status": "waiting_for_user_response"}"#;
        let question = shown(&completed(FORM_TOOL, says)).unwrap();
        assert_eq!(question.call.as_str(), "call_1");
        assert_eq!(
            question.form,
            Form::Tool {
                name: "mcp__forms__interactive_form_question".to_owned(),
                input: json!({"questions": []})
            }
        );
        assert_eq!(shown(&completed("echo", says)), None);
        assert_eq!(
            shown(&completed(FORM_TOOL, "a question lacks its id")),
            None
        );
    }
}
