//! What is wrong with a turn, seen from outside.

use std::collections::{BTreeMap, HashMap};

use testkit::{
    Answered, Callback, View,
    oracle::{self, Problem, Terminal},
};

use super::truth::{Truth, plain};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub kind: Kind,
    /// What was seen.
    pub what: String,
}

/// What kind of thing must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something that was said was not shown.
    Lost,
    /// Something was shown twice.
    Duplicate,
    /// Something was shown out of its order, or had not been said.
    Disorder,
    /// There is not exactly one terminal event, or not one that can be accounted for.
    Terminal,
    /// A process is alive that should not be.
    Survivor,
    /// A secret stands where it must not.
    Leak,
    /// Another rule of Wegent's, or a promise of ours, is broken.
    Rule,
    /// The run itself broke.
    Broken,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Lost,
        Self::Duplicate,
        Self::Disorder,
        Self::Terminal,
        Self::Survivor,
        Self::Leak,
        Self::Rule,
        Self::Broken,
    ];

    /// In a table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicate => "duplicates after the merge",
            Self::Disorder => "out of order, or invented",
            Self::Terminal => "wrong number or kind of ends",
            Self::Survivor => "survivors",
            Self::Leak => "leaks",
            Self::Rule => "other rules broken",
            Self::Broken => "runs that broke",
        }
    }
}

impl Finding {
    pub(super) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
        }
    }
}

/// How a turn may have ended, beside completed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MayEnd {
    /// The executor was ended while it ran, or may have been.
    pub(super) restarted: bool,
    /// It was cancelled.
    pub(super) cancelled: bool,
    /// Its CLI or guard was killed, or crashed.
    pub(super) failed: bool,
}

/// A turn to be judged.
pub(super) struct Case<'a> {
    pub(super) subtask: i64,
    /// Everything that arrived of it, in order.
    pub(super) callbacks: &'a [Callback],
    pub(super) truth: &'a Truth,
    pub(super) may_end: MayEnd,
}

impl Case<'_> {
    /// Everything that is wrong.
    pub(super) fn judge(&self) -> Vec<Finding> {
        let view = oracle::replay(self.callbacks);
        let refused = self.callbacks.iter().any(is_refused);
        let mut findings = self.ends(&view);
        findings.extend(self.problems(&view, refused));
        findings.extend(self.repeats());
        // Words that the sink refused for good are made up for by nothing but the end, which repeats the last message.
        match view.final_text.as_deref() {
            Some(repeated) if refused => findings.extend(self.repeated(repeated)),
            _ if refused => {}
            _ => findings.extend(self.text(&view)),
        }
        if !refused {
            findings.extend(self.tools(&view));
        }
        for finding in &mut findings {
            finding.what = format!("subtask {}: {}", self.subtask, finding.what);
        }
        findings
    }

    fn ends(&self, view: &View) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut keys: Vec<Option<&str>> = self
            .callbacks
            .iter()
            .filter(|callback| callback.is_terminal() && callback.shown)
            .map(|callback| callback.header("idempotency-key"))
            .collect();
        keys.dedup();
        if keys.len() != view.attempts.max(1) as usize {
            let what = format!("{} ends of {} attempts", keys.len(), view.attempts);
            findings.push(Finding::new(Kind::Terminal, what));
        }
        let accounted = match &view.terminal {
            // Told by the oracle.
            None | Some(Terminal::Completed { .. }) => true,
            Some(Terminal::Cancelled { .. }) => self.may_end.cancelled,
            Some(Terminal::Failed { code, .. }) if code == "executor_restarted" => {
                self.may_end.restarted
            }
            Some(Terminal::Failed { .. }) => self.may_end.failed,
        };
        if !accounted {
            let what = format!("ended for no reason: {:?}", view.terminal);
            findings.push(Finding::new(Kind::Terminal, what));
        }
        findings
    }

    fn problems(&self, view: &View, refused: bool) -> Vec<Finding> {
        let kind = |problem: &Problem| match problem {
            Problem::OffsetGap { .. } | Problem::UnknownBlock { .. } if refused => None,
            Problem::LeftPending { .. } if refused => None,
            Problem::OffsetGap { .. } => Some(Kind::Lost),
            Problem::OffsetOverlap { .. } => Some(Kind::Duplicate),
            Problem::OffsetMismatch { .. } => Some(Kind::Disorder),
            Problem::CreatedTwice | Problem::AfterTerminal { .. } | Problem::NoTerminal => {
                Some(Kind::Terminal)
            }
            _ => Some(Kind::Rule),
        };
        let problems = view.problems.iter();
        problems
            .filter_map(|problem| Some(Finding::new(kind(problem)?, problem.to_string())))
            .collect()
    }

    /// What is sent again under a key is the same to the byte.
    fn repeats(&self) -> Vec<Finding> {
        let mut digests: HashMap<&str, u64> = HashMap::new();
        let mut findings = Vec::new();
        for callback in self.callbacks {
            let Some(key) = callback.header("idempotency-key") else {
                findings.push(Finding::new(Kind::Rule, "a callback without a key"));
                continue;
            };
            if *digests.entry(key).or_insert(callback.digest) != callback.digest {
                let what = format!("`{key}` came again with other bytes");
                findings.push(Finding::new(Kind::Rule, what));
            }
        }
        findings
    }

    fn text(&self, view: &View) -> Vec<Finding> {
        let whole = &self.truth.whole;
        if view.completed() {
            if whole.is_empty() {
                let what = "nobody knows what was said";
                return vec![Finding::new(Kind::Broken, what)];
            }
            return difference(whole, whole, &plain(view.shown_text()));
        }
        let shown = plain(&view.text);
        // Of a turn that was begun again there is less in the second attempt.
        let due = if view.attempts > 1 {
            ""
        } else {
            &self.truth.due
        };
        difference(due, whole, &shown)
    }

    /// What the end repeats, which is nothing in its smallest form.
    fn repeated(&self, text: &str) -> Vec<Finding> {
        let text = plain(text);
        match self.truth.whole.ends_with(&text) {
            true => Vec::new(),
            false => difference(&text, &self.truth.whole, &text),
        }
    }

    fn tools(&self, view: &View) -> Vec<Finding> {
        let mut findings = Vec::new();
        let tools: Vec<_> = view.tools().filter(|tool| tool.name != "Prepare").collect();
        if view.completed() && tools.len() != self.truth.tools {
            let what = format!("{} of {} tool calls shown", tools.len(), self.truth.tools);
            let kind = if tools.len() < self.truth.tools {
                Kind::Lost
            } else {
                Kind::Duplicate
            };
            findings.push(Finding::new(kind, what));
        }
        if let Some(tool) = tools.iter().find(|tool| !tool.is_over()) {
            let what = format!("a card spins for ever: {tool:?}");
            findings.push(Finding::new(Kind::Rule, what));
        }
        findings
    }
}

