//! Requests of the Messages API.

use serde::Deserialize;
use serde_json::Value;

use crate::model::request::{Request, Tool, Wire};

/// A request's body.
#[derive(Debug, Default, Deserialize)]
struct Body {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    system: Content,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<ToolSpec>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Content,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Blocks(Vec::new())
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    ToolUse {
        name: String,
    },
    ToolResult {
        #[serde(default)]
        content: Option<Content>,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct ToolSpec {
    #[serde(default)]
    name: String,
    #[serde(default)]
    defer_loading: bool,
}

/// Claude Code puts an object in JSON here that names the session.
#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    user_id: Option<String>,
}

#[derive(Deserialize)]
struct UserId {
    session_id: String,
}

/// Texts that Claude Code writes in the user's name.
const INJECTED: [&str; 6] = [
    "<task-notification>",
    "<local-command-",
    "<command-name>",
    "[Request interrupted by user",
    "Caveat: The messages below",
    "Output token limit hit.",
];

/// The tool that brings the deferred ones.
pub(in crate::model) const SEARCH: &str = "ToolSearch";

pub(in crate::model) fn read(body: &Value) -> Result<Request, serde_json::Error> {
    let body = Body::deserialize(body)?;
    let turn = Turn::of(&body.messages);
    Ok(Request {
        wire: Wire::Anthropic,
        streams: body.stream,
        user_texts: body.messages.iter().flat_map(Message::spoken).collect(),
        tool_output: turn.output,
        rounds: turn.rounds,
        searched: turn.searched,
        tools: body.tools(),
        deferred: body.deferred(),
        session: body.session(),
        folder: body.folder(),
        side: body.tools.is_empty(),
        model: body.model,
    })
}

/// What has happened since the user's last text.
#[derive(Default)]
struct Turn {
    output: Option<String>,
    rounds: usize,
    searched: bool,
}

impl Turn {
    /// A search for tools is no step of a script: it counts neither as a round nor for its output.
    fn of(messages: &[Message]) -> Self {
        let begin = messages
            .iter()
            .rposition(|message| !message.spoken().is_empty());
        let mut turn = Self::default();
        let mut searching = false;
        // The first message may hold the outputs of the turn before.
        for message in messages.iter().skip(begin.map_or(0, |begin| begin + 1)) {
            if let Some(name) = message.called() {
                searching = name == SEARCH;
                turn.searched |= searching;
            } else if let Some(output) = message.output()
                && !searching
            {
                turn.rounds += 1;
                turn.output = Some(output);
            }
        }
        turn
    }
}

impl Body {
    fn tools(&self) -> Vec<Tool> {
        let offered = self.tools.iter().filter(|tool| !tool.defer_loading);
        offered
            .map(|tool| Tool {
                name: tool.name.clone(),
                namespace: None,
                freeform: false,
                old_escalation: false,
            })
            .collect()
    }

    /// Deferred tools are marked in the list, or named line by line in a message of the system.
    fn deferred(&self) -> Vec<String> {
        let marked = self.tools.iter().filter(|tool| tool.defer_loading);
        let named = self.texts().flat_map(|text| {
            let (_, rest) = text.split_once("deferred tools").unwrap_or_default();
            let lines = rest.lines().skip(1).take_while(|line| !line.is_empty());
            lines.map(str::to_owned).collect::<Vec<_>>()
        });
        marked.map(|tool| tool.name.clone()).chain(named).collect()
    }

    /// Every text, the system's first.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let messages = self
            .messages
            .iter()
            .flat_map(|message| message.content.texts());
        self.system.texts().chain(messages)
    }

    fn session(&self) -> Option<String> {
        let user = self.metadata.user_id.as_deref()?;
        let user: UserId = serde_json::from_str(user).ok()?;
        Some(user.session_id)
    }

    fn folder(&self) -> Option<String> {
        const MARK: &str = "orking directory: ";
        let line = self.texts().find_map(|text| text.split_once(MARK))?.1;
        Some(line.lines().next()?.trim().to_owned())
    }
}

impl Content {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let (whole, blocks) = match self {
            Self::Text(text) => (Some(text.as_str()), &[][..]),
            Self::Blocks(blocks) => (None, blocks.as_slice()),
        };
        let in_blocks = blocks.iter().filter_map(|block| match block {
            Block::Text { text } => Some(text.as_str()),
            _ => None,
        });
        whole.into_iter().chain(in_blocks)
    }

    fn blocks(&self) -> &[Block] {
        match self {
            Self::Text(_) => &[],
            Self::Blocks(blocks) => blocks,
        }
    }
}

