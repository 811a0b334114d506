//! A form at a terminal: what is asked, and the person's answers, a line each.

use std::io::{self, BufRead, Write};

use serde::Deserialize;
use serde_json::{Map, Value};

/// A form that ended a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Form {
    questions: Vec<Question>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Question {
    id: String,
    question: String,
    options: Option<Vec<Choice>>,
    multi_select: bool,
    required: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Choice {
    label: String,
    value: Option<String>,
}

impl Form {
    /// The form in a call's arguments.
    pub fn of_arguments(arguments: &str) -> Self {
        serde_json::from_str(arguments).unwrap_or_default()
    }

    /// Shows it without asking.
    ///
    /// # Errors
    /// If nothing can be written.
    pub fn show(&self, out: &mut impl Write) -> io::Result<()> {
        self.questions
            .iter()
            .try_for_each(|question| question.show(out, |_| "-".to_owned()))
    }

    /// Asks each question until it has an answer. `None` when there is nothing more to read.
    ///
    /// # Errors
    /// If nothing can be read or written.
    pub fn fill(
        &self,
        input: &mut impl BufRead,
        out: &mut impl Write,
    ) -> io::Result<Option<Map<String, Value>>> {
        let mut answers = Map::new();
        for question in &self.questions {
            question.show(out, |number| format!("{number}."))?;
            loop {
                write!(out, "> ")?;
                out.flush()?;
                let mut line = String::new();
                if input.read_line(&mut line)? == 0 {
                    return Ok(None);
                }
                match question.answer(line.trim()) {
                    Answer::Given(value) => {
                        answers.insert(question.id.clone(), value);
                        break;
                    }
                    Answer::LeftOut => break,
                    Answer::Unclear => writeln!(out, "{}", question.hint())?,
                }
            }
        }
        Ok(Some(answers))
    }
}

enum Answer {
    Given(Value),
    LeftOut,
    Unclear,
}

impl Question {
    fn choices(&self) -> &[Choice] {
        self.options.as_deref().unwrap_or_default()
    }

    fn show(&self, out: &mut impl Write, mark: fn(usize) -> String) -> io::Result<()> {
        writeln!(out, "\n? {}", self.question)?;
        for (number, choice) in (1..).zip(self.choices()) {
            writeln!(out, "  {} {}", mark(number), choice.label)?;
        }
        Ok(())
    }

    fn hint(&self) -> String {
        match (self.choices().len(), self.multi_select) {
            (0, _) => "An answer is needed.".to_owned(),
            (most, false) => format!("Type a number from 1 to {most}."),
            (most, true) => format!("Type numbers from 1 to {most}, with commas between them."),
        }
    }

    fn answer(&self, line: &str) -> Answer {
        if line.is_empty() {
            return if self.required == Some(false) {
                Answer::LeftOut
            } else {
                Answer::Unclear
            };
        }
        if self.choices().is_empty() {
            return Answer::Given(line.into());
        }
        if !self.multi_select {
            return self.chosen(line).map_or(Answer::Unclear, Answer::Given);
        }
        let chosen = line.split(',').map(|word| self.chosen(word.trim()));
        match chosen.collect::<Option<Vec<_>>>() {
            Some(values) => Answer::Given(values.into()),
            None => Answer::Unclear,
        }
    }

    /// A choice by its number or by its name.
    fn chosen(&self, word: &str) -> Option<Value> {
        let numbered = (1..).zip(self.choices());
        let is_meant = |(number, choice): &(usize, &Choice)| {
            word.parse() == Ok(*number)
                || word.eq_ignore_ascii_case(&choice.label)
                || choice.value.as_deref() == Some(word)
        };
        let (_, choice) = numbered.into_iter().find(is_meant)?;
        Some(
            choice
                .value
                .as_ref()
                .unwrap_or(&choice.label)
                .as_str()
                .into(),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(lines: &str) -> (Option<Map<String, Value>>, String) {
        let arguments = json!({"questions": [
            {"id": "where", "question": "Where to?", "options": [{"label": "Here", "value": "h"}, {"label": "There"}]},
            {"id": "who", "question": "Who?", "options": [{"label": "A"}, {"label": "B"}], "multi_select": true},
            {"id": "why", "question": "Why?", "options": null, "required": false},
        ]});
        let form = Form::of_arguments(&arguments.to_string());
        let mut out = Vec::new();
        let answers = form.fill(&mut lines.as_bytes(), &mut out).unwrap();
        (answers, String::from_utf8(out).unwrap())
    }

    #[test]
    fn choices_are_taken_by_number_and_by_name() {
        let (answers, out) = filled("1\n2, a\nso\n");
        let expected = json!({"where": "h", "who": ["B", "A"], "why": "so"});
        assert_eq!(answers.map(Value::Object), Some(expected));
        assert!(
            out.starts_with("\n? Where to?\n  1. Here\n  2. There\n> "),
            "{out}"
        );
        let (answers, _) = filled("there\nB\n\n");
        let expected = json!({"where": "There", "who": ["B"]});
        assert_eq!(answers.map(Value::Object), Some(expected));
    }

    #[test]
    fn what_is_unclear_is_asked_again_and_the_end_is_no_answer() {
        let (answers, out) = filled("3\n\nnowhere\n2\nA\n");
        assert_eq!(answers, None);
        assert_eq!(
            out.matches("Type a number from 1 to 2.").count(),
            3,
            "{out}"
        );
    }
}
