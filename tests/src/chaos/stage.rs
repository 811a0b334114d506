//! A plan performed with a real executor, and what was seen of it.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use testkit::{
    Answered, Callback, View,
    backend::{Fault, On, Rule},
    clock,
    model::Options,
    notes,
    oracle::{self, Terminal},
    procs, roles,
};

use super::{
    Cli, Finding, Kind, Plan,
    judge::{Case, MayEnd},
    plan::{LAST_SUBTASK, TurnPlan, What},
    scan::{Belonging, Found, gone},
    truth::{self, Truth},
};
use crate::{
    API_KEY, AUTH_TOKEN, OPERATORS_KEY, SKILL_TOKEN, Settings, Sleeper, TurnBody, World,
    executor::try_signal, private_folder,
};

/// How long everything that was dispatched may take to end, after the last disturbance.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long what has to go may take to go.
const GOING: Duration = Duration::from_secs(6);
/// What a CLI said this long before a kill has been read, on a machine that has much to do.
const READ_BY_THEN: Duration = Duration::from_secs(2);
/// How long an exit may take after SIGTERM: the 8 s that we promise, and what starting `kill` takes on a machine that has
/// much to do.
const EXIT: Duration = Duration::from_millis(8300);
/// A fault of ours, so that the suite is known to see such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A piece of the text does not get to the front end.
    Loss,
    /// A piece of the text is said twice.
    Duplicate,
    /// A key is written into a file.
    Leak,
    /// A key is in a callback.
    LeakToSink,
    /// A key is in two callbacks, a half in each.
    LeakInHalves,
    /// A process is left.
    Survivor,
}

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The run's seed.
    pub seed: u64,
    /// Everything that must not be.
    pub findings: Vec<Finding>,
    /// What was done to it, by name.
    pub injected: BTreeMap<String, u64>,
    /// How turns ended.
    pub ends: BTreeMap<String, u64>,
    /// How many turns there were.
    pub turns: usize,
    /// How many callbacks arrived.
    pub callbacks: usize,
    /// How long it took.
    pub took: Duration,
    /// The longest time that an executor took to exit after SIGTERM.
    pub slowest_exit: Duration,
    /// What helps to understand the findings, if there are any.
    pub evidence: String,
}

impl Outcome {
    pub(super) fn broken(seed: u64, why: &str) -> Self {
        Self {
            seed,
            findings: vec![Finding::new(Kind::Broken, why)],
            ..Self::default()
        }
    }
}

/// Performs a plan and judges what it saw.
pub async fn play(plan: &Plan, plant: Option<Plant>) -> Outcome {
    let began = Instant::now();
    let mut stage = Stage::build(plan).await;
    for step in plan.steps.clone() {
        tokio::time::sleep_until((began + step.at).into()).await;
        stage.perform(step.what).await;
    }
    stage.settle(plant).await;
    stage.finish(plant).await;
    let mut outcome = stage.judge(plant);
    outcome.took = began.elapsed();
    outcome
}

struct Stage<'a> {
    plan: &'a Plan,
    world: World,
    sleeper: Sleeper,
    /// The fakes, and what they noted.
    fakes: tempfile::TempDir,
    belonging: Belonging,
    /// What was alive when its executor was killed.
    doomed: Vec<Found>,
    /// When the first kill was, which may have cut off any turn.
    killed_at: Option<u64>,
    cancelled_at: HashMap<i64, u64>,
    may_end: MayEnd,
    slowest_exit: Duration,
    injected: BTreeMap<String, u64>,
    findings: Vec<Finding>,
}