impl Message {
    /// The person's own texts. One message can hold several: a prompt whose turn failed or was interrupted before
    /// anything was said is sent together with the next one.
    fn spoken(&self) -> Vec<String> {
        if self.role != "user" {
            return Vec::new();
        }
        let texts = self.content.texts().map(without_reminders);
        texts
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
            .filter(|text| !INJECTED.iter().any(|start| text.starts_with(start)))
            .collect()
    }

    /// The tool that it calls last.
    fn called(&self) -> Option<&str> {
        self.content
            .blocks()
            .iter()
            .rev()
            .find_map(|block| match block {
                Block::ToolUse { name } => Some(name.as_str()),
                _ => None,
            })
    }

    /// The output of the tool that is last in it.
    fn output(&self) -> Option<String> {
        self.content
            .blocks()
            .iter()
            .rev()
            .find_map(|block| match block {
                Block::ToolResult { content } => {
                    let texts = content.iter().flat_map(Content::texts);
                    Some(texts.collect::<Vec<_>>().join("\n"))
                }
                _ => None,
            })
    }
}

fn without_reminders(text: &str) -> String {
    const OPEN: &str = "<system-reminder>";
    const CLOSE: &str = "</system-reminder>";
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        kept.push_str(before);
        rest = after.split_once(CLOSE).map_or("", |(_, after)| after);
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(messages: Value) -> Request {
        let body = json!({"messages": messages, "tools": [{"name": "Bash"}]});
        read(&body).unwrap()
    }

    fn user(text: &str) -> Value {
        json!({"role": "user", "content": [{"type": "text", "text": text}]})
    }

    fn call(name: &str, output: &str) -> [Value; 2] {
        [
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": name, "input": {}}]}),
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": output}]}),
        ]
    }

    #[test]
    fn the_last_user_text_is_the_persons_own() {
        let request = request(json!([
            user("<system-reminder>\na\n</system-reminder>\nhello"),
            {"role": "system", "content": "Primary working directory: /w\n"},
            {"role": "assistant", "content": "yes"},
            user("[Request interrupted by user]"),
            user("<system-reminder>\n[SYSTEM NOTIFICATION]\n</system-reminder>"),
        ]));
        assert_eq!(request.user_texts, ["hello"]);
        assert_eq!(request.folder.as_deref(), Some("/w"));
    }

    #[test]
    fn a_failed_prompt_and_the_next_one_are_two_texts() {
        let both = json!([{"role": "user", "content": [
            {"type": "text", "text": "one"}, {"type": "text", "text": "two"},
        ]}]);
        assert_eq!(request(both).user_texts, ["one", "two"]);
    }

    #[test]
    fn rounds_are_counted_since_the_person_spoke() {
        let [calling, mut output] = call("Bash", "old");
        // After an interrupt a tool's output and the next prompt come in one message.
        let next = json!({"type": "text", "text": "next"});
        output["content"].as_array_mut().unwrap().push(next);
        let begin = vec![user("go"), calling, output];
        let fresh = request(json!(begin));
        assert_eq!((fresh.tool_output, fresh.rounds), (None, 0));

        let [first, second] = [call("Bash", "1"), call("Read", "2")];
        let messages = [begin, first.to_vec(), second.to_vec()].concat();
        let twice = request(json!(messages));
        assert_eq!((twice.tool_output.as_deref(), twice.rounds), (Some("2"), 2));
    }

    #[test]
    fn a_search_for_tools_is_no_round() {
        let reminder =
            "The following deferred tools are now available:\nmcp__a__b\nMonitor\n\nmore";
        let named = json!({"role": "system", "content": [{"type": "text", "text": reminder}]});
        let messages = [vec![user("go"), named], call(SEARCH, "found").to_vec()].concat();
        let request = request(json!(messages));
        assert_eq!(request.deferred, ["mcp__a__b", "Monitor"]);
        assert!(request.searched);
        assert_eq!((request.tool_output, request.rounds), (None, 0));
    }

    #[test]
    fn the_session_is_in_the_users_id() {
        let id = json!({"device_id": "d", "session_id": "s"}).to_string();
        let request = read(&json!({"messages": [], "metadata": {"user_id": id}})).unwrap();
        assert_eq!(request.session.as_deref(), Some("s"));
        assert!(request.side);
    }
}
