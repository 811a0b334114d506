//! What one run does, drawn from its seed.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use testkit::backend::{Fault, On, Rule};

use crate::{API_KEY, Sleeper};

/// Who plays the agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cli {
    /// The fake CLIs, of both agents in one run.
    Fake,
    /// The real Codex.
    Codex,
    /// The real Claude Code.
    Claude,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it was drawn from.
    pub seed: u64,
    /// Who plays the agents.
    pub cli: Cli,
    pub(super) turns: Vec<TurnPlan>,
    /// In order of time.
    pub(super) steps: Vec<Step>,
    /// The executor's log tells everything.
    pub(super) talkative: bool,
    /// It ends by SIGKILL, not by SIGTERM.
    pub(super) killed_at_last: bool,
}

/// The turn that shows whether all is well in the end.
pub(super) const LAST_SUBTASK: i64 = 999;

/// A turn.
#[derive(Clone, Debug)]
pub(super) struct TurnPlan {
    pub(super) task: i64,
    pub(super) subtask: i64,
    pub(super) claude: bool,
    pub(super) does: Vec<Deed>,
}

/// What a turn does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// A message of so many words with a pause after each.
    Words(u32, Duration),
    /// A message with a secret in it, in small pieces.
    Secret,
    /// A tool call of which nothing is left.
    Tool,
    /// A tool call that leaves a process behind.
    Stray(Stray),
    /// The end of the CLI.
    Crash,
}

/// How a process tries to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// In the background.
    Background,
    /// In a session of its own.
    Session,
    /// Its parent has gone, and so has its parent's.
    DoubleFork,
    /// In a session of its own, and ignores signals.
    Deaf,
    /// The same without an environment.
    Bare,
}

/// Something that happens at some time.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Since the run's beginning.
    pub(super) at: Duration,
    pub(super) what: What,
}

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// The manager dispatches this turn.
    Dispatch(usize),
    /// The same, and the executor is killed before it can have answered.
    DispatchIntoKill(usize, Duration),
    /// The manager cancels this turn.
    Cancel(usize),
    /// Callbacks go wrong.
    Sink(Rule),
    /// The sink is away so often, for so long.
    Away(u32, Duration),
    /// The executor is killed and started again so often; the last time only after what it left has gone, if so.
    KillExecutor { times: u32, after_all: bool },
    /// SIGTERM, then a new start.
    Terminate,
    /// One of the guards is killed.
    KillGuard(usize),
    /// One of the CLIs is killed.
    KillCli(usize),
}

impl Plan {
    /// The plan that belongs to a seed.
    pub fn draw(seed: u64, cli: Cli) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let turns = turns(&mut dice, cli);
        let mut steps = Vec::new();
        for number in 0..turns.len() {
            let what = match dice.random_ratio(1, 30) {
                true => What::DispatchIntoKill(number, millis(&mut dice, 0, 12)),
                false => What::Dispatch(number),
            };
            // A task's turns are dispatched in their order.
            let at = Duration::from_millis(40 * number as u64) + millis(&mut dice, 0, 40);
            steps.push(Step { at, what });
        }
        // Where a process without mark would be without its guard, guards are let live.
        let bare = turns
            .iter()
            .any(|turn| turn.does.contains(&Deed::Stray(Stray::Bare)));
        let mut refusals = 1;
        for _ in 0..dice.random_range(1..=6) {
            let what = disturbance(&mut dice, turns.len(), bare, &mut refusals);
            let at = millis(&mut dice, 0, if cli == Cli::Fake { 2500 } else { 5000 });
            steps.push(Step { at, what });
        }
        steps.sort_by_key(|step| step.at);
        Self {
            seed,
            cli,
            turns,
            steps,
            talkative: dice.random_bool(0.3),
            killed_at_last: dice.random_bool(0.3),
        }
    }

    /// The turns, and one more, in which nothing goes wrong any more.
    pub(super) fn all_turns(&self) -> Vec<TurnPlan> {
        let mut turns = self.turns.clone();
        turns.push(self.last_turn());
        turns
    }

    pub(super) fn last_turn(&self) -> TurnPlan {
        TurnPlan {
            task: 1,
            subtask: LAST_SUBTASK,
            claude: self.turns[0].claude,
            does: vec![Deed::Words(3, Duration::ZERO)],
        }
    }

    /// A plan in which nothing goes wrong.
    pub fn quiet() -> Self {
        let does = vec![
            Deed::Words(30, Duration::from_millis(20)),
            Deed::Tool,
            Deed::Secret,
            Deed::Words(10, Duration::from_millis(20)),
        ];
        let turn = TurnPlan {
            task: 1,
            subtask: 101,
            claude: false,
            does,
        };
        let step = Step {
            at: Duration::ZERO,
            what: What::Dispatch(0),
        };
        Self {
            seed: 0,
            cli: Cli::Fake,
            turns: vec![turn],
            steps: vec![step],
            talkative: false,
            killed_at_last: false,
        }
    }
}

fn millis(dice: &mut SmallRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(dice.random_range(from..=to))
}

fn turns(dice: &mut SmallRng, cli: Cli) -> Vec<TurnPlan> {
    let mut turns = Vec::new();
    for task in 1..=dice.random_range(1..=3) {
        let claude = match cli {
            Cli::Fake => dice.random_bool(0.5),
            Cli::Codex => false,
            Cli::Claude => true,
        };
        for number in 1..=dice.random_range(1..=2) {
            turns.push(TurnPlan {
                task,
                subtask: task * 100 + number,
                claude,
                does: deeds(dice, cli),
            });
        }
    }
    turns
}

