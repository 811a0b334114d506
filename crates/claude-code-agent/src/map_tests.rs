//! Every recording of the real CLIs, folded into events: as snapshots, and checked for what must hold in all of them.

use std::{collections::BTreeMap, fmt::Write as _};

use agent_core::{AgentEvent, SubagentEvent, ToolEvent};
use testkit::{
    cli::ClaudeVersion,
    transcript::{self, Transcript},
};

use super::Mapper;
use crate::{
    failure::{self, Reported},
    protocol::{Message, TurnResult},
};

/// A turn of a recording: its mapper after it, its events, and its end if it has one.
struct Told {
    mapper: Mapper,
    events: Vec<AgentEvent>,
    end: Option<(TurnResult, Reported)>,
}

/// The turns of a recording, each with a mapper of its own, split at their results.
fn turns(transcript: &Transcript) -> Vec<Told> {
    let mut turns = Vec::new();
    let mut mapper = Mapper::default();
    let mut events = Vec::new();
    let mut reported = Reported::default();
    for message in transcript.received() {
        let line = serde_json::to_vec(&message.0).unwrap();
        let message =
            Message::parse(&line).unwrap_or_else(|error| panic!("{error}: {:?}", message.0));
        if let Message::Assistant(line) = &message {
            reported = Reported {
                error: line.error,
                connection: line.api_error.is_some(),
            };
        }
        let end = match &message {
            Message::Result(result) => Some((result.as_ref().clone(), reported.clone())),
            _ => None,
        };
        events.extend(mapper.map(message));
        if end.is_some() {
            turns.push(Told {
                mapper: std::mem::take(&mut mapper),
                events: std::mem::take(&mut events),
                end,
            });
        }
    }
    if !events.is_empty() {
        turns.push(Told {
            mapper,
            events,
            end: None,
        });
    }
    turns
}

/// Events as a reader of a diff wants them: a line each, deltas of one block joined.
fn story(events: &[AgentEvent]) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    for event in events {
        let (head, text) = line(event);
        let is_delta = matches!(
            event,
            AgentEvent::Text { .. } | AgentEvent::Reasoning { .. }
        );
        match lines.last_mut() {
            Some((last, so_far)) if *last == head && is_delta => so_far.push_str(&text),
            _ => lines.push((head, text)),
        }
    }
    let mut told = String::new();
    for (head, text) in lines {
        let _ = writeln!(told, "{head}{}", short(&text));
    }
    told
}

fn line(event: &AgentEvent) -> (String, String) {
    let of = |parent: &Option<agent_core::ToolCallId>| match parent {
        Some(parent) => format!("in [{parent}] "),
        None => String::new(),
    };
    match event {
        AgentEvent::Text {
            block,
            parent,
            delta,
        } => (format!("text [{block}] {}", of(parent)), delta.clone()),
        AgentEvent::Reasoning {
            block,
            parent,
            delta,
        } => (format!("reasoning [{block}] {}", of(parent)), delta.clone()),
        AgentEvent::BlockEnd { block } => (format!("end [{block}]"), String::new()),
        AgentEvent::Tool(ToolEvent::Started {
            call,
            parent,
            name,
            input,
        }) => (
            format!("tool [{call}] {}{name} ", of(parent)),
            input.to_string(),
        ),
        AgentEvent::Tool(ToolEvent::Finished {
            call,
            status,
            output,
        }) => (format!("finished [{call}] {status:?} "), output.clone()),
        AgentEvent::Tool(event) => ("tool ".to_owned(), format!("{event:?}")),
        AgentEvent::Subagent(SubagentEvent::Started {
            call,
            parent,
            name,
            description,
            agent_type,
            ..
        }) => (
            format!("sub-agent [{call}] {}{name} ", of(parent)),
            format!("{description:?} {agent_type:?}"),
        ),
        AgentEvent::Subagent(SubagentEvent::Running { call }) => {
            (format!("sub-agent [{call}] works"), String::new())
        }
        AgentEvent::Subagent(SubagentEvent::Finished {
            call,
            status,
            output,
            ..
        }) => (format!("sub-agent [{call}] {status:?} "), output.clone()),
        AgentEvent::Question(question) => (format!("question [{}]", question.call), String::new()),
        AgentEvent::Notice(notice) => (format!("notice {:?} ", notice.kind), notice.text.clone()),
        AgentEvent::Retry(retry) => (format!("retry {} ", retry.count), retry.error.clone()),
        AgentEvent::Model { id } => ("model ".to_owned(), id.clone()),
        AgentEvent::Place { cwd } => ("place ".to_owned(), cwd.clone()),
        event @ (AgentEvent::Plan { .. }
        | AgentEvent::Usage(_)
        | AgentEvent::Session(_)
        | AgentEvent::CleanUp(_)
        | AgentEvent::Preparation(_)) => ("other ".to_owned(), format!("{event:?}")),
    }
}

