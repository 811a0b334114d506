use serde_json::{Value, json};

use super::super::{Block, Problem, View, replay};
use crate::{Answered, Callback};

fn event(data: Value) -> Callback {
    Callback::of(
        json!({"event_type": data["type"], "task_id": 1, "subtask_id": 2, "message_id": 3, "data": data}),
    )
}

fn created() -> Callback {
    event(json!({"type": "response.created", "response": {"id": "resp_2"}}))
}

fn text(offset: u64, delta: &str) -> Callback {
    event(json!({"type": "response.output_text.delta", "delta": delta, "offset": offset}))
}

fn thought(delta: &str) -> Callback {
    event(json!({"type": "response.reasoning_summary_text.delta", "delta": delta}))
}

fn tool(id: &str) -> Callback {
    event(json!({"type": "response.block.created", "block": {
        "id": id, "type": "tool", "tool_use_id": id, "tool_name": "Bash", "tool_input": {"command": "ls"},
        "status": "pending", "timestamp": 1,
    }}))
}

fn done(id: &str) -> Callback {
    event(
        json!({"type": "response.block.updated", "block_id": id, "updates": {"status": "done", "tool_output": "x"}}),
    )
}

fn completed(text: &str) -> Callback {
    event(
        json!({"type": "response.completed", "response": {"stop_reason": "end_turn", "usage": null, "output": [
            {"type": "message", "content": [{"type": "output_text", "text": text}]},
        ]}}),
    )
}

fn cancelled() -> Callback {
    event(
        json!({"type": "response.incomplete", "response": {"status": "cancelled", "error": {"message": "m"}}}),
    )
}

fn view(callbacks: &[Callback]) -> View {
    replay(callbacks)
}

#[test]
fn a_tool_parts_the_text_into_blocks() {
    let view = view(&[
        created(),
        thought("hm"),
        text(0, "a"),
        text(1, "b"),
        tool("t"),
        done("t"),
        text(2, "c"),
        completed("c"),
    ]);
    assert_eq!(view.problems, []);
    assert_eq!(view.shown_text(), "abc");
    let kinds: Vec<String> = view
        .blocks
        .iter()
        .map(|block| match block {
            Block::Text(text) | Block::Thinking(text) => text.clone(),
            Block::Tool(tool) => format!("{}={}", tool.name, tool.status),
            Block::Other { id, .. } => id.clone(),
        })
        .collect();
    assert_eq!(kinds, ["hm", "ab", "Bash=done", "c"]);
}

#[test]
fn the_longer_text_stays() {
    assert_eq!(
        view(&[created(), text(0, "ab"), completed("abc")]).shown_text(),
        "abc"
    );
    assert_eq!(
        view(&[created(), text(0, "abcd"), completed("abc")]).shown_text(),
        "abcd"
    );
}

#[test]
fn a_created_after_the_end_is_another_attempt_and_starts_at_zero() {
    let view = view(&[
        created(),
        text(0, "ab"),
        cancelled(),
        created(),
        text(0, "xy"),
        completed("xy"),
    ]);
    assert_eq!(
        (view.problems.as_slice(), view.attempts, view.text.as_str()),
        (&[][..], 2, "xy")
    );
}

#[test]
fn a_callback_sent_again_because_its_answer_was_lost_is_no_problem() {
    let mut lost = text(0, "ab");
    lost.answered = Answered::Lost;
    let mut refused = completed("ab");
    (refused.answered, refused.shown) = (Answered::Status(500), false);
    let view = view(&[created(), lost, text(0, "ab"), refused, completed("ab")]);
    assert_eq!(
        (view.problems.as_slice(), view.repeats, view.text.as_str()),
        (&[][..], 1, "ab")
    );
}

#[test]
fn a_callback_is_known_again_by_its_key_and_without_one_it_is_said_twice() {
    let keyed = |key: &str| {
        let mut callback = text(0, "ab");
        callback.headers = vec![("idempotency-key".to_owned(), key.to_owned())];
        callback
    };
    let again = view(&[created(), keyed("1"), keyed("1"), completed("ab")]);
    assert_eq!((again.problems.as_slice(), again.repeats), (&[][..], 1));
    for second in [keyed("2"), text(0, "ab")] {
        let twice = view(&[created(), keyed("1"), second, completed("ab")]);
        assert_eq!(twice.problems, [Problem::OffsetOverlap { offset: 0 }]);
    }
}

