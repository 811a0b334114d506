//! What the redactor promises for whole turns.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Choice, Field, NoticeKind, PlanStatus, PlanStep, ToolStatus};

const SECRET: &str = "hunter22";

fn redactor() -> EventRedactor {
    let secrets = Secrets::new();
    secrets.add(SECRET);
    EventRedactor::new(secrets)
}

fn call(id: &str) -> ToolCallId {
    ToolCallId::new(id).unwrap()
}

fn text(block: &str, delta: &str) -> AgentEvent {
    AgentEvent::Text {
        block: BlockId::new(block).unwrap(),
        parent: None,
        delta: delta.to_owned(),
    }
}

fn block_end(block: &str) -> AgentEvent {
    AgentEvent::BlockEnd {
        block: BlockId::new(block).unwrap(),
    }
}

fn output(id: &str, delta: &str) -> AgentEvent {
    AgentEvent::Tool(ToolEvent::Output {
        call: call(id),
        delta: delta.to_owned(),
    })
}

fn finished(id: &str, output: &str) -> AgentEvent {
    AgentEvent::Tool(ToolEvent::Finished {
        call: call(id),
        status: ToolStatus::Done,
        output: output.to_owned(),
    })
}

fn started(id: &str) -> AgentEvent {
    AgentEvent::Tool(ToolEvent::Started {
        call: call(id),
        parent: None,
        name: "Bash".to_owned(),
        input: json!({"command": format!("echo {SECRET}")}),
    })
}

fn run(events: impl IntoIterator<Item = AgentEvent>) -> Vec<AgentEvent> {
    let mut redactor = redactor();
    let mut shown: Vec<_> = events
        .into_iter()
        .flat_map(|event| redactor.push(event))
        .collect();
    shown.extend(redactor.finish());
    shown.into_iter().map(Redacted::into_inner).collect()
}

#[test]
fn text_without_secrets_is_one_event_as_it_was() {
    let mut redactor = redactor();
    let shown = redactor.push(text("b", "nothing to hide, "));
    assert_eq!(shown, [Redacted(text("b", "nothing to hide, "))]);
}

#[test]
fn a_split_secret_is_replaced_and_empty_deltas_vanish() {
    let events = [
        text("b", "the hun"),
        text("b", "ter2"),
        text("b", ""),
        text("b", "2!"),
        block_end("b"),
    ];
    assert_eq!(
        run(events),
        [text("b", "the "), text("b", "[redacted]!"), block_end("b")]
    );
}

#[test]
fn held_text_goes_before_the_end_of_its_block() {
    assert_eq!(
        run([text("b", "hun"), block_end("b")]),
        [text("b", "hun"), block_end("b")]
    );
}

#[test]
fn held_text_is_not_overtaken_by_a_tool_and_its_secret_is_not_completed() {
    let shown = run([text("a", "my hunter"), started("t"), text("b", "22 is")]);
    let AgentEvent::Tool(ToolEvent::Started { input, .. }) = &shown[2] else {
        panic!("{shown:?}")
    };
    assert_eq!(input, &json!({"command": "echo [redacted]"}));
    assert_eq!(shown[..2], [text("a", "my "), text("a", "hunter")]);
    assert_eq!(shown[3..], [text("b", "[redacted] is")]);
}

#[test]
fn a_question_shows_no_secret_and_is_not_overtaken() {
    let question = |form| {
        AgentEvent::Question(Question {
            call: call(&format!("ask {SECRET}")),
            form,
        })
    };
    let field = Field::choice(SECRET, format!("{SECRET}?"), [Choice::new(SECRET)]);
    let tool = Form::Tool {
        name: SECRET.to_owned(),
        input: json!({"questions": [{"question": SECRET}]}),
    };
    for form in [Form::Fields(vec![field]), tool] {
        let shown = run([text("a", "hunt"), question(form), text("a", "er")]);
        assert_eq!(shown[0], text("a", "hunt"));
        let told = serde_json::to_string(&shown[1]).unwrap();
        assert!(
            told.contains("question") && !told.contains(SECRET),
            "{told}"
        );
    }
}

#[test]
fn usage_does_not_flush_text() {
    let usage = || AgentEvent::Usage(crate::Usage::default());
    assert_eq!(
        run([text("a", "hunter"), usage(), text("a", "22")]),
        [usage(), text("a", "[redacted]")]
    );
}