fn is_refused(callback: &Callback) -> bool {
    matches!(callback.answered, Answered::Status(400..=499))
        && !matches!(callback.answered, Answered::Status(408 | 429))
}

/// What is wrong with `shown`, of which `due` had to be and `whole` could be.
fn difference(due: &str, whole: &str, shown: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut shown = shown.to_owned();
    while let Some((piece, without)) = repetition(whole, &shown) {
        let what = format!("{}: `{piece}`", Kind::Duplicate.title());
        findings.push(Finding::new(Kind::Duplicate, what));
        shown = without;
    }
    let well = whole.starts_with(&shown) && shown.starts_with(due);
    if !well {
        findings.extend(wrong_words(due, whole, &shown));
    }
    findings
}

/// A piece that `shown` says again right behind itself, which is not always a whole word; and `shown` without it.
fn repetition(whole: &str, shown: &str) -> Option<(String, String)> {
    let (whole, shown) = (whole.as_bytes(), shown.as_bytes());
    let common = whole.iter().zip(shown).take_while(|(a, b)| a == b).count();
    let (said, rest) = shown.split_at(common);
    (1..=rest.len()).find_map(|length| {
        let (piece, after) = rest.split_at(length);
        let word = piece.trim_ascii_end();
        let again = !word.is_empty() && said.trim_ascii_end().ends_with(word);
        (again && whole[common..].starts_with(after)).then(|| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (
                text(word),
                text(&[said, after].concat()).trim_end().to_owned(),
            )
        })
    })
}

/// What is missing, said too often, or not known, by its words.
fn wrong_words(due: &str, whole: &str, shown: &str) -> Vec<Finding> {
    let [due, possible, seen] = [due, whole, shown].map(counted);
    let more = |one: &Words<'_>, other: &Words<'_>| -> Vec<String> {
        let word = |(word, count): (&&str, &usize)| {
            (*count > other.get(word).copied().unwrap_or_default()).then(|| (*word).to_owned())
        };
        one.iter().filter_map(word).collect()
    };
    let lost = more(&due, &seen);
    let surplus = more(&seen, &possible);
    let (twice, invented): (Vec<_>, Vec<_>) = surplus
        .into_iter()
        .partition(|word| possible.contains_key(word.as_str()));
    // The last word may have been cut off.
    let invented: Vec<_> = invented
        .into_iter()
        .filter(|word| !(shown.ends_with(word.as_str()) && whole.starts_with(shown)))
        .collect();
    let mut findings = Vec::new();
    for (kind, words) in [
        (Kind::Lost, lost),
        (Kind::Duplicate, twice),
        (Kind::Disorder, invented),
    ] {
        if !words.is_empty() {
            findings.push(Finding::new(kind, format!("{}: {words:?}", kind.title())));
        }
    }
    if findings.is_empty() {
        let what = format!("shown `{shown}`, said `{whole}`");
        findings.push(Finding::new(Kind::Disorder, what));
    }
    findings
}

type Words<'a> = BTreeMap<&'a str, usize>;

fn counted(text: &str) -> Words<'_> {
    let mut words = Words::new();
    for word in text.split_whitespace() {
        *words.entry(word).or_default() += 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(due: &str, whole: &str, shown: &str) -> Vec<Kind> {
        let findings = difference(due, whole, shown);
        findings.into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn what_differs_is_told_apart() {
        assert_eq!(kinds("a b", "a b c", "a b c"), []);
        assert_eq!(kinds("a b", "a b c", "a"), [Kind::Lost]);
        assert_eq!(kinds("a b", "a b c", "a b b"), [Kind::Duplicate]);
        assert_eq!(kinds("a b", "a b c", "b a"), [Kind::Disorder]);
        assert_eq!(kinds("a b", "a b c", "a x b"), [Kind::Disorder]);
        assert_eq!(kinds("", "a b c", "a c"), [Kind::Disorder]);
        assert_eq!(kinds("a b", "a b cd", "a b c"), []);
    }

    #[test]
    fn what_is_said_again_behind_itself_is_told_as_that() {
        for shown in [
            "a bc bc d",
            "a bcbc d",
            "a bc da bc d",
            "a bc dd",
            "a a bc d d",
        ] {
            let kinds = kinds("a bc d", "a bc d", shown);
            assert!(
                kinds.iter().all(|kind| *kind == Kind::Duplicate),
                "{shown}: {kinds:?}"
            );
            assert!(!kinds.is_empty(), "{shown}");
        }
        let both = [Kind::Duplicate, Kind::Lost];
        assert_eq!(kinds("a b c", "a b c", "a a b"), both);
    }
}
