//! Every kind of callback against the shape that Wegent takes.

use std::collections::BTreeSet;

use agent_core::{
    AgentEvent, AgentKind, CancelReason, Choice, CommitMade, ErrorClass, Field, FileChange,
    FileChangeKind, FileChanges, Form, Notice, NoticeKind, PlanStatus, PlanStep, Preparation,
    PreparationState, PrepareStep, Question, SessionId, SessionRef, StopReason, SubagentEvent,
    ToolEvent, ToolStatus, Usage,
};
use serde_json::{Value, json};
use wegent_protocol::{Encoder, EndKind, RecordBody, ResponsesEncoder, TurnEnd};

use crate::support::*;

/// The paths of all fields of `value`.
fn keys(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = format!("{path}.{name}");
                    walk(value, &path, found);
                    found.insert(path);
                }
            }
            Value::Array(items) => items
                .iter()
                .for_each(|item| walk(item, &format!("{path}[]"), found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(value, "", &mut found);
    found
}

/// The callback that the last of `bodies` gives.
fn last_of(bodies: impl IntoIterator<Item = RecordBody>) -> Value {
    callbacks_one_by_one(std::iter::once(begun(header())).chain(bodies))
        .pop()
        .unwrap()
}

fn usage() -> Usage {
    Usage {
        input_tokens: 51_234,
        output_tokens: 812,
        ..Usage::default()
    }
}

fn end(kind: EndKind) -> RecordBody {
    RecordBody::Ended(Box::new(redacted(TurnEnd {
        kind,
        usage: Some(usage()),
        tool_called: true,
        session: None,
        changes: FileChanges::default(),
        clean_up: Default::default(),
    })))
}

#[test]
fn every_callback_equals_the_one_that_wegent_takes() {
    let child = |delta: &str| {
        event(AgentEvent::Text {
            block: block("msg_abc:text:0"),
            parent: Some(call("toolu_01Task")),
            delta: delta.into(),
        })
    };
    let failed = EndKind::Failed {
        class: ErrorClass::RateLimited,
        message: "API Error: 429 rate limited".into(),
        code: None,
    };
    let cancelled = EndKind::Cancelled {
        reason: CancelReason::User,
        message: "Task cancelled".into(),
    };
    let cases = [
        ("created", last_of([])),
        ("text-delta", last_of([text("I will look at the code.")])),
        (
            "reasoning-delta",
            last_of([reasoning("The bug is in the total.")]),
        ),
        ("error", last_of([end(failed)])),
        ("incomplete-cancelled", last_of([end(cancelled)])),
        (
            "block-updated-tool",
            last_of([bash(), finished("toolu_01Bash", "src\nREADME.md")]),
        ),
        // The times of the next two are those of the records.
        ("block-created-tool", last_of([text("a"), bash()])),
        (
            "block-created-child-text",
            last_of([
                bash(),
                text("…"),
                reasoning("…"),
                child("Found 3 "),
                child("usages."),
                event(AgentEvent::BlockEnd {
                    block: block("msg_abc:text:0"),
                }),
            ]),
        ),
    ];
    for (name, callback) in cases {
        assert_eq!(
            callback,
            fixture_json(&format!("callbacks/{name}.json")),
            "{name}"
        );
    }
}

#[test]
fn the_end_of_a_turn_has_its_text_and_its_figures() {
    let callback = last_of([end(EndKind::Completed {
        text: "Fixed the rounding of the total.".into(),
        stop: StopReason::EndTurn,
    })]);
    let mut sample = fixture_json("callbacks/completed.json");
    // We tell more than the sample does.
    sample["data"]["response"]["usage"]["input_tokens_details"] = json!({"cached_tokens": 0});
    sample["data"]["response"]["usage"]["output_tokens_details"] = json!({"reasoning_tokens": 0});
    assert_eq!(callback, sample);
}

#[test]
fn a_validation_answers_with_its_id() {
    let mut header = header();
    let envelope = &mut header.envelope;
    envelope.validation_id = Some("6f9b4e7a-8f52-4e0e-9f0f-0d8b1b7c2a11".into());
    envelope.message_id = None;
    let callbacks = callbacks([begun(header), completed("{\"valid\": false}")]);
    assert_eq!(
        keys(&callbacks[1]),
        keys(&fixture_json("callbacks/completed-validation.json"))
    );
}

#[test]
fn a_recorded_turn_is_encoded_with_the_fields_that_were_accepted() {
    let mut header = header();
    header.envelope.executor_namespace = None;
    let callbacks = callbacks([
        begun(header),
        bash(),
        finished("toolu_01Bash", "tool-kappa"),
        text("answer kappa"),
        completed("answer kappa"),
    ]);
    let recorded = fixture_json("callbacks/live-claudecode-tool.json");
    let recorded = recorded.as_array().unwrap();
    assert_eq!(callbacks.len(), recorded.len());
    for (ours, accepted) in callbacks.iter().zip(recorded) {
        let mut expected = keys(accepted);
        // What a tool's arguments are called is the tool's affair.
        expected.retain(|key| !key.ends_with(".description"));
        assert_eq!(keys(ours), expected);
        assert_eq!(ours["event_type"], accepted["event_type"]);
    }
}

#[test]
fn what_comes_in_while_a_request_is_in_flight_is_merged() {
    let callbacks = callbacks([
        begun(header()),
        text("a"),
        event(AgentEvent::Usage(usage())),
        text("é"),
        reasoning("x"),
        reasoning("y"),
        text("z"),
        bash(),
        output("toolu_01Bash", "1\n"),
        output("toolu_01Bash", "2\n"),
        finished("toolu_01Bash", "1\n2\n"),
        completed("aéz"),
    ]);
    let told: Vec<(&str, Value)> = callbacks
        .iter()
        .map(|callback| {
            let data = &callback["data"];
            let told = [
                &data["delta"],
                &data["updates"]["tool_output"],
                &data["block"]["tool_name"],
            ];
            let told = told
                .into_iter()
                .find(|value| !value.is_null())
                .cloned()
                .unwrap_or_default();
            (
                callback["event_type"]
                    .as_str()
                    .unwrap()
                    .trim_start_matches("response."),
                told,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("created", Value::Null),
            ("output_text.delta", json!("aé")),
            ("reasoning_summary_text.delta", json!("xy")),
            ("output_text.delta", json!("z")),
            ("block.created", json!("Bash")),
            ("block.updated", json!("1\n2\n")),
            ("completed", Value::Null),
        ]
    );
    assert_eq!(callbacks[3]["data"]["offset"], 2);
    assert_eq!(callbacks[5]["data"]["updates"]["status"], "done");
}

#[test]
fn a_long_text_is_sent_in_pieces_whose_offsets_fit() {
    let long = "né\u{1F600}".repeat(100_000);
    let callbacks = callbacks([
        begun(header()),
        text("x"),
        text(&long),
        text("y"),
        completed(""),
    ]);
    let mut sent = String::new();
    let deltas = callbacks
        .iter()
        .filter(|callback| callback["event_type"] == "response.output_text.delta");
    for callback in deltas {
        let delta = callback["data"]["delta"].as_str().unwrap();
        assert!(delta.len() <= 256 * 1024);
        assert_eq!(callback["data"]["offset"], sent.chars().count());
        sent.push_str(delta);
    }
    assert_eq!(sent, format!("x{long}y"));
    assert_eq!(
        callbacks.last().unwrap()["data"]["response"]["output"],
        json!([])
    );
}

#[test]
fn a_call_whose_start_was_lost_gets_a_block_all_the_same() {
    let callbacks = callbacks([begun(header()), finished("lost", "out"), completed("x")]);
    assert_eq!(callbacks[1]["data"]["block"]["id"], "lost");
    assert_eq!(callbacks[1]["data"]["block"]["status"], "pending");
    assert_eq!(callbacks[2]["data"]["block_id"], "lost");
    assert_eq!(callbacks[2]["data"]["updates"]["tool_output"], "out");
    assert_eq!(callbacks.len(), 4);
}

#[test]
fn what_is_open_at_the_end_is_closed_before_it() {
    let callbacks = callbacks([
        begun(header()),
        bash(),
        output("toolu_01Bash", "so far"),
        started("second", "Edit", json!({})),
        event(AgentEvent::Reasoning {
            block: block("child"),
            parent: Some(call("second")),
            delta: "hm".into(),
        }),
        ended(EndKind::Cancelled {
            reason: CancelReason::User,
            message: "Task cancelled".into(),
        }),
    ]);
    let tail: Vec<Value> = callbacks[4..]
        .iter()
        .map(|callback| callback["data"].clone())
        .collect();
    assert_eq!(tail[0]["block"]["type"], "thinking");
    assert_eq!(
        tail[1]["updates"],
        json!({"tool_output": "so far", "status": "error"}),
        "the output so far is kept"
    );
    assert_eq!(
        tail[2],
        json!({"type": "response.block.updated", "block_id": "second", "updates": {"status": "error"}})
    );
    assert_eq!(tail[3]["type"], "response.incomplete");
    assert_eq!(tail.len(), 4);
}

#[test]
fn a_failed_call_is_an_error_and_later_words_about_it_are_dropped() {
    let callbacks = callbacks([
        begun(header()),
        bash(),
        tool(ToolEvent::Finished {
            call: call("toolu_01Bash"),
            status: ToolStatus::Failed,
            output: "declined".into(),
        }),
        output("toolu_01Bash", "late"),
        finished("toolu_01Bash", "again"),
        completed("x"),
    ]);
    assert_eq!(callbacks.len(), 4);
    assert_eq!(callbacks[2]["data"]["updates"]["status"], "error");
}

#[test]
fn a_plan_is_one_card_that_changes() {
    let plan = |status| {
        let steps = vec![PlanStep {
            text: "Read".into(),
            status,
        }];
        event(AgentEvent::Plan {
            call: call("plan-1"),
            steps,
        })
    };
    let callbacks = callbacks_one_by_one([
        begun(header()),
        plan(PlanStatus::Pending),
        plan(PlanStatus::InProgress),
        completed("x"),
    ]);
    let todo = |status: &str| json!({"todos": [{"content": "Read", "status": status, "activeForm": "Read"}]});
    assert_eq!(callbacks[1]["data"]["block"]["tool_name"], "TodoWrite");
    assert_eq!(callbacks[1]["data"]["block"]["tool_input"], todo("pending"));
    assert_eq!(
        callbacks[2]["data"]["updates"],
        json!({"tool_input": todo("pending"), "status": "done"})
    );
    assert_eq!(
        callbacks[3]["data"]["updates"],
        json!({"tool_input": todo("in_progress"), "status": "done"})
    );
    assert_eq!(callbacks.len(), 5, "a plan is not closed twice");
}

#[test]
fn a_slow_step_of_the_preparation_is_shown_as_a_tool_call_is() {
    let told = |step, state, note: &str| {
        event(AgentEvent::Preparation(Preparation {
            step,
            state,
            note: note.into(),
        }))
    };
    use PreparationState::{Done, Running};
    let callbacks = callbacks([
        begun(header()),
        told(PrepareStep::Git, Running, "receiving objects: 1 %"),
        told(PrepareStep::Git, Running, "receiving objects: 99 %"),
        told(PrepareStep::PreExecuteHook, Running, "make deps"),
        told(PrepareStep::Git, Done, "main at 0f3a9c1"),
        ended(EndKind::Cancelled {
            reason: CancelReason::User,
            message: "Task cancelled".into(),
        }),
    ]);
    let block = &callbacks[1]["data"]["block"];
    assert_eq!(
        (&block["id"], &block["tool_name"], &block["tool_input"]),
        (
            &json!("prepare-git"),
            &json!("Prepare"),
            &json!({"step": "git"})
        )
    );
    let updates: Vec<_> = callbacks
        .iter()
        .filter(|callback| callback["event_type"] == "response.block.updated")
        .map(|callback| {
            let data = &callback["data"];
            (data["block_id"].as_str().unwrap(), &data["updates"])
        })
        .collect();
    assert_eq!(
        updates,
        [
            // Words that come close to each other are one message.
            (
                "prepare-git",
                &json!({"tool_output": "receiving objects: 99 %"})
            ),
            (
                "prepare-pre-execute-hook",
                &json!({"tool_output": "make deps"})
            ),
            (
                "prepare-git",
                &json!({"tool_output": "main at 0f3a9c1", "status": "done"})
            ),
            // What was cut off does not spin for ever.
            ("prepare-pre-execute-hook", &json!({"status": "error"})),
        ]
    );
}

#[test]
fn notices_and_gaps_are_paragraphs_of_the_answer() {
    let notice = event(AgentEvent::Notice(Notice {
        kind: NoticeKind::FreshSession,
        text: "A new start.".into(),
    }));
    let callbacks = callbacks([
        begun(header()),
        notice,
        text("One."),
        RecordBody::Gap { dropped: 1 },
        RecordBody::Gap { dropped: 12 },
        text("Two."),
        completed("Two."),
    ]);
    assert_eq!(
        callbacks[1]["data"]["delta"],
        "> A new start.\n\nOne.\n\n> 1 event could not be kept and is missing here.\n\n\
         > 12 events could not be kept and are missing here.\n\nTwo."
    );
    assert_eq!(callbacks.len(), 3);
}

#[test]
fn the_model_and_the_conversation_are_told_at_the_end() {
    let mut header = header();
    header.envelope.bot_id = Some("44".into());
    let session = SessionRef {
        agent: AgentKind::Codex,
        id: SessionId::new("thread-1").unwrap(),
    };
    let file = |path: &str, kind, additions| FileChange {
        path: path.into(),
        kind,
        additions,
        deletions: 1,
        binary: false,
    };
    let changes = FileChanges {
        files: vec![
            file("a.rs", FileChangeKind::Added, 5),
            file(
                "c.rs",
                FileChangeKind::Renamed {
                    from: "b.rs".into(),
                },
                2,
            ),
        ],
        omitted: 3,
        commits: vec![CommitMade {
            id: "c0ffee".into(),
            message: "Add a".into(),
            author: "Agent".into(),
            email: "agent@example.invalid".into(),
            at_seconds: 1_786_000_000,
            files: 2,
            additions: 7,
            deletions: 2,
        }],
        ..FileChanges::default()
    };
    let callbacks = callbacks([
        begun(header),
        event(AgentEvent::Session(session)),
        event(AgentEvent::Model {
            id: "gpt-5-2026".into(),
        }),
        event(AgentEvent::Usage(Usage {
            input_tokens: 10,
            cached_input_tokens: 4,
            output_tokens: 5,
            reasoning_tokens: 2,
            ..Usage::default()
        })),
        RecordBody::Ended(Box::new(redacted(TurnEnd {
            kind: EndKind::Completed {
                text: "x".into(),
                stop: StopReason::MaxTokens,
            },
            usage: None,
            tool_called: true,
            session: None,
            changes,
            clean_up: Default::default(),
        }))),
    ]);
    assert_eq!(
        callbacks[0]["data"]["response"]["model"],
        "claude-sonnet-4-6"
    );
    let response = &callbacks[1]["data"]["response"];
    assert_eq!(response["model"], "gpt-5-2026");
    assert_eq!(response["stop_reason"], "max_tokens");
    assert_eq!(
        response["executor_session"],
        json!({"agent": "CodeX", "threadId": "thread-1", "botId": 44})
    );
    assert_eq!(
        response["usage"],
        json!({
            "input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 4}, "output_tokens_details": {"reasoning_tokens": 2},
        })
    );
    let changes = &response["file_changes"];
    assert_eq!(
        [
            &changes["file_count"],
            &changes["additions"],
            &changes["deletions"]
        ],
        [&json!(5), &json!(7), &json!(2)]
    );
    assert_eq!(
        changes["files"],
        json!([
            {"path": "a.rs", "change_type": "created", "additions": 5, "deletions": 1, "binary": false},
            {"path": "c.rs", "old_path": "b.rs", "change_type": "modified", "additions": 2, "deletions": 1, "binary": false},
        ])
    );
    assert_eq!(changes["commits"][0]["commit_id"], "c0ffee");
}

fn asked(id: &str, form: Form) -> RecordBody {
    event(AgentEvent::Question(Question {
        call: call(id),
        form,
    }))
}

fn waiting(id: &str) -> RecordBody {
    end(EndKind::Waiting { call: call(id) })
}

#[test]
fn a_waiting_turn_ends_without_an_answer_and_without_figures() {
    let callback = last_of([text("Let me ask."), waiting("toolu_1")]);
    assert_eq!(callback["event_type"], "response.completed");
    let response = &callback["data"]["response"];
    assert_eq!(response["status"], "completed");
    assert_eq!(response["output"], json!([]));
    assert_eq!(response.get("usage"), Some(&Value::Null));
    assert_eq!(response["stop_reason"], "tool_deferred");
    assert_eq!(response["silent_exit"], true);
    assert_eq!(response["silent_exit_reason"], "waiting_for_user_input");
}

#[test]
fn an_agents_own_questions_become_a_form() {
    let form = Form::Fields(vec![
        Field::choice("where", "Where to?", [Choice::new("Here")]),
        Field::text("why", "Why?"),
    ]);
    let callbacks = callbacks([begun(header()), asked("ask-1", form), waiting("ask-1")]);
    let arguments = json!({"questions": [
        {"id": "where", "question": "Where to?", "input_type": "choice", "multi_select": false, "required": true,
         "options": [{"label": "Here", "value": "Here"}]},
        {"id": "why", "question": "Why?", "input_type": "text", "multi_select": false, "required": true, "options": []},
    ]});
    let types: Vec<&str> = callbacks
        .iter()
        .filter_map(|c| c["event_type"].as_str())
        .collect();
    assert_eq!(
        types,
        [
            "response.created",
            "response.block.created",
            "response.output_item.done",
            "response.completed"
        ]
    );
    let block = &callbacks[1]["data"]["block"];
    assert_eq!(block["id"], "ask-1");
    assert_eq!(block["tool_name"], "interactive_form_question");
    assert_eq!(block["tool_input"], arguments);
    let item = &callbacks[2]["data"]["item"];
    assert_eq!(
        (
            &item["type"],
            &item["id"],
            &item["call_id"],
            &item["name"],
            &item["status"]
        ),
        (
            &json!("function_call"),
            &json!("ask-1"),
            &json!("ask-1"),
            &json!("interactive_form_question"),
            &json!("completed")
        )
    );
    let parsed = |field: &Value| serde_json::from_str::<Value>(field.as_str().unwrap()).unwrap();
    assert_eq!(parsed(&item["arguments"]), arguments);
    assert_eq!(parsed(&item["output"])["__deferred_user_input__"], true);
}

#[test]
fn a_form_of_the_platforms_tool_keeps_its_block() {
    let name = "mcp__forms__interactive_form_question";
    let input = json!({"questions": [{"id": "a", "question": "A?"}]});
    let form = Form::Tool {
        name: name.into(),
        input: input.clone(),
    };
    let callbacks = callbacks([
        begun(header()),
        started("toolu_1", name, input.clone()),
        bash(),
        asked("toolu_1", form),
        waiting("toolu_1"),
    ]);
    let types: Vec<&str> = callbacks
        .iter()
        .filter_map(|c| c["event_type"].as_str())
        .collect();
    assert_eq!(
        types,
        [
            "response.created",
            "response.block.created",
            "response.block.created",
            "response.output_item.done",
            // The other call was cut off; the form was not.
            "response.block.updated",
            "response.completed"
        ]
    );
    assert_eq!(callbacks[3]["data"]["item"]["name"], name);
    assert_eq!(callbacks[3]["data"]["item"]["arguments"], input.to_string());
    assert_eq!(callbacks[4]["data"]["block_id"], "toolu_01Bash");
}

#[test]
fn a_code_of_its_own_replaces_the_class() {
    let callback = last_of([ended(EndKind::Failed {
        class: ErrorClass::Unsupported,
        message: "no repositories yet".into(),
        code: Some(wegent_protocol::WORKSPACE_UNSUPPORTED.into()),
    })]);
    assert_eq!(
        callback["data"],
        json!({
            "type": "error", "code": "workspace_unsupported", "message": "no repositories yet",
        })
    );
}

#[test]
fn the_smallest_end_is_valid_and_small() {
    let ends = [
        completed(&"x".repeat(1_000_000)),
        ended(EndKind::Failed {
            class: ErrorClass::Provider,
            message: "é".repeat(1_000_000),
            code: None,
        }),
        ended(EndKind::Cancelled {
            reason: CancelReason::User,
            message: "é".repeat(1_000_000),
        }),
    ];
    for end in ends {
        let records = stamped([begun(header()), end]);
        let mut encoder = ResponsesEncoder::new();
        assert_eq!(encoder.minimal_terminal(), None);
        let full = drain(&mut encoder, &recorded(&records)).pop().unwrap();
        let smallest = encoder.minimal_terminal().unwrap();
        assert!(
            smallest.terminal && smallest.body.len() < 2000,
            "{}",
            smallest.body.len()
        );
        assert_eq!(
            (smallest.through, smallest.event_type),
            (full.through, full.event_type)
        );
        assert_ne!(smallest.key, full.key);
        let [smallest, full] = &bodies_of(&[smallest, full])[..] else {
            unreachable!()
        };
        assert!(keys(full).is_superset(&keys(smallest)));
    }
}

#[test]
fn records_survive_the_journal() {
    let records = stamped([
        begun(header()),
        text("a"),
        bash(),
        RecordBody::Gap { dropped: 3 },
        end(EndKind::Completed {
            text: "a".into(),
            stop: StopReason::EndTurn,
        }),
    ]);
    for record in records {
        let line = serde_json::to_string(&record).unwrap();
        assert_eq!(
            serde_json::from_str::<wegent_protocol::TurnRecord>(&line).unwrap(),
            record
        );
    }
}

#[test]
fn a_started_call_shows_who_made_it() {
    let nested = tool(ToolEvent::Started {
        call: call("inner"),
        parent: Some(call("outer")),
        name: "Read".into(),
        input: json!({}),
    });
    let callback = last_of([nested]);
    assert_eq!(callback["data"]["block"]["parent_tool_use_id"], "outer");
}

#[test]
fn a_sub_agent_is_a_block_that_works_and_ends() {
    let sub = |event_of: SubagentEvent| event(AgentEvent::Subagent(event_of));
    let started = |id: &str| {
        sub(SubagentEvent::Started {
            call: call(id),
            parent: None,
            name: "Task".into(),
            input: json!({"prompt": "look"}),
            description: Some("Find usages".into()),
            agent_type: Some("explorer".into()),
        })
    };
    let log = callbacks_one_by_one([
        begun(header()),
        started("toolu_01Task"),
        sub(SubagentEvent::Running {
            call: call("toolu_01Task"),
        }),
        sub(SubagentEvent::Finished {
            call: call("toolu_01Task"),
            status: ToolStatus::Done,
            output: "three".into(),
            summary: Some("found three".into()),
        }),
        // What comes late is dropped; what never ended is closed.
        sub(SubagentEvent::Running {
            call: call("toolu_01Task"),
        }),
        started("toolu_02Task"),
        completed("done"),
    ]);
    let data: Vec<&Value> = log.iter().map(|callback| &callback["data"]).collect();
    let block = &data[1]["block"];
    assert_eq!(block["type"], "subagent");
    assert_eq!(block["id"], "toolu_01Task");
    assert_eq!(block["title"], "Find usages");
    assert_eq!(block["agent_type"], "explorer");
    assert_eq!(block["status"], "queued");
    assert_eq!(block["children"], json!([]));
    assert_eq!(data[2]["updates"], json!({"status": "invoking"}));
    assert_eq!(
        data[3]["updates"],
        json!({"output": "three", "summary": "found three", "status": "done"})
    );
    assert_eq!(data[4]["block"]["id"], "toolu_02Task");
    assert_eq!(data[5]["updates"], json!({"status": "error"}));
    assert_eq!(data[6]["type"], "response.completed");
    assert_eq!(data.len(), 7);
}
