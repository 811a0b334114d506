//! What a turn may use, whoever runs it: measured by its events, and by the clock.

use std::time::Duration;

use agent_core::{
    AgentEvent, AgentKind, AgentOptions, CancelHandle, CancelReason, Form, Limit, Question,
    SubagentEvent, ToolEvent, Usage,
};
use tokio::time::{Instant, sleep_until};

/// How much of everything a turn may use. `None` limits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// The time that it takes, its preparation included.
    pub wall_time: Option<Duration>,
    /// How often the model may answer.
    pub turns: Option<u32>,
    /// The tokens that the model may read and write together.
    pub tokens: Option<u64>,
    /// What the model may cost, in US dollars. Only of agents that tell.
    pub cost_usd: Option<f64>,
    /// The time in which nothing happens, whether a tool runs or not.
    pub idle_time: Option<Duration>,
    /// How many bytes it may say and have its tools give out.
    pub output: Option<u64>,
    /// How many questions it may leave open.
    pub questions: Option<u32>,
}

impl Limits {
    /// The limits of a turn: the narrower of ours and what its request says. The agent is told what it can heed itself.
    pub(super) fn of_turn(mut self, agent: AgentKind, options: &mut AgentOptions) -> Self {
        self.turns = match (self.turns, options.max_turns) {
            (Some(ours), Some(asked)) => Some(ours.min(asked)),
            (ours, asked) => ours.or(asked),
        };
        options.max_turns = self.turns;
        if agent == AgentKind::Codex && self.cost_usd.is_some() {
            tracing::warn!(
                "codex doesn't tell what a turn costs: the limit of the cost is not kept"
            );
        }
        self
    }

    /// What the person reads when a limit has ended the turn.
    pub(super) fn message(&self, limit: Limit) -> String {
        let why = match limit {
            Limit::WallTime => "it took longer than it may".to_owned() + &than(self.wall_time),
            Limit::Turns => {
                "the model answered more often than it may".to_owned() + &than(self.turns)
            }
            Limit::Tokens => "it used more tokens than it may".to_owned() + &than(self.tokens),
            Limit::Cost => "it cost more US dollars than it may".to_owned() + &than(self.cost_usd),
            Limit::IdleTime => "nothing happened for too long".to_owned() + &than(self.idle_time),
            Limit::Output => "it gave out more bytes than it may".to_owned() + &than(self.output),
            Limit::Questions => {
                "it left more questions open than it may".to_owned() + &than(self.questions)
            }
        };
        format!("The turn was ended because {why}. The conversation can be continued.")
    }
}

/// A limit as it stands in a message.
fn than<T: std::fmt::Debug>(limit: Option<T>) -> String {
    limit.map_or_else(String::new, |limit| format!(" ({limit:?})"))
}

/// Watches what one turn uses, and stops it when that is too much.
pub(super) struct Meter {
    limits: Limits,
    stop: CancelHandle,
    began: Instant,
    /// When something happened last.
    last: Instant,
    /// How often the model has answered.
    answers: u32,
    /// How many bytes there have been of what is shown.
    output: u64,
    questions: u32,
}

impl Meter {
    /// A meter of a turn that begins now and that `stop` stops.
    pub(super) fn new(limits: Limits, stop: CancelHandle) -> Self {
        let now = Instant::now();
        Self {
            limits,
            stop,
            began: now,
            last: now,
            answers: 0,
            output: 0,
            questions: 0,
        }
    }

    /// Takes note of an event. False if nobody may see it: it asks more than may be asked.
    pub(super) fn saw(&mut self, event: &AgentEvent) -> bool {
        self.last = Instant::now();
        match event {
            AgentEvent::Usage(usage) => self.used(usage),
            AgentEvent::Question(question) => {
                self.questions += asked(question);
                return !self.check(Limit::Questions, self.limits.questions, self.questions);
            }
            event => {
                self.output += size(event);
                self.check(Limit::Output, self.limits.output, self.output);
            }
        }
        true
    }

    /// Waits until the time is up, and stops the turn then. For ever without a limit of time, and once it was stopped.
    pub(super) async fn watch_time(&self) {
        let wall = self.limits.wall_time.map(|limit| self.began + limit);
        let idle = self.limits.idle_time.map(|limit| self.last + limit);
        let first = [(wall, Limit::WallTime), (idle, Limit::IdleTime)];
        let first = first
            .into_iter()
            .filter_map(|(at, limit)| Some((at?, limit)));
        match first.min_by_key(|(at, _)| *at) {
            Some((at, limit)) if self.stop.reason().is_none() => {
                sleep_until(at).await;
                self.end(limit);
            }
            _ => std::future::pending().await,
        }
    }

    fn used(&mut self, usage: &Usage) {
        // Each answer of the model's comes with the figures up to it.
        self.answers += 1;
        self.check(Limit::Turns, self.limits.turns, self.answers);
        let tokens = usage.input_tokens + usage.output_tokens;
        self.check(Limit::Tokens, self.limits.tokens, tokens);
        if let Some(cost) = usage.cost_usd {
            self.check(Limit::Cost, self.limits.cost_usd, cost);
        }
    }

    fn check<T: PartialOrd>(&self, limit: Limit, allowed: Option<T>, used: T) -> bool {
        let exceeded = allowed.is_some_and(|allowed| used > allowed);
        if exceeded {
            self.end(limit);
        }
        exceeded
    }

    fn end(&self, limit: Limit) {
        if self.stop.reason().is_none() {
            tracing::warn!(?limit, "the turn is ended by a limit");
        }
        self.stop.cancel(CancelReason::Limit(limit));
    }
}