fn short(text: &str) -> String {
    const SHOWN: usize = 200;
    let quoted = format!("{text:?}");
    if quoted.chars().count() <= SHOWN {
        return quoted;
    }
    let head: String = quoted.chars().take(SHOWN).collect();
    format!("{head}… ({} characters)", text.chars().count())
}

fn ending(end: &Option<(TurnResult, Reported)>) -> String {
    match end {
        None => "never ended".to_owned(),
        Some((result, _)) if result.is_aborted() => "interrupted".to_owned(),
        Some((result, reported)) if result.is_error => {
            format!("failed: {:?}", failure::class(result, reported))
        }
        Some((result, _)) if result.is_unasked() => "ended, unasked".to_owned(),
        Some(_) => "ended".to_owned(),
    }
}

fn recordings() -> impl Iterator<Item = (String, Transcript)> {
    let versions = [ClaudeVersion::V2_1_197, ClaudeVersion::V2_1_329];
    versions.into_iter().flat_map(|version| {
        transcript::claude_names(version)
            .into_iter()
            .map(move |name| {
                let transcript = transcript::load_claude(version, &name).unwrap();
                (format!("{}-{name}", version.as_str()), transcript)
            })
    })
}

#[test]
fn every_recording_amounts_to_these_events() {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    let _bound = settings.bind_to_scope();
    let mut all = 0;
    for (name, transcript) in recordings() {
        let mut told = String::new();
        for (number, turn) in turns(&transcript).into_iter().enumerate() {
            let _ = writeln!(told, "=== turn {}", number + 1);
            told.push_str(&story(&turn.events));
            let answer = turn.mapper.final_answer().unwrap_or("(none)");
            let _ = writeln!(told, "=== {}, answer {}", ending(&turn.end), short(answer));
        }
        insta::assert_snapshot!(name, told);
        all += 1;
    }
    assert!(all > 120, "only {all} recordings");
}

#[test]
fn in_every_recording_calls_pair_up_and_shown_text_holds_the_answer() {
    for (name, transcript) in recordings() {
        for turn in turns(&transcript) {
            let mut open: BTreeMap<String, bool> = BTreeMap::new();
            let mut shown = String::new();
            let mut restarted = false;
            for event in &turn.events {
                match event {
                    AgentEvent::Tool(ToolEvent::Started { call, .. })
                    | AgentEvent::Subagent(SubagentEvent::Started { call, .. }) => {
                        let before = open.insert(call.to_string(), true);
                        assert_eq!(before, None, "{name}: {call} started twice");
                    }
                    AgentEvent::Tool(ToolEvent::Finished { call, .. })
                    | AgentEvent::Subagent(SubagentEvent::Finished { call, .. }) => {
                        let before = open.insert(call.to_string(), false);
                        assert_eq!(before, Some(true), "{name}: {call} ended unstarted");
                    }
                    AgentEvent::Text {
                        delta,
                        parent: None,
                        ..
                    } => shown.push_str(delta),
                    AgentEvent::Notice(_) => restarted = true,
                    _ => {}
                }
            }
            if let Some((result, _)) = &turn.end
                && let (false, false, Some(answer)) = (restarted, result.is_error, &result.result)
            {
                assert!(
                    shown.trim_end().ends_with(answer.trim_end()),
                    "{name}: {answer:?} was not shown: {shown:?}"
                );
            }
        }
    }
}
