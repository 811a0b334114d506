//! What holds for any turn, however its records are batched.

use std::collections::HashSet;

use agent_core::{
    AgentEvent, AgentKind, CancelReason, ErrorClass, Field, Form, Notice, NoticeKind, PlanStatus,
    PlanStep, Preparation, PreparationState, PrepareStep, Question, Retry, SessionId, SessionRef,
    ToolEvent, ToolStatus, Usage,
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;
use testkit::{Callback, oracle};
use wegent_protocol::{
    Encoder, EndKind, Message, RecordBody, Recorded, ResponsesEncoder, TurnRecord,
};

use crate::support::*;

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        60 => select(vec!["a", "é\u{1F600}", "\n", "\n\n", "word \n", "", "e\u{301}x", "\n> y"]).prop_map(String::from),
        // More than fits into one message, and more than is shown of a tool's output.
        1 => Just("0123456789é".repeat(30_000)),
    ]
}

fn id() -> impl Strategy<Value = &'static str> {
    select(vec!["one", "two", "three"])
}

fn happening() -> impl Strategy<Value = RecordBody> {
    let child = (id(), any::<bool>(), words()).prop_map(|(id, thinks, delta)| {
        let (block, parent) = (block(id), Some(call("parent")));
        event(match thinks {
            true => AgentEvent::Reasoning {
                block,
                parent,
                delta,
            },
            false => AgentEvent::Text {
                block,
                parent,
                delta,
            },
        })
    });
    let tools = prop_oneof![
        id().prop_map(|id| started(id, "Bash", json!({"command": id}))),
        id().prop_map(|id| tool(ToolEvent::Input {
            call: call(id),
            input: json!({"command": "more"})
        })),
        (id(), words()).prop_map(|(id, delta)| output(id, &delta)),
        (id(), words()).prop_map(|(id, delta)| finished(id, &delta)),
        id().prop_map(|id| tool(ToolEvent::Finished {
            call: call(id),
            status: ToolStatus::Failed,
            output: String::new()
        })),
    ];
    let silent = prop_oneof![
        Just(AgentEvent::Usage(Usage {
            input_tokens: 3,
            ..Usage::default()
        })),
        Just(AgentEvent::Model { id: "m".into() }),
        Just(AgentEvent::Session(SessionRef {
            agent: AgentKind::Codex,
            id: SessionId::new("t").unwrap()
        })),
        Just(AgentEvent::BlockEnd { block: block("m") }),
        words().prop_map(|error| AgentEvent::Retry(Retry {
            count: 1,
            limit: None,
            error
        })),
    ];
    let plan = select(vec![PlanStatus::Pending, PlanStatus::Completed]).prop_map(|status| {
        let steps = vec![PlanStep {
            text: "step".into(),
            status,
        }];
        event(AgentEvent::Plan {
            call: call("plan"),
            steps,
        })
    });
    let step = select(vec![PrepareStep::Git, PrepareStep::Skills]);
    let state = select(vec![
        PreparationState::Running,
        PreparationState::Done,
        PreparationState::Failed,
    ]);
    let preparation = (step, state, words()).prop_map(|(step, state, note)| {
        event(AgentEvent::Preparation(Preparation { step, state, note }))
    });
    prop_oneof![
        1 => preparation,
        6 => words().prop_map(|delta| text(&delta)),
        2 => words().prop_map(|delta| reasoning(&delta)),
        2 => child,
        1 => id().prop_map(|id| event(AgentEvent::BlockEnd { block: block(id) })),
        6 => tools,
        2 => silent.prop_map(event),
        1 => plan,
        1 => (id(), any::<bool>(), words()).prop_map(|(id, tool, text)| event(AgentEvent::Question(Question {
            call: call(id),
            form: match tool {
                true => Form::Tool { name: "mcp__f__interactive_form_question".into(), input: json!({"questions": [text]}) },
                false => Form::Fields(vec![Field::text("a", text)]),
            },
        }))),
        1 => words().prop_map(|text| event(AgentEvent::Notice(Notice { kind: NoticeKind::Warning, text }))),
        1 => (1_u64..3).prop_map(|dropped| RecordBody::Gap { dropped }),
    ]
}

fn ending() -> impl Strategy<Value = RecordBody> {
    prop_oneof![
        words().prop_map(|text| completed(&text)),
        id().prop_map(|id| ended(EndKind::Waiting { call: call(id) })),
        words().prop_map(|message| ended(EndKind::Failed {
            class: ErrorClass::Agent,
            message,
            code: None
        })),
        words().prop_map(|message| ended(EndKind::Cancelled {
            reason: CancelReason::User,
            message
        })),
    ]
}

/// A whole turn; the times between records are such that output is sometimes held back.
fn turn() -> impl Strategy<Value = Vec<TurnRecord>> {
    (vec((happening(), 0_u64..150), 0..30), ending()).prop_map(|(happenings, ending)| {
        let mut at_ms = 1_000;
        let mut records = vec![TurnRecord {
            at_ms,
            body: begun(header()),
        }];
        for (body, passed) in happenings {
            at_ms += passed;
            records.push(TurnRecord { at_ms, body });
        }
        records.push(TurnRecord {
            at_ms,
            body: ending,
        });
        records
    })
}

/// How much is pending each time the courier looks.
fn looks() -> impl Strategy<Value = Vec<usize>> {
    vec(1_usize..12, 1..60)
}