/// How many things are asked at once.
fn asked(question: &Question) -> u32 {
    let count = match &question.form {
        Form::Fields(fields) => fields.len(),
        Form::Tool { input, .. } => input["questions"].as_array().map_or(1, Vec::len),
    };
    u32::try_from(count.max(1)).unwrap_or(u32::MAX)
}

/// How many bytes of what is shown an event brings.
fn size(event: &AgentEvent) -> u64 {
    let length = match event {
        AgentEvent::Text { delta, .. }
        | AgentEvent::Reasoning { delta, .. }
        | AgentEvent::Tool(ToolEvent::Output { delta, .. }) => delta.len(),
        AgentEvent::Tool(ToolEvent::Finished { output, .. })
        | AgentEvent::Subagent(SubagentEvent::Finished { output, .. }) => output.len(),
        _ => 0,
    };
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use agent_core::{BlockId, CancelHandle, Field, ToolCallId};

    use super::*;

    fn meter(limits: Limits) -> (Meter, CancelHandle) {
        let (stop, _) = CancelHandle::new();
        (Meter::new(limits, stop.clone()), stop)
    }

    fn usage(tokens: u64, cost_usd: Option<f64>) -> AgentEvent {
        AgentEvent::Usage(Usage {
            input_tokens: tokens,
            cost_usd,
            ..Usage::default()
        })
    }

    fn text(delta: &str) -> AgentEvent {
        AgentEvent::Text {
            block: BlockId::new("b").unwrap(),
            parent: None,
            delta: delta.to_owned(),
        }
    }

    fn question(count: usize) -> AgentEvent {
        let field = Field {
            id: "a".to_owned(),
            text: "?".to_owned(),
            choices: Vec::new(),
            several: false,
            required: true,
        };
        AgentEvent::Question(Question {
            call: ToolCallId::new("c").unwrap(),
            form: Form::Fields(vec![field; count]),
        })
    }

    /// What the events end a turn by that may use `limits`.
    fn ended(limits: Limits, events: &[AgentEvent]) -> Option<Limit> {
        let (mut meter, stop) = meter(limits);
        for event in events {
            meter.saw(event);
        }
        match stop.reason() {
            None => None,
            Some(CancelReason::Limit(limit)) => Some(limit),
            Some(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_limit_ends_the_turn_when_it_is_passed_and_not_before() {
        let none = Limits::default();
        let tokens = Limits {
            tokens: Some(10),
            ..none
        };
        assert_eq!(ended(tokens, &[usage(10, None)]), None);
        assert_eq!(ended(tokens, &[usage(11, None)]), Some(Limit::Tokens));
        let turns = Limits {
            turns: Some(2),
            ..none
        };
        let answer = || usage(1, None);
        assert_eq!(ended(turns, &[answer(), text("a"), answer()]), None);
        assert_eq!(
            ended(turns, &[answer(), answer(), answer()]),
            Some(Limit::Turns)
        );
        let cost = Limits {
            cost_usd: Some(0.5),
            ..none
        };
        assert_eq!(ended(cost, &[usage(1, Some(0.5)), usage(1, None)]), None);
        assert_eq!(ended(cost, &[usage(1, Some(0.6))]), Some(Limit::Cost));
        let output = Limits {
            output: Some(4),
            ..none
        };
        assert_eq!(ended(output, &[text("ab"), text("cd")]), None);
        assert_eq!(
            ended(output, &[text("ab"), text("cde")]),
            Some(Limit::Output)
        );
        let questions = Limits {
            questions: Some(2),
            ..none
        };
        assert_eq!(ended(questions, &[question(2)]), None);
        assert_eq!(ended(questions, &[question(3)]), Some(Limit::Questions));
        assert_eq!(
            ended(none, &[usage(u64::MAX, Some(1e9)), text("a"), question(9)]),
            None
        );
    }

    #[test]
    fn a_question_too_many_is_not_shown() {
        let (mut meter, _) = meter(Limits {
            questions: Some(0),
            ..Limits::default()
        });
        assert!(meter.saw(&text("a")));
        assert!(!meter.saw(&question(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn time_is_measured_from_the_beginning_and_from_the_last_event() {
        let limits = Limits {
            wall_time: Some(Duration::from_secs(100)),
            idle_time: Some(Duration::from_secs(30)),
            ..Limits::default()
        };
        let (mut busy, stop) = meter(limits);
        for _ in 0..3 {
            let short = Duration::from_secs(25);
            let waited = tokio::time::timeout(short, busy.watch_time()).await;
            assert!(waited.is_err() && stop.reason().is_none());
            busy.saw(&text("a"));
        }
        busy.watch_time().await;
        assert_eq!(stop.reason(), Some(CancelReason::Limit(Limit::WallTime)));
        let (idle, stop) = meter(limits);
        idle.watch_time().await;
        assert_eq!(stop.reason(), Some(CancelReason::Limit(Limit::IdleTime)));
    }

    #[test]
    fn the_narrower_limit_of_turns_counts_and_the_agent_knows_it() {
        for (ours, asked, narrower) in [
            (None, Some(3), Some(3)),
            (Some(2), Some(3), Some(2)),
            (Some(2), None, Some(2)),
            (None, None, None),
        ] {
            let limits = Limits {
                turns: ours,
                ..Limits::default()
            };
            let mut options = AgentOptions {
                max_turns: asked,
                ..AgentOptions::default()
            };
            let limits = limits.of_turn(AgentKind::ClaudeCode, &mut options);
            assert_eq!((limits.turns, options.max_turns), (narrower, narrower));
        }
    }

    #[test]
    fn a_message_says_what_was_allowed() {
        let limits = Limits {
            wall_time: Some(Duration::from_secs(90)),
            ..Limits::default()
        };
        let message = limits.message(Limit::WallTime);
        assert!(message.contains("longer than it may (90s)."), "{message}");
    }
}
