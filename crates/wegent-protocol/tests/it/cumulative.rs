//! Records into cumulative callbacks.

use std::time::Duration;

use agent_core::{
    AgentEvent, AgentKind, CancelReason, CommitMade, ErrorClass, FileChange, FileChangeKind,
    FileChanges, PlanStatus, PlanStep, SessionId, SessionRef, ToolEvent, ToolStatus, Usage,
};
use serde_json::{Value, json};
use testkit::{Callback, cumulative};
use wegent_protocol::{
    Allowance, CumulativeEncoder, Encoder, EndKind, Message, Protocol, RecordBody, Recorded,
    TaskFacts, TurnHeader, TurnRecord,
};

use crate::support::{
    begun, block, call, completed, ended, event, fixture_json, header, recorded, redacted, stamped,
    started, text,
};

fn cumulative_header(agent: AgentKind) -> TurnHeader {
    let mut header = header();
    header.agent = Some(agent);
    header.protocol = Protocol::Cumulative;
    header.envelope.task = Some(Box::new(TaskFacts {
        title: "A title".into(),
        prompt: "Do it.".into(),
        kind: "online".into(),
        session_id: "4711".into(),
        ..TaskFacts::default()
    }));
    header
}

/// What a courier sends that looks after every `look` records and may always send everything.
fn sent(records: &[TurnRecord], look: usize) -> Vec<Message> {
    let all = recorded(records);
    let mut encoder = CumulativeEncoder::new();
    let (mut messages, mut from, mut to) = (Vec::new(), 0, 0);
    while from < all.len() {
        to = (to.max(from) + look).min(all.len());
        loop {
            let step = encoder.next(&all[from..to]);
            from += step.consumed;
            let done = step.message.is_none() && from >= to;
            messages.extend(step.message);
            if done {
                break;
            }
        }
    }
    messages
}

fn callbacks(messages: &[Message]) -> Vec<Callback> {
    let body = |message: &Message| serde_json::from_slice(&message.body).unwrap();
    messages
        .iter()
        .map(|message| Callback::of(body(message)))
        .collect()
}

fn session(agent: AgentKind) -> RecordBody {
    event(AgentEvent::Session(SessionRef {
        agent,
        id: SessionId::new("0199-thread").unwrap(),
    }))
}

fn a_whole_turn(agent: AgentKind, end: RecordBody) -> Vec<TurnRecord> {
    let plan = PlanStep {
        text: "One".into(),
        status: PlanStatus::InProgress,
    };
    let mut bodies = vec![
        begun(cumulative_header(agent)),
        event(AgentEvent::Place {
            cwd: "/workspace/4711".into(),
        }),
        event(AgentEvent::Model {
            id: "a-model".into(),
        }),
        session(agent),
        event(AgentEvent::Reasoning {
            block: block("r"),
            parent: None,
            delta: "Hm, ".into(),
        }),
        event(AgentEvent::Reasoning {
            block: block("r"),
            parent: None,
            delta: "well.".into(),
        }),
        event(AgentEvent::BlockEnd { block: block("r") }),
        text("I look. "),
    ];
    bodies.extend(tool("c1", "Bash", json!({"command": "ls"}), "Cargo.toml\n"));
    bodies.extend(tool(
        "c2",
        "Bash",
        json!({"command": "false"}),
        "[exit code 1]",
    ));
    bodies.push(event(AgentEvent::Plan {
        call: call("p"),
        steps: vec![plan],
    }));
    bodies.extend(tool("c3", "mcp__files__read", json!({"path": "x"}), "text"));
    bodies.push(text("Done: né."));
    bodies.push(event(AgentEvent::Usage(Usage {
        input_tokens: 11,
        cached_input_tokens: 3,
        output_tokens: 5,
        ..Usage::default()
    })));
    bodies.push(end);
    stamped(bodies)
}

/// A call with its end, which failed if its output says so.
fn tool(id: &str, name: &str, input: Value, output: &str) -> [RecordBody; 2] {
    let failed = output.contains("[exit code");
    let finished = ToolEvent::Finished {
        call: call(id),
        status: if failed {
            ToolStatus::Failed
        } else {
            ToolStatus::Done
        },
        output: output.into(),
    };
    [started(id, name, input), event(AgentEvent::Tool(finished))]
}

#[test]
fn however_it_is_batched_both_backends_store_the_same() {
    for agent in [AgentKind::Codex, AgentKind::ClaudeCode] {
        let turn = a_whole_turn(agent, completed("Done: né."));
        let whole = cumulative::assert_clean(&callbacks(&sent(&turn, 1000)));
        for look in [1, 2, 3, 7] {
            let stored = cumulative::assert_clean(&callbacks(&sent(&turn, look)));
            assert_eq!(stored.result, whole.result, "{agent} {look}");
        }
        assert_eq!(whole.value(), "I look. Done: né.");
        // One call each, and the plan.
        assert_eq!(whole.blocks("tool_use").len(), 4, "{whole:#?}");
        assert_eq!(whole.blocks("tool_result").len(), 4);
        assert_eq!(whole.details("reasoning")[0]["content"], "Hm, well.");
        let system = whole.details("system")[0];
        assert_eq!(
            (&system["model"], &system["cwd"]),
            (&json!("a-model"), &json!("/workspace/4711"))
        );
        let result = whole.details("result")[0];
        assert_eq!(result["usage"]["cached_input_tokens"], 3);
        assert_eq!(result["usage"]["output_tokens"], 5);
    }
}

