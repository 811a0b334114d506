//! Records to encode, and a courier that never fails.

use std::{fs, path::Path};

use agent_core::{
    AgentEvent, AgentKind, Attempt, BlockId, FileChanges, StopReason, SubtaskId, TaskId,
    ToolCallId, ToolEvent, ToolStatus, TurnKey, redaction::Redacted,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use wegent_protocol::{
    Encoder, EndKind, Envelope, Message, RecordBody, Recorded, ResponsesEncoder, TurnEnd,
    TurnHeader, TurnRecord,
};

/// A fixture's text.
pub(crate) fn fixture(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn fixture_json(path: &str) -> Value {
    serde_json::from_slice(&fixture(path)).unwrap()
}

/// What the redactor would give for a value without secrets; made as if read back from a journal.
pub(crate) fn redacted<T: Serialize + DeserializeOwned>(value: T) -> Redacted<T> {
    serde_json::from_value(serde_json::to_value(value).unwrap()).unwrap()
}

/// The header of the turn of which the single callback fixtures are.
pub(crate) fn header() -> TurnHeader {
    TurnHeader {
        key: TurnKey {
            task: TaskId(4711),
            subtask: SubtaskId(9902),
        },
        attempt: Attempt(1),
        agent: Some(AgentKind::ClaudeCode),
        envelope: Envelope {
            message_id: Some(6),
            executor_name: Some("wegent-task-alice-0f3a9c1b2d4e5f6".into()),
            executor_namespace: Some(String::new()),
            model: "claude-sonnet-4-6".into(),
            shell_type: Some("claudecode".into()),
            ..Envelope::default()
        },
        protocol: wegent_protocol::Protocol::Responses,
        callback_url: None,
        fingerprint: "0".repeat(64).parse().unwrap(),
        response_id: "resp_000000000000018f3c2a9d10".into(),
        created_at: 1_786_000_000,
        request: None,
    }
}

pub(crate) fn begun(header: TurnHeader) -> RecordBody {
    RecordBody::Begun(Box::new(redacted(header)))
}

pub(crate) fn event(event: AgentEvent) -> RecordBody {
    RecordBody::Event(redacted(event))
}

pub(crate) fn ended(kind: EndKind) -> RecordBody {
    RecordBody::Ended(Box::new(redacted(TurnEnd {
        kind,
        usage: None,
        tool_called: false,
        session: None,
        changes: FileChanges::default(),
        clean_up: Default::default(),
    })))
}

pub(crate) fn completed(text: &str) -> RecordBody {
    ended(EndKind::Completed {
        text: text.into(),
        stop: StopReason::EndTurn,
    })
}

pub(crate) fn call(id: &str) -> ToolCallId {
    ToolCallId::new(id).unwrap()
}

pub(crate) fn block(id: &str) -> BlockId {
    BlockId::new(id).unwrap()
}

pub(crate) fn text(delta: &str) -> RecordBody {
    event(AgentEvent::Text {
        block: block("m"),
        parent: None,
        delta: delta.into(),
    })
}

pub(crate) fn reasoning(delta: &str) -> RecordBody {
    event(AgentEvent::Reasoning {
        block: block("r"),
        parent: None,
        delta: delta.into(),
    })
}

pub(crate) fn tool(tool: ToolEvent) -> RecordBody {
    event(AgentEvent::Tool(tool))
}

pub(crate) fn started(id: &str, name: &str, input: Value) -> RecordBody {
    tool(ToolEvent::Started {
        call: call(id),
        parent: None,
        name: name.into(),
        input,
    })
}

pub(crate) fn output(id: &str, delta: &str) -> RecordBody {
    tool(ToolEvent::Output {
        call: call(id),
        delta: delta.into(),
    })
}

pub(crate) fn finished(id: &str, output: &str) -> RecordBody {
    tool(ToolEvent::Finished {
        call: call(id),
        status: ToolStatus::Done,
        output: output.into(),
    })
}

pub(crate) fn bash() -> RecordBody {
    started("toolu_01Bash", "Bash", json!({"command": "ls"}))
}

/// Gives every record a time, a second after the one before.
pub(crate) fn stamped(bodies: impl IntoIterator<Item = RecordBody>) -> Vec<TurnRecord> {
    let times = (1_786_000_000_000_u64..).step_by(1000);
    times
        .zip(bodies)
        .map(|(at_ms, body)| TurnRecord { at_ms, body })
        .collect()
}

pub(crate) fn recorded(records: &[TurnRecord]) -> Vec<Recorded<'_>> {
    (1..)
        .zip(records)
        .map(|(seq, record)| Recorded { seq, record })
        .collect()
}

/// All messages of `pending`, each accepted at once.
pub(crate) fn drain(encoder: &mut dyn Encoder, mut pending: &[Recorded<'_>]) -> Vec<Message> {
    let mut messages = Vec::new();
    while !pending.is_empty() {
        let step = encoder.next(pending);
        assert!(
            step.consumed > 0 || step.message.is_some(),
            "no progress at {:?}",
            pending[0]
        );
        pending = &pending[step.consumed..];
        messages.extend(step.message);
    }
    messages
}

/// The callbacks of a whole turn, encoded in one go.
pub(crate) fn callbacks(bodies: impl IntoIterator<Item = RecordBody>) -> Vec<Value> {
    let records = stamped(bodies);
    bodies_of(&drain(&mut ResponsesEncoder::new(), &recorded(&records)))
}

/// The callbacks of a whole turn, each record by itself, as when the network is faster than the agent.
pub(crate) fn callbacks_one_by_one(bodies: impl IntoIterator<Item = RecordBody>) -> Vec<Value> {
    let records = stamped(bodies);
    let mut encoder = ResponsesEncoder::new();
    let messages = recorded(&records)
        .into_iter()
        .flat_map(|one| drain(&mut encoder, &[one]))
        .collect::<Vec<_>>();
    bodies_of(&messages)
}

pub(crate) fn bodies_of(messages: &[Message]) -> Vec<Value> {
    messages
        .iter()
        .map(|message| serde_json::from_slice(&message.body).unwrap())
        .collect()
}
