//! The operator's command around edits of files.
//!
//! Codex has hooks of its own, but passes over those that no person has trusted, and calls none when a model edits by a
//! shell command (codex 0.169). So the command is run here, whenever Codex says that it begins or has done an edit. It
//! doesn't wait for what runs before the edit; its next word is heard when that is over.

use agent_core::{
    AgentError, AgentEvent,
    hook::{Edit, Failure, FileEditHook, Scene},
};
use codex_app_server::protocol::{Notification, ThreadItem};

use crate::{
    tools::{Card, Shown, card},
    turn::Drive,
};

impl Drive<'_> {
    /// Runs the command if this tells of an edit. An error if it failed and must not.
    pub(crate) async fn around_edit(
        &self,
        notification: &Notification,
        session: &str,
    ) -> Result<(), AgentError> {
        let (Some(hook), Some((call, before, card))) =
            (&self.config.file_edit_hook, edit(notification))
        else {
            return Ok(());
        };
        let edit = Edit {
            call,
            session,
            tool: if card.name == "Write" {
                "Write"
            } else {
                "Edit"
            },
            input: &card.input,
            response: (!before).then_some(card.output.as_str()),
        };
        let scene = Scene {
            image: &self.config.image,
            owner: &self.config.owner,
            turn: self.turn,
            workspace: self.workspace,
        };
        let ran = tokio::select! {
            ran = hook.run(edit, scene) => ran,
            // Whoever listens on will hear of it.
            _ = self.cx.cancel.cancelled() => return Ok(()),
        };
        match ran {
            Ok(()) => Ok(()),
            Err(failure) => self.failed(hook, &failure).await,
        }
    }

    async fn failed(&self, hook: &FileEditHook, failure: &Failure) -> Result<(), AgentError> {
        if hook.required {
            return Err(AgentError::Workspace {
                message: format!("file-edit hook: {}{}", failure.why, failure.quoted()),
                source: None,
            });
        }
        let notice = AgentEvent::Notice(failure.of_edit());
        Ok(self.cx.events.emit(notice).await?)
    }
}

/// The edit that this tells of: its call, whether it is still to be done, and how it is shown.
fn edit(notification: &Notification) -> Option<(&str, bool, Card)> {
    let (item, before) = match notification {
        Notification::ItemStarted(event) => (&event.item, true),
        Notification::ItemCompleted(event) => (&event.item, false),
        _ => return None,
    };
    let ThreadItem::FileChange(change) = item else {
        return None;
    };
    let Shown::Tool(card) = card(item) else {
        return None;
    };
    Some((change.id.as_str(), before, card))
}