#[test]
fn codex_events_are_those_of_its_own_command_line() {
    let turn = a_whole_turn(AgentKind::Codex, completed("Done: né."));
    let stored = cumulative::assert_clean(&callbacks(&sent(&turn, 3)));
    let types = stored.event_types();
    assert_eq!(&types[..2], ["thread.started", "turn.started"]);
    assert_eq!(types.last(), Some(&"turn.completed"));
    let events = stored.result["codex_events"].as_array().unwrap();
    let completed: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "item.completed")
        .map(|event| &event["item"])
        .collect();
    let command = completed.iter().find(|item| item["id"] == "c2").unwrap();
    assert_eq!(
        (&command["exit_code"], &command["status"]),
        (&json!(1), &json!("failed"))
    );
    let mcp = completed
        .iter()
        .find(|item| item["type"] == "mcp_tool_call")
        .unwrap();
    assert_eq!(
        (&mcp["server"], &mcp["tool"]),
        (&json!("files"), &json!("read"))
    );
    let claude = a_whole_turn(AgentKind::ClaudeCode, self::completed("x"));
    let stored = cumulative::assert_clean(&callbacks(&sent(&claude, 3)));
    assert_eq!(stored.event_types(), [""; 0]);
}

#[test]
fn a_failure_has_its_text_twice_and_what_was_said_before() {
    let failed = ended(EndKind::Failed {
        class: ErrorClass::Agent,
        message: "It broke.".into(),
        code: None,
    });
    let stored = cumulative::assert_clean(&callbacks(&sent(
        &a_whole_turn(AgentKind::Codex, failed),
        4,
    )));
    assert_eq!(stored.status, "FAILED");
    assert_eq!(stored.result["error"], "It broke.");
    assert_eq!(stored.error_message.as_deref(), Some("It broke."));
    assert_eq!(stored.value(), "I look. Done: né.");
    assert_eq!(stored.result["resume_session_id"], "0199-thread");
    assert_eq!(stored.event_types().last(), Some(&"turn.failed"));
}

#[test]
fn nothing_runs_after_a_cancel_and_the_conversation_stays_known() {
    let cancelled = ended(EndKind::Cancelled {
        reason: CancelReason::User,
        message: "Task cancelled".into(),
    });
    let turn = a_whole_turn(AgentKind::ClaudeCode, cancelled);
    let all = recorded(&turn);
    let mut encoder = CumulativeEncoder::new();
    let (mut messages, mut from, middle) = (Vec::new(), 0, all.len() / 2);
    while from < middle {
        let step = encoder.next(&all[from..middle]);
        from += step.consumed;
        messages.extend(step.message);
    }
    let half = messages.len();
    encoder.allow(Allowance::Nothing);
    while from < all.len() {
        let step = encoder.next(&all[from..]);
        from += step.consumed;
        messages.extend(step.message);
    }
    assert_eq!(messages.len(), half + 1, "only the end follows");
    let stored = cumulative::assert_clean(&callbacks(&messages));
    assert_eq!(stored.status, "CANCELLED");
    assert_eq!(stored.result["session_id"], "0199-thread");
}

#[test]
fn an_answer_that_never_streamed_is_sent_before_the_end() {
    let turn = stamped(vec![
        begun(cumulative_header(AgentKind::Codex)),
        completed("All at once."),
    ]);
    let stored = cumulative::assert_clean(&callbacks(&sent(&turn, 5)));
    assert_eq!(stored.value(), "All at once.");
}

#[test]
fn less_is_sent_while_less_is_allowed() {
    let turn = a_whole_turn(AgentKind::Codex, completed("Done: né."));
    let all: Vec<Recorded<'_>> = recorded(&turn);
    let mut encoder = CumulativeEncoder::new();
    assert!(encoder.next(&all[..1]).message.unwrap().required);
    let first = encoder.next(&all[..1]).message.unwrap();
    assert!(first.rest.snapshot >= Duration::from_millis(200));
    encoder.allow(Allowance::Nothing);
    let step = encoder.next(&all[1..12]);
    assert_eq!((step.consumed, step.message), (11, None));
    assert_eq!(encoder.holds_back(), Some(Allowance::Increments));
    encoder.allow(Allowance::Increments);
    let step = encoder.next(&[]);
    let body: Value = serde_json::from_slice(&step.message.unwrap().body).unwrap();
    assert!(body["result"]["codex_event"].is_array());
    assert!(body["result"].get("value").is_none());
    assert_eq!(encoder.holds_back(), Some(Allowance::Everything));
    encoder.allow(Allowance::Everything);
    let step = encoder.next(&[]);
    let body: Value = serde_json::from_slice(&step.message.unwrap().body).unwrap();
    assert_eq!(body["result"]["value"], "I look. ");
    assert!(body["result"].get("codex_event").is_none());
    assert_eq!(encoder.holds_back(), None);
}