#[test]
fn every_kind_of_problem_is_found() {
    let event_name = |name: &str| name.to_owned();
    let mut wrong_id = text(0, "a");
    wrong_id.body["subtask_id"] = json!("2");
    let mut wrong_message = text(0, "a");
    wrong_message.body["message_id"] = Value::Null;
    let mut wrong_type = text(0, "a");
    wrong_type.body["event_type"] = json!("error");
    let no_offset = event(json!({"type": "response.output_text.delta", "delta": "a"}));
    let no_delta = event(json!({"type": "response.output_text.delta", "offset": 0}));
    let delta = "response.output_text.delta";
    let cases: Vec<(&str, Vec<Callback>, Problem)> = vec![
        (
            "before created",
            vec![text(0, "a")],
            Problem::BeforeCreated {
                event: event_name(delta),
            },
        ),
        (
            "created twice",
            vec![created(), created()],
            Problem::CreatedTwice,
        ),
        (
            "gap",
            vec![created(), text(1, "a")],
            Problem::OffsetGap {
                offset: 1,
                length: 0,
            },
        ),
        (
            "mismatch",
            vec![created(), text(0, "ab"), text(1, "c")],
            Problem::OffsetMismatch { offset: 1 },
        ),
        (
            "restarted",
            vec![created(), text(0, "ab"), text(0, "c")],
            Problem::OffsetMismatch { offset: 0 },
        ),
        (
            "overlap",
            vec![created(), text(0, "ab"), text(1, "bc")],
            Problem::OffsetOverlap { offset: 1 },
        ),
        ("no offset", vec![created(), no_offset], Problem::NoOffset),
        (
            "unknown block",
            vec![created(), done("t")],
            Problem::UnknownBlock { id: "t".into() },
        ),
        (
            "blank id",
            vec![created(), tool(" ")],
            Problem::BlankToolId {
                event: event_name("response.block.created"),
            },
        ),
        (
            "text id",
            vec![created(), wrong_id],
            Problem::NotAnInteger {
                field: "subtask_id",
            },
        ),
        (
            "null message",
            vec![created(), wrong_message],
            Problem::NotAnInteger {
                field: "message_id",
            },
        ),
        (
            "types differ",
            vec![created(), wrong_type],
            Problem::TypesDiffer {
                outer: "error".into(),
                inner: event_name(delta),
            },
        ),
        (
            "no delta",
            vec![created(), no_delta],
            Problem::Malformed {
                event: event_name(delta),
                reason: "missing field `delta`".into(),
            },
        ),
        (
            "dropped",
            vec![created(), event(json!({"type": "response.failed"}))],
            Problem::Dropped {
                event: event_name("response.failed"),
            },
        ),
    ];
    for (name, mut callbacks, problem) in cases {
        if !matches!(problem, Problem::UnknownBlock { .. }) {
            callbacks.push(completed("x"));
        } else {
            callbacks.push(cancelled());
        }
        assert_eq!(view(&callbacks).problems, [problem], "{name}");
    }
}

#[test]
fn problems_of_the_end_are_found() {
    let pending = Problem::LeftPending {
        id: "t".into(),
        name: "Bash".into(),
        status: "pending".into(),
    };
    assert_eq!(
        view(&[created(), tool("t"), completed("")]).problems,
        [pending]
    );
    assert_eq!(view(&[created(), tool("t"), cancelled()]).problems, []);
    assert_eq!(view(&[created()]).problems, [Problem::NoTerminal]);
    let after = |event: &str| Problem::AfterTerminal {
        event: event.into(),
    };
    let twice = view(&[created(), completed("a"), cancelled(), text(0, "a")]);
    assert_eq!(
        twice.problems,
        [
            after("response.incomplete"),
            after("response.output_text.delta")
        ]
    );
}
