//! What runs in the background of a conversation, by what the CLI says of it.
//!
//! The end of such a task makes the CLI start a turn by itself, unless the model was told of it while one ran.

use std::collections::HashSet;

use crate::protocol::{Message, StreamEvent};

/// The tasks of a conversation.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    agents: Tally,
    others: Tally,
}

/// Tasks of one kind.
#[derive(Debug, Default)]
struct Tally {
    running: HashSet<String>,
    /// One ended, and no request to the model began since then.
    untold: bool,
}

impl Tasks {
    /// Takes note of a message.
    pub(crate) fn see(&mut self, message: &Message) {
        match message {
            Message::TaskStarted(task) => {
                let kind = if task.is_agent() {
                    &mut self.agents
                } else {
                    &mut self.others
                };
                kind.running.insert(task.task_id.clone());
            }
            Message::TaskNotification(task) => {
                for kind in [&mut self.agents, &mut self.others] {
                    kind.untold |= kind.running.remove(&task.task_id);
                }
            }
            Message::Stream(line)
                if line.parent_tool_use_id.is_none()
                    && matches!(line.event, StreamEvent::MessageStart { .. }) =>
            {
                self.told();
            }
            _ => {}
        }
    }

    /// The model knows of everything that ended.
    pub(crate) fn told(&mut self) {
        self.agents.untold = false;
        self.others.untold = false;
    }

    /// Whether a sub-agent works, or has ended without the model knowing: its answer isn't complete then.
    pub(crate) fn agents_matter(&self) -> bool {
        !self.agents.running.is_empty() || self.agents.untold
    }

    /// Whether a sub-agent works.
    pub(crate) fn agents_work(&self) -> bool {
        !self.agents.running.is_empty()
    }

    /// Whether a turn is to be expected that nobody asks for.
    pub(crate) fn unasked_turn_due(&self) -> bool {
        !self.others.running.is_empty() || self.others.untold || self.agents_matter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(tasks: &mut Tasks, line: &str) {
        tasks.see(&Message::parse(line.as_bytes()).unwrap());
    }

    const SHELL: &str =
        r#"{"type":"system","subtype":"task_started","task_id":"s","task_type":"local_bash"}"#;
    const SHELL_OVER: &str =
        r#"{"type":"system","subtype":"task_notification","task_id":"s","status":"completed"}"#;
    const REQUEST: &str = r#"{"type":"stream_event","event":{"type":"message_start","message":{"id":"m"}},"parent_tool_use_id":null}"#;

    #[test]
    fn a_task_that_ended_untold_makes_a_turn_and_a_request_tells_of_it() {
        let mut tasks = Tasks::default();
        assert!(!tasks.unasked_turn_due());
        say(&mut tasks, SHELL);
        assert!(tasks.unasked_turn_due() && !tasks.agents_matter());
        say(&mut tasks, SHELL_OVER);
        assert!(tasks.unasked_turn_due());
        say(&mut tasks, REQUEST);
        assert!(!tasks.unasked_turn_due());
    }

    #[test]
    fn the_end_of_a_task_of_an_earlier_life_is_no_news() {
        let mut tasks = Tasks::default();
        say(&mut tasks, SHELL_OVER);
        assert!(!tasks.unasked_turn_due());
    }
}
