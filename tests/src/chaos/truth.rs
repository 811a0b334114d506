//! What there was to be shown: from the notes of the fake CLIs, or from the scripted model's log.

use std::collections::BTreeMap;

use testkit::{
    model::{Ending, Said, SeenRequest, Spoken},
    notes::{self, Note, Noted},
};

use super::plan::mark;
use crate::{API_KEY, AUTH_TOKEN, SKILL_TOKEN};

/// What was said in one turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Truth {
    /// All of it.
    pub(super) whole: String,
    /// The part that nothing can excuse the loss of. A beginning of the whole.
    pub(super) due: String,
    /// How many tools were called.
    pub(super) tools: usize,
    /// How often the turn was begun, as far as that is known.
    pub(super) begun: usize,
}

/// What the fakes said for a subtask. What they said before `safe` (see `testkit::clock`) must have been shown.
pub(super) fn noted(notes: &[Note], subtask: i64, safe: Option<u64>) -> Truth {
    let mut truth = Truth::default();
    for turn in turns_of(notes, subtask) {
        truth.begun += 1;
        let early: Vec<Note> = turn
            .iter()
            .filter(|note| safe.is_none_or(|safe| note.at < safe))
            .cloned()
            .collect();
        truth.take(text(notes::spoken(&turn)), text(notes::spoken(&early)));
        let is_tool = |note: &&Note| matches!(note.said, Noted::Tool { .. });
        truth.tools = turn.iter().filter(is_tool).count();
    }
    // The last word may have been cut off within a secret.
    let words: Vec<&str> = truth.due.split(' ').collect();
    if safe.is_some() {
        truth.due = words[..words.len() - 1].join(" ");
    }
    truth
}

/// The notes of each of the subtask's turns, known by their first word.
fn turns_of(notes: &[Note], subtask: i64) -> Vec<Vec<Note>> {
    let mut turns: Vec<(&str, Vec<Note>)> = Vec::new();
    let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
    for note in notes {
        let at = *by_name.entry(&note.turn).or_insert_with(|| {
            turns.push((&note.turn, Vec::new()));
            turns.len() - 1
        });
        turns[at].1.push(note.clone());
    }
    let mark = mark(subtask);
    let ours = |turn: &Vec<Note>| matches!(&turn[0].said, Noted::Text { delta } if delta.starts_with(&mark));
    turns
        .into_iter()
        .map(|(_, turn)| turn)
        .filter(ours)
        .collect()
}

/// What the scripted model said for a subtask. All of it must have been shown if `ended_well`.
pub(super) fn modelled(
    requests: &[SeenRequest],
    subtasks: &[i64],
    subtask: i64,
    ended_well: bool,
) -> Truth {
    let asked = |request: &&SeenRequest| {
        let of = |text: &String| subtasks.iter().find(|one| text.contains(&mark(**one)));
        let texts = request.user_texts();
        !request.side && texts.iter().rev().find_map(of) == Some(&subtask)
    };
    // A request that is made again says the same again.
    let mut steps: Vec<(Spoken, bool)> = Vec::new();
    for request in requests.iter().filter(asked) {
        let said = Spoken::in_requests([request]);
        let finished = request.ending == Ending::Finished;
        match steps.last_mut() {
            Some((before, _)) if continues(before, &said) => *before = longer(before, said),
            // Nobody asks again for what has called a tool, even if nobody has heard its last byte.
            Some((before, before_finished))
                if !*before_finished && before.tools().next().is_none() =>
            {
                (*before, *before_finished) = (said, finished);
            }
            _ => steps.push((said, finished)),
        }
    }
    let all = Spoken(steps.into_iter().flat_map(|(said, _)| said.0).collect());
    let tools = all.tools().count();
    let mut truth = Truth {
        tools,
        begun: 1,
        ..Truth::default()
    };
    let whole = text(all);
    let due = if ended_well {
        whole.clone()
    } else {
        String::new()
    };
    truth.take(whole, due);
    truth
}

fn longer(one: &Spoken, other: Spoken) -> Spoken {
    if one.clone().everything().len() > other.clone().everything().len() {
        one.clone()
    } else {
        other
    }
}

/// Whether one is a beginning of the other.
fn continues(before: &Spoken, said: &Spoken) -> bool {
    let (before, said) = (before.clone().everything(), said.clone().everything());
    !before.is_empty()
        && !said.is_empty()
        && (said.starts_with(&before) || before.starts_with(&said))
}

trait Everything {
    /// The text with the messages that were cut off.
    fn everything(self) -> String;
}

impl Everything for Spoken {
    fn everything(mut self) -> String {
        for said in &mut self.0 {
            if let Said::Text { complete, .. } = said {
                *complete = true;
            }
        }
        self.text()
    }
}

fn text(spoken: Spoken) -> String {
    plain(&spoken.everything())
}

/// Without what must not be shown, and with one blank between words.
pub(super) fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    for secret in [API_KEY, AUTH_TOKEN, SKILL_TOKEN] {
        text = text.replace(secret, "[redacted]");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Truth {
    /// What was said by one of several goes at the same turn: each says the same, and may be cut off.
    fn take(&mut self, whole: String, due: String) {
        if whole.len() > self.whole.len() {
            self.whole = whole;
        }
        if due.len() > self.due.len() {
            self.due = due;
        }
    }
}