fn deeds(dice: &mut SmallRng, cli: Cli) -> Vec<Deed> {
    if cli != Cli::Fake {
        // A scripted model plays one script per turn.
        return vec![match dice.random_range(0..3) {
            0 => Deed::Tool,
            1 => Deed::Stray(stray(dice)),
            _ => Deed::Words(40, Duration::ZERO),
        }];
    }
    let mut does = vec![words(dice)];
    for _ in 0..dice.random_range(0..=3) {
        does.push(match dice.random_range(0..6) {
            0 => Deed::Tool,
            1 | 2 => Deed::Stray(stray(dice)),
            3 => Deed::Secret,
            _ => words(dice),
        });
    }
    if dice.random_ratio(1, 15) {
        does.push(Deed::Crash);
    }
    does
}

fn words(dice: &mut SmallRng) -> Deed {
    let pause = *[0, 1, 5, 25].choose(dice).expect("there are some");
    Deed::Words(dice.random_range(3..60), Duration::from_millis(pause))
}

fn stray(dice: &mut SmallRng) -> Stray {
    *[
        Stray::Background,
        Stray::Session,
        Stray::DoubleFork,
        Stray::Deaf,
        Stray::Bare,
    ]
    .choose(dice)
    .expect("there are some")
}

fn disturbance(dice: &mut SmallRng, turns: usize, bare: bool, refusals: &mut u32) -> What {
    let which = dice.random_range(0..8);
    match dice.random_range(0..30) {
        0..17 => What::Sink(rule(dice, refusals)),
        17..20 => What::Away(1, millis(dice, 50, 1500)),
        20 | 21 => What::Away(dice.random_range(2..=4), millis(dice, 20, 200)),
        22 | 23 => What::KillExecutor {
            times: dice.random_range(1..=2),
            after_all: dice.random_bool(0.5),
        },
        24 => What::Terminate,
        25 if !bare => What::KillGuard(which),
        26 => What::KillCli(which),
        _ => What::Cancel(dice.random_range(0..turns)),
    }
}

fn rule(dice: &mut SmallRng, refusals: &mut u32) -> Rule {
    let times = dice.random_range(1..=4);
    let fault = match dice.random_range(0..9) {
        0 => Fault::Status(500),
        1 => Fault::Status(503),
        2 => Fault::Busy(429, 1),
        3 => Fault::Delay(millis(dice, 20, 400)),
        4 => Fault::Reset,
        5 => Fault::Unanswered,
        6 => Fault::LoseAnswer,
        7 => Fault::Hang,
        // A second one could hit both forms of an end, and there would be none.
        _ if *refusals > 0 => {
            *refusals -= 1;
            let status = *[400, 404, 413, 422].choose(dice).expect("there are some");
            let on = match dice.random_range(0..3) {
                0 => On::Terminal,
                1 => On::Event("response.block.updated".to_owned()),
                _ => On::Event("response.output_text.delta".to_owned()),
            };
            return Rule::next(1, Fault::Status(status)).on(on);
        }
        _ => Fault::Status(502),
    };
    let rule = Rule::next(if fault == Fault::Hang { 1 } else { times }, fault);
    match dice.random_range(0..6) {
        0 => rule.on(On::Terminal),
        1 | 2 => rule.on(On::Event("response.output_text.delta".to_owned())),
        _ => rule,
    }
}

impl TurnPlan {
    /// What the agent is asked, by which its words are known again. Strays are processes of `sleeper`.
    pub(super) fn prompt(&self, cli: Cli, sleeper: &Sleeper) -> String {
        let mark = mark(self.subtask);
        if cli == Cli::Fake {
            let lines = self.does.iter().enumerate();
            let lines: Vec<String> = lines
                .map(|(at, deed)| deed.directive(&format!("{mark}{at}."), sleeper))
                .collect();
            return lines.join("\n");
        }
        match self.does[0] {
            Deed::Words(count, _) => format!("{} #script:echo", spread(&mark, count)),
            Deed::Stray(stray) => {
                let command = stray.command(sleeper);
                format!("{mark} #script:shell\n#cmd:{command} echo done")
            }
            _ => format!("{mark} #script:mixed"),
        }
    }

    /// Whether the CLI is to crash in it.
    pub(super) fn crashes(&self) -> bool {
        self.does.contains(&Deed::Crash)
    }
}

/// What begins every word of a subtask, and no word of another one.
pub(super) fn mark(subtask: i64) -> String {
    format!("s{subtask}.")
}

fn spread(mark: &str, count: u32) -> String {
    let words: Vec<String> = (0..count).map(|number| format!("{mark}{number}")).collect();
    words.join(" ")
}

impl Deed {
    fn directive(self, mark: &str, sleeper: &Sleeper) -> String {
        match self {
            Self::Words(count, pause) => {
                let words = spread(mark, count);
                format!("#fake:slow millis={} {words}", pause.as_millis())
            }
            Self::Secret => {
                let text = format!("{mark}a {API_KEY} {mark}b");
                format!("#fake:backwards {}", text.chars().rev().collect::<String>())
            }
            Self::Tool => format!("#fake:run true {mark}"),
            Self::Stray(stray) => format!("#fake:run {}", stray.command(sleeper)),
            Self::Crash => "#fake:halfline".to_owned(),
        }
    }
}

impl Stray {
    /// A line of the shell that does not wait for it.
    fn command(self, sleeper: &Sleeper) -> String {
        match self {
            Self::Background => format!("{sleeper} &"),
            Self::Session => format!("setsid {sleeper} &"),
            Self::DoubleFork => format!("(setsid sh -c '{sleeper} & {sleeper}' &) ;"),
            Self::Deaf => format!("setsid sh -c 'trap \"\" TERM HUP INT; {sleeper}; {sleeper}' &"),
            Self::Bare => format!("setsid env -i sh -c 'trap \"\" TERM; {sleeper}; {sleeper}' &"),
        }
    }
}