impl<'a> Stage<'a> {
    async fn build(plan: &'a Plan) -> Self {
        let fakes = private_folder();
        let notes = fakes.path().join("notes");
        let (mut codex, claude) =
            roles::install_noting(fakes.path(), &notes).expect("the folder is writable");
        if plan.cli == Cli::Codex {
            codex = testkit::cli::codex().expect("`make cli` installs the CLIs");
        }
        let options = Options {
            delta_delay: Duration::from_millis(25),
            ..Options::default()
        };
        let change = |settings: &mut Settings| {
            if plan.cli == Cli::Fake {
                settings.set("CLAUDE_BINARY_PATH", claude.display().to_string());
            }
            if plan.talkative {
                settings.set("WEGENT_LOG", "debug");
            }
        };
        let world = World::with_cli(&codex, options, change).await;
        let sleeper = Sleeper::new();
        let belonging = Belonging::new(world.root.path(), sleeper.to_string());
        Self {
            plan,
            world,
            sleeper,
            fakes,
            belonging,
            doomed: Vec::new(),
            killed_at: None,
            cancelled_at: HashMap::new(),
            may_end: MayEnd::default(),
            slowest_exit: Duration::ZERO,
            injected: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    fn injected(&mut self, what: &str) {
        *self.injected.entry(what.to_owned()).or_default() += 1;
    }

    fn found(&mut self, kind: Kind, what: impl Into<String>) {
        self.findings.push(Finding::new(kind, what));
    }

    fn body(&self, turn: &TurnPlan) -> TurnBody {
        let prompt = turn.prompt(self.plan.cli, &self.sleeper);
        match turn.claude {
            true => self.world.claude_turn(turn.task, turn.subtask, &prompt),
            false => self.world.turn(turn.task, turn.subtask, &prompt),
        }
    }

    async fn perform(&mut self, what: What) {
        match what {
            What::Dispatch(number) => self.dispatch(&self.body(&self.plan.turns[number])).await,
            What::DispatchIntoKill(number, after) => {
                let body = self.body(&self.plan.turns[number]);
                let url = self.world.executor.url();
                tokio::select! {
                    // Whether it was answered or not, it's dispatched again.
                    _ = self.world.backend.dispatch(&url, &body.0) => {}
                    () = tokio::time::sleep(after) => {}
                }
                self.injected("executor killed in a dispatch");
                self.kill_executor(1, false).await;
                self.dispatch(&body).await;
            }
            What::Cancel(number) => self.cancel(number).await,
            What::Sink(rule) => self.world.backend.inject(rule),
            What::Away(times, length) => {
                for _ in 0..times {
                    self.injected("sink away");
                    self.world.backend.go_away().await;
                    tokio::time::sleep(length).await;
                    self.come_back().await;
                    // Long enough to be found, too short to be caught up with.
                    tokio::time::sleep(length / 2).await;
                }
            }
            What::KillExecutor { times, after_all } => {
                for _ in 0..times {
                    self.injected("executor killed");
                }
                self.kill_executor(times, after_all).await;
            }
            What::Terminate => {
                self.injected("executor terminated");
                self.terminate().await;
                self.world.executor.start_again().await;
            }
            What::KillGuard(which) => self.kill_one("guard killed", self.world.guards(), which),
            What::KillCli(which) => {
                let clis = [self.world.app_servers(), self.world.claudes()].concat();
                self.kill_one("CLI killed", clis, which);
            }
        }
    }

    async fn come_back(&self) {
        let limit = Instant::now() + GOING;
        // What is started side by side holds our sockets until it has become another program.
        while let Err(error) = self.world.backend.come_back().await {
            assert!(Instant::now() < limit, "the sink can't come back: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// As Wegent's manager does: until the executor has taken it.
    async fn dispatch(&mut self, body: &TurnBody) {
        let limit = Instant::now() + PATIENCE;
        loop {
            let url = self.world.executor.url();
            let answer = self.world.backend.dispatch(&url, &body.0).await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                return;
            }
            if Instant::now() > limit {
                let what = format!("subtask {} was never taken", body.subtask());
                return self.found(Kind::Broken, what);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn cancel(&mut self, number: usize) {
        let turn = &self.plan.turns[number];
        let (task, subtask) = (turn.task, turn.subtask);
        let now = clock::now_micros();
        self.cancelled_at.entry(subtask).or_insert(now);
        let url = self.world.executor.url();
        let report = self.world.backend.cancel(&url, task, Some(subtask)).await;
        self.injected(match report.status() {
            Some(200) => "turn cancelled",
            _ => "cancel of what does not run",
        });
        if report.status().is_none() {
            self.found(
                Kind::Rule,
                format!("cancel unanswered for {:?}", report.took),
            );
        }
    }

    fn kill_one(&mut self, name: &str, among: Vec<procs::Proc>, which: usize) {
        let Some(victim) = among.get(which % among.len().max(1)) else {
            return;
        };
        if try_signal(victim.pid, "KILL") {
            self.injected(name);
            self.may_end.failed = true;
            self.cut_off();
        }
    }

    fn cut_off(&mut self) {
        self.killed_at.get_or_insert_with(clock::now_micros);
    }

    async fn kill_executor(&mut self, times: u32, after_all: bool) {
        self.cut_off();
        self.may_end.restarted = true;
        for time in 1..=times {
            let pid = self.world.executor.pid();
            self.doomed.extend(self.belonging.all(Some(pid)));
            self.world.executor.kill().await;
            if time < times {
                // The next one is killed while it starts.
                self.world.executor.spawn_again();
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        }
        if after_all {
            self.all_gone("after the executor was killed").await;
        }
        self.world.executor.start_again().await;
    }

    async fn terminate(&mut self) {
        self.cut_off();
        self.may_end.restarted = true;
        let (took, code) = self.world.executor.terminate().await;
        self.slowest_exit = self.slowest_exit.max(took);
        if took > EXIT || code != Some(0) {
            self.found(
                Kind::Rule,
                format!("SIGTERM: exit after {took:?}, code {code:?}"),
            );
        }
        self.all_gone("after SIGTERM").await;
    }

    async fn all_gone(&mut self, when: &str) {
        let left = gone(GOING, || self.belonging.all(None)).await;
        self.survived(when, &left);
    }

    /// Tells what is left, and ends it: it would be found again, and outlive the suite.
    fn survived(&mut self, when: &str, left: &[Found]) {
        for found in left {
            try_signal(found.pid, "KILL");
        }
        if !left.is_empty() {
            self.found(Kind::Survivor, format!("{when}: {left:?}"));
        }
    }

    /// Lets everything come to its end.
    async fn settle(&mut self, plant: Option<Plant>) {
        self.world.backend.heal();
        if plant == Some(Plant::Loss) {
            let delta = On::Event("response.output_text.delta".to_owned());
            let rule = Rule::next(1, Fault::Rejected).on(delta);
            self.world.backend.inject(rule);
        }
        // What hangs is answered by no one any more.
        self.world.backend.go_away().await;
        self.come_back().await;
        for turn in &self.plan.turns {
            if !self.ended(turn.subtask).await {
                let what = format!("subtask {} never ended", turn.subtask);
                self.found(Kind::Terminal, what);
            }
        }
        let left = gone(GOING, || self.belonging.strays()).await;
        self.survived("after every turn's end", &left);
        let doomed = std::mem::take(&mut self.doomed);
        let left = gone(GOING, || {
            let mut alive = self.belonging.all(None);
            alive.retain(|found| doomed.contains(found));
            alive
        })
        .await;
        self.survived("of a killed executor", &left);
    }

    /// Waits until the end of a turn has got to the front end; whether its sender could know that doesn't matter.
    async fn ended(&self, subtask: i64) -> bool {
        let is_end = |callback: &Callback| {
            callback.subtask() == Some(subtask) && callback.is_terminal() && callback.shown
        };
        let ended = |callbacks: &[Callback]| callbacks.iter().any(is_end);
        self.world.backend.wait_for(PATIENCE, ended).await
    }

    /// One more turn, which must succeed; then the executor's end.
    async fn finish(&mut self, plant: Option<Plant>) {
        self.dispatch(&self.body(&self.plan.last_turn())).await;
        self.ended(LAST_SUBTASK).await;
        if plant == Some(Plant::Survivor) {
            crate::executor::leave(&self.sleeper.to_string(), self.world.root.path());
        }
        if self.plan.killed_at_last {
            self.world.executor.kill().await;
            self.all_gone("after the last kill").await;
        } else {
            self.terminate().await;
        }
        if plant == Some(Plant::Leak) {
            let file = self.world.root.path().join("home/planted");
            fs::write(file, format!("key={API_KEY}\n")).expect("the home is writable");
        }
    }

    fn truth(&self, turn: &TurnPlan, view: &View) -> Truth {
        let cut = [
            self.killed_at,
            self.cancelled_at.get(&turn.subtask).copied(),
        ];
        let cut = cut.into_iter().flatten().min();
        let margin = u64::try_from(READ_BY_THEN.as_micros()).unwrap_or(u64::MAX);
        match self.plan.cli {
            Cli::Fake => {
                let notes = notes::read(&self.fakes.path().join("notes"));
                let notes = notes.expect("the notes can be read");
                truth::noted(
                    &notes,
                    turn.subtask,
                    cut.map(|cut| cut.saturating_sub(margin)),
                )
            }
            Cli::Codex | Cli::Claude => {
                let turns = self.plan.all_turns();
                let subtasks: Vec<i64> = turns.iter().map(|turn| turn.subtask).collect();
                let requests = self.world.model.requests();
                truth::modelled(&requests, &subtasks, turn.subtask, view.completed())
            }
        }
    }

    fn judge(mut self, plant: Option<Plant>) -> Outcome {
        let turns = self.plan.all_turns();
        let mut outcome = Outcome {
            seed: self.plan.seed,
            turns: turns.len(),
            slowest_exit: self.slowest_exit,
            ..Outcome::default()
        };
        let mut all = self.world.backend.all_callbacks();
        if let Some(plant) = plant {
            tamper(&mut all, plant, turns[0].subtask);
        }
        let sent = |callback: &Callback| format!("{} {:?}", callback.body, callback.headers);
        let mut sent: Vec<String> = all.iter().map(sent).collect();
        for turn in &turns {
            // What stands in no callback alone may stand in what they make together.
            sent.push(format!("{:?}", self.judge_turn(turn, &all, &mut outcome)));
        }
        let mistakes = self.world.backend.mistakes();
        let mistakes = mistakes
            .iter()
            .map(|mistake| Finding::new(Kind::Rule, mistake.to_string()));
        self.findings.extend(mistakes);
        self.findings.extend(leaks(self.world.root.path(), &sent));
        count_faults(&all, &mut self.injected);
        outcome.callbacks = all.len();
        outcome.injected = self.injected;
        outcome.findings = self.findings;
        if !outcome.findings.is_empty() {
            outcome.evidence += &format!("{:#?}\n{}", self.plan, self.world.executor.log());
        }
        outcome
    }

    fn judge_turn(&mut self, turn: &TurnPlan, all: &[Callback], outcome: &mut Outcome) -> View {
        let callbacks: Vec<Callback> = all
            .iter()
            .filter(|callback| callback.subtask() == Some(turn.subtask))
            .cloned()
            .collect();
        let view = oracle::replay(&callbacks);
        let truth = self.truth(turn, &view);
        let case = Case {
            subtask: turn.subtask,
            callbacks: &callbacks,
            truth: &truth,
            may_end: self.may_end(turn),
        };
        let findings = case.judge();
        if !findings.is_empty() {
            let (begun, due) = (truth.begun, &truth.due);
            outcome.evidence += &format!(
                "subtask {}, begun {begun} times; due: {due}\nsaid: {}\n{view:#?}\n",
                turn.subtask, truth.whole
            );
        }
        self.findings.extend(findings);
        *outcome.ends.entry(end_of(&view)).or_default() += 1;
        view
    }

    fn may_end(&self, turn: &TurnPlan) -> MayEnd {
        if turn.subtask == LAST_SUBTASK {
            return MayEnd::default();
        }
        MayEnd {
            cancelled: self.cancelled_at.contains_key(&turn.subtask),
            failed: self.may_end.failed || turn.crashes(),
            ..self.may_end
        }
    }
}

fn end_of(view: &View) -> String {
    match &view.terminal {
        None => "not ended".to_owned(),
        Some(Terminal::Completed { .. }) => "completed".to_owned(),
        Some(Terminal::Cancelled { .. }) => "cancelled".to_owned(),
        Some(Terminal::Failed { code, .. }) => format!("failed: {code}"),
    }
}

/// Makes the log of callbacks one of an executor that has a defect, which shows in this subtask.
fn tamper(callbacks: &mut Vec<Callback>, plant: Plant, subtask: i64) {
    let is_text = |callback: &Callback| {
        callback.event_type() == "response.output_text.delta" && callback.subtask() == Some(subtask)
    };
    let last = callbacks.iter().rposition(is_text).expect("there is text");
    let mut more = callbacks[last].clone();
    more.headers = vec![("idempotency-key".to_owned(), "planted".to_owned())];
    match plant {
        Plant::Duplicate => {}
        Plant::LeakToSink => {
            callbacks[last].body["data"]["delta"] = API_KEY.into();
            return;
        }
        Plant::LeakInHalves => {
            let (half, rest) = API_KEY.split_at(API_KEY.len() / 2);
            callbacks[last].body["data"]["delta"] = half.into();
            more.body["data"]["delta"] = rest.into();
        }
        Plant::Loss | Plant::Leak | Plant::Survivor => return,
    }
    let data = callbacks[last].data();
    let length = data["delta"]
        .as_str()
        .map_or(0, |delta| delta.chars().count() as u64);
    let offset = data["offset"].as_u64().unwrap_or_default();
    more.body["data"]["offset"] = (offset + length).into();
    callbacks.insert(last + 1, more);
}

/// Every secret of the run, in a file or in what was sent.
fn leaks(root: &Path, sent: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for secret in [API_KEY, AUTH_TOKEN, SKILL_TOKEN, OPERATORS_KEY] {
        let name = secret.get(..12).unwrap_or_default();
        for place in procs::find_secret(secret, &[root], &[]) {
            findings.push(Finding::new(Kind::Leak, format!("{name}… in {place}")));
        }
        if sent.iter().any(|sent| sent.contains(secret)) {
            findings.push(Finding::new(Kind::Leak, format!("{name}… in a callback")));
        }
    }
    findings
}

/// What was done to callbacks.
fn count_faults(callbacks: &[Callback], injected: &mut BTreeMap<String, u64>) {
    for callback in callbacks {
        let name = match (callback.answered, callback.shown) {
            (Answered::Status(status @ 300..), _) => format!("callback answered {status}"),
            (Answered::Lost, true) => "callback's answer lost".to_owned(),
            (Answered::Lost, false) => "callback lost".to_owned(),
            (Answered::Open, _) => "callback never answered".to_owned(),
            (Answered::Status(_), _) => continue,
        };
        *injected.entry(name).or_default() += 1;
    }
}
