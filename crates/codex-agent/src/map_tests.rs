//! Every recording of the real CLI, folded into events: as snapshots, and checked for what must hold in all of them.

use std::{collections::BTreeMap, fmt::Write as _};

use agent_core::{AgentEvent, ToolCallId, ToolEvent};
use codex_app_server::protocol::{Notification, ThreadId, TurnId};
use serde_json::value::RawValue;
use testkit::transcript::{self, Message, Transcript};

use super::Mapper;

/// A turn and its thread.
type Of = (ThreadId, TurnId);

/// The notifications of each turn of a recording, in the order of the turns.
fn turns(transcript: &Transcript) -> Vec<(Of, Vec<Notification>)> {
    let mut turns: Vec<(Of, Vec<Notification>)> = Vec::new();
    for message in transcript
        .received()
        .filter(|message| !message.is_request())
    {
        let Some(notification) = notification(message) else {
            continue;
        };
        if let Notification::TurnStarted(started) = &notification {
            let root = started.turn.root_turn_id.as_ref();
            let is_subagents = turns
                .iter()
                .any(|((thread, turn), _)| Some(turn) == root && *thread != started.thread_id);
            if !is_subagents {
                let of = (started.thread_id.clone(), started.turn.id.clone());
                turns.push((of, Vec::new()));
            }
        }
        // Each turn's mapper sees everything and must take its own only.
        for (_, seen) in &mut turns {
            seen.push(notification.clone());
        }
    }
    turns
}

fn notification(message: &Message) -> Option<Notification> {
    let params = message.0.get("params")?;
    let params: Box<RawValue> = serde_json::value::to_raw_value(params).unwrap();
    Some(Notification::parse(message.method()?, &params))
}

fn events((thread, turn): &Of, notifications: Vec<Notification>) -> (Mapper, Vec<AgentEvent>) {
    let mut mapper = Mapper::new(thread.clone(), turn.clone());
    let events = notifications
        .into_iter()
        .flat_map(|notification| mapper.map(notification))
        .collect();
    (mapper, events)
}

/// Events as a reader of a diff wants them: a line each, deltas of one block joined, ids that change left out.
fn told(events: &[AgentEvent]) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    for event in events {
        let (head, text) = line(event);
        match lines.last_mut() {
            Some((last, so_far)) if *last == head && is_delta(event) => so_far.push_str(&text),
            _ => lines.push((head, text)),
        }
    }
    let mut told = String::new();
    for (head, text) in lines {
        let _ = writeln!(told, "{head}{}", short(&text));
    }
    told
}

fn is_delta(event: &AgentEvent) -> bool {
    matches!(
        event,
        AgentEvent::Text { .. }
            | AgentEvent::Reasoning { .. }
            | AgentEvent::Tool(ToolEvent::Output { .. })
    )
}

/// What stands before a line about something that a sub-agent did.
fn of(parent: &Option<ToolCallId>) -> String {
    parent
        .as_ref()
        .map_or_else(String::new, |call| format!("  ({call}) "))
}

fn line(event: &AgentEvent) -> (String, String) {
    match event {
        AgentEvent::Text {
            block,
            parent,
            delta,
        } => (format!("{}text [{block}] ", of(parent)), delta.clone()),
        AgentEvent::Reasoning {
            block,
            parent,
            delta,
        } => (format!("{}reasoning [{block}] ", of(parent)), delta.clone()),
        AgentEvent::BlockEnd { block } => (format!("end [{block}]"), String::new()),
        AgentEvent::Tool(ToolEvent::Started {
            call,
            parent,
            name,
            input,
        }) => (
            format!("{}tool [{call}] {name} ", of(parent)),
            input.to_string(),
        ),
        AgentEvent::Tool(ToolEvent::Input { call, input }) => {
            (format!("input [{call}] "), input.to_string())
        }
        AgentEvent::Tool(ToolEvent::Output { call, delta }) => {
            (format!("output [{call}] "), delta.clone())
        }
        AgentEvent::Tool(ToolEvent::Finished {
            call,
            status,
            output,
        }) => (format!("finished [{call}] {status:?} "), output.clone()),
        AgentEvent::Subagent(event) => ("subagent ".to_owned(), format!("{event:?}")),
        AgentEvent::Plan { call: _, steps } => {
            let steps: Vec<String> = steps
                .iter()
                .map(|step| format!("{:?}: {}", step.status, step.text))
                .collect();
            ("plan ".to_owned(), steps.join("; "))
        }
        AgentEvent::Usage(usage) => (
            "usage ".to_owned(),
            format!(
                "{} in ({} cached), {} out",
                usage.input_tokens, usage.cached_input_tokens, usage.output_tokens
            ),
        ),
        AgentEvent::Question(question) => (format!("question [{}]", question.call), String::new()),
        AgentEvent::Notice(notice) => (format!("notice {:?} ", notice.kind), notice.text.clone()),
        AgentEvent::Retry(retry) => (format!("retry {} ", retry.count), retry.error.clone()),
        AgentEvent::Model { id } => ("model ".to_owned(), id.clone()),
        AgentEvent::Place { cwd } => ("place ".to_owned(), cwd.clone()),
        AgentEvent::Session(_) => ("session".to_owned(), String::new()),
        AgentEvent::Preparation(told) => ("preparation ".to_owned(), told.note.clone()),
        AgentEvent::CleanUp(told) => ("clean-up ".to_owned(), format!("{told:?}")),
    }
}