#[test]
fn tool_output_is_a_stream_that_ends_before_its_call() {
    let events = [
        output("t", "hun"),
        output("u", "x"),
        output("t", "ter22 hunt"),
        finished("t", SECRET),
    ];
    assert_eq!(
        run(events),
        [
            output("u", "x"),
            output("t", "[redacted] "),
            output("t", "hunt"),
            finished("t", "[redacted]")
        ]
    );
}

#[test]
fn every_other_string_is_redacted() {
    let with = |secret: &str| {
        [
            AgentEvent::Model {
                id: format!("m-{secret}"),
            },
            AgentEvent::Session(SessionRef {
                agent: crate::AgentKind::Codex,
                id: SessionId::new(secret).unwrap(),
            }),
            AgentEvent::Plan {
                call: call(secret),
                steps: vec![PlanStep {
                    text: secret.to_owned(),
                    status: PlanStatus::Pending,
                }],
            },
            AgentEvent::Notice(Notice {
                kind: NoticeKind::Warning,
                text: secret.to_owned(),
            }),
            AgentEvent::Retry(crate::Retry {
                count: 1,
                limit: None,
                error: secret.to_owned(),
            }),
            AgentEvent::Preparation(crate::Preparation {
                step: crate::PrepareStep::Git,
                state: crate::PreparationState::Running,
                note: secret.to_owned(),
            }),
            AgentEvent::Tool(ToolEvent::Started {
                call: call(secret),
                parent: Some(call(secret)),
                name: secret.to_owned(),
                input: json!([secret]),
            }),
            AgentEvent::Tool(ToolEvent::Input {
                call: call(secret),
                input: json!({secret: 1}),
            }),
            output(secret, secret),
            finished(secret, secret),
            AgentEvent::Reasoning {
                block: BlockId::new(secret).unwrap(),
                parent: Some(call(secret)),
                delta: secret.to_owned(),
            },
            block_end(secret),
        ]
    };
    assert_eq!(run(with(SECRET)), with("[redacted]"));
}

#[test]
fn values_are_redacted_and_read_back_as_written() {
    let steps = vec![PlanStep {
        text: format!("use {SECRET}"),
        status: PlanStatus::Completed,
    }];
    let redacted = redactor().redact_value(steps).unwrap();
    assert_eq!(redacted[0].text, "use [redacted]");
    let json = serde_json::to_string(&redacted).unwrap();
    assert_eq!(json, r#"[{"text":"use [redacted]","status":"completed"}]"#);
    assert_eq!(
        serde_json::from_str::<Redacted<Vec<PlanStep>>>(&json).unwrap(),
        redacted
    );
}

#[test]
fn a_value_that_needs_its_secret_is_an_error() {
    let secrets = Secrets::new();
    secrets.add("completed");
    assert!(matches!(
        redact_value(&secrets, PlanStatus::Completed),
        Err(RedactError::Decode(_))
    ));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut redactor = redactor();
    for n in 0..3 * REMEMBERED {
        redactor.push(text(&format!("b{n}"), "hun"));
        redactor.push(output(&format!("t{n}"), "hun"));
    }
    assert_eq!(
        (redactor.parked.len(), redactor.outputs.len()),
        (REMEMBERED, REMEMBERED)
    );
}

/// Random turns whose text is made of fragments of secrets that overlap.
fn turn() -> impl Strategy<Value = Vec<AgentEvent>> {
    let fragment = prop_oneof![
        6 => (0..OVERLAPPING.len(), 0..8_usize, 1..9_usize).prop_map(|(which, start, length)| {
            OVERLAPPING[which].chars().skip(start).take(length).collect::<String>()
        }),
        1 => Just("[redacted]".to_owned()),
        1 => "[a-c ]{0,2}",
    ];
    let event = (fragment, 0..16_usize, any::<bool>()).prop_map(|(delta, what, which)| {
        let name = if which { "a" } else { "b" };
        let block = BlockId::new(name).unwrap();
        match what {
            0..=7 => text(name, &delta),
            8 | 9 => AgentEvent::Text {
                block,
                parent: Some(call("p")),
                delta,
            },
            10 => AgentEvent::Reasoning {
                block,
                parent: None,
                delta,
            },
            11 => block_end(name),
            12 => started(name),
            13 | 14 => output(name, &delta),
            _ => finished(name, &delta),
        }
    });
    proptest::collection::vec(event, 0..40)
}

const OVERLAPPING: [&str; 4] = ["abcabcxc", "cxcabcab", "hunter22", "acted]abc"];

/// Everything a reader may join: each block, each lane, each call.
fn joined(events: &[AgentEvent]) -> Vec<String> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut append =
        |key: String, delta: &str| match all.iter_mut().find(|(known, _)| *known == key) {
            Some((_, text)) => text.push_str(delta),
            None => all.push((key, delta.to_owned())),
        };
    for event in events {
        match event {
            AgentEvent::Text {
                block,
                parent,
                delta,
            } => {
                append(format!("text {parent:?}"), delta);
                append(format!("text {parent:?} {block}"), delta);
            }
            AgentEvent::Reasoning {
                block,
                parent,
                delta,
            } => {
                append(format!("reasoning {parent:?}"), delta);
                append(format!("reasoning {parent:?} {block}"), delta);
            }
            AgentEvent::Tool(ToolEvent::Output { call, delta }) => {
                append(format!("tool {call}"), delta)
            }
            _ => {}
        }
    }
    all.into_iter().map(|(_, text)| text).collect()
}