#[test]
fn what_others_say_at_length_is_bounded_and_a_thousand_events_are_not() {
    let mut bodies = vec![
        begun(cumulative_header(AgentKind::Codex)),
        session(AgentKind::Codex),
    ];
    for number in 0..500 {
        let output = "x".repeat(if number == 0 { 2_000_000 } else { 10 });
        bodies.extend(tool(
            &format!("c{number}"),
            "Bash",
            json!({"command": "c"}),
            &output,
        ));
    }
    bodies.push(ended(EndKind::Failed {
        class: ErrorClass::Agent,
        message: "It broke.".into(),
        code: None,
    }));
    let messages = sent(&stamped(bodies), 50);
    assert!(
        messages
            .iter()
            .all(|message| message.body.len() < 1_000_000)
    );
    let stored = cumulative::assert_clean(&callbacks(&messages));
    assert_eq!(stored.event_types().len(), 2 + 1000 + 1);
    assert_eq!(stored.event_types().last(), Some(&"turn.failed"));
    assert_eq!(stored.blocks("tool_use").len(), 500);
}

#[test]
fn the_end_fits_through_a_narrow_door() {
    let turn = a_whole_turn(AgentKind::Codex, completed("Done: né."));
    let all = recorded(&turn);
    let mut encoder = CumulativeEncoder::new();
    let mut from = 0;
    while from < all.len() {
        assert!(encoder.minimal_terminal().is_none());
        from += encoder.next(&all[from..]).consumed;
    }
    let smallest = encoder.minimal_terminal().unwrap();
    assert!(smallest.terminal && smallest.body.len() < 600);
    let body: Value = serde_json::from_slice(&smallest.body).unwrap();
    assert_eq!(
        (&body["status"], &body["progress"]),
        (&json!("COMPLETED"), &json!(100))
    );
}

#[test]
fn the_oracle_stores_what_a_running_wegent_stored() {
    for name in [
        "codex-basic",
        "codex-tool",
        "codex-fail",
        "claudecode-basic",
        "claudecode-tool",
        "claudecode-fail",
    ] {
        let recorded = fixture_json(&format!("flat/callbacks/{name}.json"));
        let bodies = recorded["callbacks"].as_array().unwrap().iter().cloned();
        let log: Vec<Callback> = bodies.map(Callback::of).collect();
        let stored = cumulative::replay(&log, cumulative::Rule::Merge);
        assert_eq!(stored.result, recorded["stored"]["result"], "{name}");
        assert_eq!(stored.status, recorded["stored"]["status"], "{name}");
    }
}

#[test]
fn what_has_changed_is_shown_once_it_is_known() {
    let changes = |paths: &[&str], commits: &[&str]| {
        let file = |path: &&str| FileChange {
            path: (*path).to_owned(),
            kind: FileChangeKind::Modified,
            additions: 3,
            deletions: 1,
            binary: false,
        };
        let commit = |message: &&str| CommitMade {
            id: "c0ffee".repeat(6),
            message: (*message).to_owned(),
            author: "Ada".into(),
            email: "ada@example.invalid".into(),
            at_seconds: 0,
            files: 1,
            additions: 3,
            deletions: 1,
        };
        FileChanges {
            files: paths.iter().map(file).collect(),
            commits: commits.iter().map(commit).collect(),
            ..FileChanges::default()
        }
    };
    let so_far = changes(&["a"], &[]);
    let end = wegent_protocol::TurnEnd {
        kind: EndKind::Completed {
            text: "Done.".into(),
            stop: agent_core::StopReason::EndTurn,
        },
        usage: None,
        tool_called: true,
        session: None,
        changes: changes(&["a", "b"], &["Say more"]),
        clean_up: Default::default(),
    };
    let records = stamped(vec![
        begun(cumulative_header(AgentKind::Codex)),
        text("Done."),
        RecordBody::Changes(Box::new(redacted(so_far))),
        RecordBody::Ended(Box::new(redacted(end))),
    ]);
    let callbacks = callbacks(&sent(&records, 1));
    let workbench = |number: usize| &callbacks[number].body["result"]["workbench"];
    let files = |number: usize| workbench(number)["file_changes"].as_array().unwrap().len();
    let last = callbacks.len() - 1;
    assert_eq!((files(1), files(last - 1), files(last)), (0, 1, 2));
    assert_eq!(workbench(last - 1)["summary"], "Do it.");
    let summary = workbench(last)["summary"].as_str().unwrap();
    assert!(summary.starts_with("### commit id: c0ffee"), "{summary}");
    assert!(summary.ends_with("\n\nSay more\n\n---\n\n"), "{summary}");
}