fn short(text: &str) -> String {
    const SHOWN: usize = 300;
    let quoted = format!("{text:?}");
    if quoted.chars().count() <= SHOWN {
        return quoted;
    }
    let head: String = quoted.chars().take(SHOWN).collect();
    format!("{head}… ({} characters)", text.chars().count())
}

#[test]
fn every_recording_amounts_to_these_events() {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    let _bound = settings.bind_to_scope();
    for name in transcript::names() {
        let transcript = transcript::load(&name).unwrap();
        let mut story = String::new();
        for (number, (turn, notifications)) in turns(&transcript).into_iter().enumerate() {
            let (mapper, events) = events(&turn, notifications);
            let _ = writeln!(story, "=== turn {}", number + 1);
            story.push_str(&told(&events));
            let _ = writeln!(
                story,
                "=== answer {}",
                short(mapper.final_answer().unwrap_or("(none)"))
            );
        }
        insta::assert_snapshot!(name, story);
    }
}

#[test]
fn in_every_recording_calls_pair_up_and_shown_text_holds_the_answer() {
    for name in transcript::names() {
        let transcript = transcript::load(&name).unwrap();
        for (turn, notifications) in turns(&transcript) {
            let (mapper, events) = events(&turn, notifications);
            let mut open: BTreeMap<String, bool> = BTreeMap::new();
            let mut shown = String::new();
            for event in &events {
                match event {
                    AgentEvent::Tool(ToolEvent::Started { call, .. }) => {
                        assert_eq!(
                            open.insert(call.to_string(), true),
                            None,
                            "{name}: {call} started twice"
                        );
                    }
                    AgentEvent::Tool(ToolEvent::Finished { call, .. }) => {
                        assert_eq!(
                            open.insert(call.to_string(), false),
                            Some(true),
                            "{name}: {call} ended unstarted"
                        );
                    }
                    AgentEvent::Tool(event) => {
                        assert_eq!(
                            open.get(event.call().as_str()),
                            Some(&true),
                            "{name}: {event:?} outside its call"
                        );
                    }
                    AgentEvent::Text { delta, .. } => shown.push_str(delta),
                    _ => {}
                }
            }
            let restarted = events
                .iter()
                .any(|event| matches!(event, AgentEvent::Notice(_)));
            if let Some(answer) = mapper.final_answer()
                && !restarted
            {
                assert!(
                    shown.ends_with(answer),
                    "{name}: {answer:?} was not shown: {shown:?}"
                );
            }
        }
    }
}

#[test]
fn a_plan_is_one_call_that_changes() {
    let turn = (ThreadId::from("t"), TurnId::from("u"));
    let plan = |status: &str| {
        let params = serde_json::json!({
            "threadId": "t", "turnId": "u", "plan": [{"step": "look", "status": status}, {"step": "act", "status": "pending"}]
        });
        Notification::parse(
            "turn/plan/updated",
            &serde_json::value::to_raw_value(&params).unwrap(),
        )
    };
    let (_, events) = events(&turn, vec![plan("inProgress"), plan("completed")]);
    let calls: Vec<_> = events
        .iter()
        .map(|event| match event {
            AgentEvent::Plan { call, steps } => (call.as_str(), steps[0].status),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        calls,
        [
            ("plan-u", agent_core::PlanStatus::InProgress),
            ("plan-u", agent_core::PlanStatus::Completed)
        ]
    );
}