/// The events that have a place in the answer, deltas without their text.
fn places(events: &[AgentEvent]) -> Vec<String> {
    let mut places: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::Text { delta, .. } | AgentEvent::Reasoning { delta, .. }
                if delta.is_empty() =>
            {
                None
            }
            AgentEvent::Text { block, parent, .. } => Some(format!("text {parent:?} {block}")),
            AgentEvent::Reasoning { block, parent, .. } => {
                Some(format!("reasoning {parent:?} {block}"))
            }
            AgentEvent::Tool(ToolEvent::Output { .. }) => None,
            other => Some(format!("{:?}", std::mem::discriminant(other))),
        })
        .collect();
    places.dedup();
    places
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_secret_survives_in_what_a_reader_joins(events in turn()) {
        let secrets = Secrets::new();
        OVERLAPPING.iter().for_each(|&secret| assert_eq!(secrets.add(secret), redact::Added::Guarded));
        let mut redactor = EventRedactor::new(secrets);
        let mut shown: Vec<_> = events.iter().cloned().flat_map(|event| redactor.push(event)).collect();
        shown.extend(redactor.finish());
        let shown: Vec<AgentEvent> = shown.into_iter().map(Redacted::into_inner).collect();
        for text in joined(&shown) {
            for secret in OVERLAPPING {
                prop_assert!(!text.contains(secret), "{:?} in {:?}", secret, text);
            }
        }
    }

    #[test]
    fn texts_that_only_begin_secrets_come_out_whole_and_in_place(events in turn()) {
        // Its first part is in the texts often, the whole never.
        let secrets = Secrets::new();
        secrets.add("abcabcabcabc!");
        let mut redactor = EventRedactor::new(secrets);
        let mut shown: Vec<_> = events.iter().cloned().flat_map(|event| redactor.push(event)).collect();
        shown.extend(redactor.finish());
        let shown: Vec<AgentEvent> = shown.into_iter().map(Redacted::into_inner).collect();
        let nonempty = |events: &[AgentEvent]| {
            let mut texts = joined(events);
            texts.retain(|text| !text.is_empty());
            texts.sort();
            texts
        };
        prop_assert_eq!(nonempty(&shown), nonempty(&events));
        prop_assert_eq!(places(&shown), places(&events));
    }
}

#[test]
fn what_a_sub_agent_was_told_and_reports_is_redacted() {
    let started = AgentEvent::Subagent(SubagentEvent::Started {
        call: call("c"),
        parent: None,
        name: "Agent".into(),
        input: json!({ "prompt": format!("use {SECRET}") }),
        description: Some(SECRET.into()),
        agent_type: None,
    });
    let finished = AgentEvent::Subagent(SubagentEvent::Finished {
        call: call("c"),
        status: ToolStatus::Done,
        output: format!("it was {SECRET}"),
        summary: Some(SECRET.into()),
    });
    let shown = run([started, finished]);
    assert_eq!(shown.len(), 2);
    assert!(!serde_json::to_string(&shown).unwrap().contains(SECRET));
}