/// What was sent, and what had been acknowledged before it was.
struct Sent {
    acked: u64,
    consumed: usize,
    message: Message,
}

/// A courier that never fails: it sees some records, sends one message, and looks again.
fn courier(
    encoder: &mut ResponsesEncoder,
    mut pending: &[Recorded<'_>],
    looks: &[usize],
) -> Vec<Sent> {
    let mut sent: Vec<Sent> = Vec::new();
    let mut acked = pending.first().map_or(0, |first| first.seq - 1);
    let mut looks = looks.iter().cycle();
    while !pending.is_empty() {
        let seen = pending.len().min(*looks.next().unwrap());
        let step = encoder.next(&pending[..seen]);
        assert!(step.consumed > 0 || step.message.is_some(), "no progress");
        pending = &pending[step.consumed..];
        if let Some(message) = step.message {
            let through = message.through;
            sent.push(Sent {
                acked,
                consumed: step.consumed,
                message,
            });
            acked = through;
        }
    }
    sent
}

fn messages(sent: Vec<Sent>) -> Vec<Message> {
    sent.into_iter().map(|sent| sent.message).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_state_does_not_depend_on_batches(records in turn(), looks in looks(), cut in any::<prop::sample::Index>()) {
        let all = recorded(&records);
        let (before, after) = all.split_at(cut.index(all.len()));
        let mut one_by_one = ResponsesEncoder::new();
        courier(&mut one_by_one, before, &[1]);
        let mut batched = ResponsesEncoder::new();
        courier(&mut batched, before, &looks);
        prop_assert_eq!(drain(&mut one_by_one, after), drain(&mut batched, after));
    }

    #[test]
    fn a_message_can_be_made_again_after_a_crash(records in turn(), looks in looks(), replay in looks()) {
        let all = recorded(&records);
        for Sent { acked, message, .. } in courier(&mut ResponsesEncoder::new(), &all, &looks) {
            let (accepted, rest) = all.split_at(usize::try_from(acked).unwrap());
            let range = &rest[..usize::try_from(message.through - acked).unwrap()];
            let mut encoder = ResponsesEncoder::new();
            courier(&mut encoder, accepted, &replay);
            let mut again = drain(&mut encoder, range);
            if again.last() != Some(&message) {
                // It is one of several of a record which is not covered yet.
                again.extend(drain(&mut encoder, &rest[range.len()..]));
            }
            prop_assert!(again.contains(&message), "{} was not made again", message.key);
        }
    }

    #[test]
    fn a_message_that_covers_records_is_the_last_of_its_range(records in turn(), looks in looks()) {
        let all = recorded(&records);
        let sent = courier(&mut ResponsesEncoder::new(), &all, &looks);
        for Sent { acked, message, .. } in sent.iter().filter(|sent| sent.consumed > 0) {
            let (accepted, rest) = all.split_at(usize::try_from(*acked).unwrap());
            let mut encoder = ResponsesEncoder::new();
            drain(&mut encoder, accepted);
            let again = drain(&mut encoder, &rest[..usize::try_from(message.through - acked).unwrap()]);
            prop_assert_eq!(again.last(), Some(message));
        }
    }

    #[test]
    fn merged_or_not_the_reader_sees_the_same(records in turn(), looks in looks()) {
        let all = recorded(&records);
        let merged = messages(courier(&mut ResponsesEncoder::new(), &all, &looks));
        let single = messages(courier(&mut ResponsesEncoder::new(), &all, &[1]));
        let view = |messages: &[Message]| {
            let callbacks: Vec<Callback> = bodies_of(messages).into_iter().map(Callback::of).collect();
            oracle::replay(&callbacks)
        };
        let (merged_view, single_view) = (view(&merged), view(&single));
        oracle::assert_clean(&merged_view);
        oracle::assert_clean(&single_view);
        prop_assert_eq!(&merged_view, &single_view);
        prop_assert!(merged.len() <= single.len());

        let said: Option<String> = records
            .iter()
            .map(|record| match &record.body {
                RecordBody::Gap { .. } => None,
                RecordBody::Event(event) => match event.get() {
                    AgentEvent::Notice(notice) if !notice.text.trim().is_empty() => None,
                    AgentEvent::Text { parent: None, delta, .. } => Some(delta.as_str()),
                    _ => Some(""),
                },
                _ => Some(""),
            })
            .collect();
        if let Some(said) = said {
            prop_assert_eq!(&merged_view.text, &said);
        }
    }

    #[test]
    fn there_is_one_end_and_it_is_last_and_every_key_is_used_once(records in turn(), looks in looks()) {
        let mut late = records.clone();
        late.push(TurnRecord { at_ms: 0, body: text("too late") });
        late.push(TurnRecord { at_ms: 0, body: completed("too late") });
        let messages = messages(courier(&mut ResponsesEncoder::new(), &recorded(&late), &looks));
        let (last, before) = messages.split_last().unwrap();
        prop_assert!(last.terminal);
        prop_assert!(before.iter().all(|message| !message.terminal));
        let keys: HashSet<&str> = messages.iter().map(|message| message.key.as_str()).collect();
        prop_assert_eq!(keys.len(), messages.len());
        prop_assert!(messages.windows(2).all(|pair| pair[0].through <= pair[1].through));
    }
}
