//! `make demo`: a task for each agent from Wegent's request to the callbacks, on the real executor and the real CLIs.
//!
//! Codex, then Claude Code: a small git repository gets a file with a mistake in it. A task in Wegent's form asks for the
//! mistake to be put right. What Wegent would show is shown here as it arrives, and at the end the repository's diff. The
//! exit code is 0 only if both turns completed, their callbacks keep Wegent's rules, the files are as it was asked for, and
//! nothing is left running.
//!
//! The model is scripted, or with a key the real one, see [`provider`].

mod provider;
mod screen;
mod task;

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use provider::{Agent, Provider};
use screen::Screen;
use task::Task;
use testkit::{Callback, cli, oracle::Terminal, procs};
use tokio::signal::unix::{SignalKind, signal};
use wegent_executor_tests::{CLAUDE, World};

/// How long what the executor had started may take to be gone after it.
const AFTERMATH: Duration = Duration::from_secs(4);

/// Why the demo did not succeed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    NoCli(#[from] cli::NoCli),
    #[error(transparent)]
    Task(#[from] task::TaskError),
    #[error("the executor refused the request with status {status}: {body}")]
    Refused { status: u16, body: String },
    #[error("the turn did not end within {} s", .0.as_secs())]
    NoEnd(Duration),
    #[error("the turn did not complete: {0}")]
    NotCompleted(String),
    #[error("the callbacks break Wegent's rules: {0}")]
    Callbacks(String),
    #[error("the executor exited with {0:?} on SIGTERM, not with 0")]
    ExitCode(Option<i32>),
    #[error("still running after the executor: {0:?}")]
    Leftovers(Vec<procs::Proc>),
    #[error("the demo's folder can't be removed: {0}")]
    Folder(#[source] io::Error),
    #[error("can't receive signals: {0}")]
    Signals(#[source] io::Error),
    #[error("interrupted")]
    Interrupted,
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let start = Instant::now();
    // The stage panics if it can't be set up; it is taken down by unwinding, and the reason has been printed.
    match catch_unwind(AssertUnwindSafe(|| runtime.block_on(demo()))) {
        Ok(Ok(())) => {
            Screen::new(provider::colours_wanted()).title(&format!(
                "demo: succeeded in {:.1} s",
                start.elapsed().as_secs_f64()
            ));
            ExitCode::SUCCESS
        }
        Ok(Err(failure)) => failed(&failure),
        Err(_) => failed(&"the stage could not be set up"),
    }
}

fn failed(why: &dyn fmt::Display) -> ExitCode {
    eprintln!("\ndemo: FAILED: {why}");
    ExitCode::FAILURE
}

async fn demo() -> Result<(), Failure> {
    let codex = cli::codex()?;
    // The world finds it by itself; the demo must not do without it.
    cli::claude(CLAUDE)?;
    let casts = Agent::ALL.map(|agent| (agent, Provider::of_environment(agent)));
    let mut screen = Screen::new(provider::colours_wanted());
    let world = World::with_cli(&codex, Provider::scripted_model(), |settings| {
        for (_, provider) in &casts {
            provider.prepare(settings);
        }
    })
    .await;
    let mut term = signal(SignalKind::terminate()).map_err(Failure::Signals)?;
    let played = tokio::select! {
        played = play_all(&world, &casts, &mut screen) => played,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
        _ = term.recv() => Err(Failure::Interrupted),
    };
    if played.is_err() {
        eprintln!("\nThe executor's log:\n{}", world.executor.log());
    }
    let stopped = stop(world).await;
    played.and(stopped)
}

/// Gives each agent a task of its own.
async fn play_all(
    world: &World,
    casts: &[(Agent, Provider)],
    screen: &mut Screen,
) -> Result<(), Failure> {
    for (task, (agent, provider)) in (1..).zip(casts) {
        play(world, (task, task * 100), *agent, provider, screen).await?;
    }
    Ok(())
}

/// Has the task run and says whether everything about it was right.
async fn play(
    world: &World,
    ids: (i64, i64),
    agent: Agent,
    provider: &Provider,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let folder = world.workspace(ids.0);
    let task = Task::set_up(&folder)?;
    screen.title(&format!(
        "{agent} task for {provider}, in {}",
        folder.display()
    ));
    screen.prompt(task::PROMPT);
    let body = provider.request(world, agent, ids, task::PROMPT);
    let answer = world.post(&body.0).await;
    if answer.status != 200 {
        return Err(Failure::Refused {
            status: answer.status,
            body: answer.text(),
        });
    }
    let ended = watch(world, ids.1, provider.patience(), screen).await;
    // The diff is worth seeing in any case.
    screen.title("The repository's diff");
    let diff = task.diff(screen.has_colours())?;
    screen.raw(if diff.is_empty() { "(none)\n" } else { &diff });
    ended?;
    Ok(task.check()?)
}

/// Shows the turn's callbacks as they arrive, until the last one, and judges them.
async fn watch(
    world: &World,
    subtask: i64,
    patience: Duration,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let ours = |callback: &&Callback| callback.subtask() == Some(subtask);
    let until = Instant::now() + patience;
    let mut shown = 0;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // A callback is shown once it is answered, as Wegent does not show one that it refused.
        let more = world
            .backend
            .wait_for(left, |all| {
                let next = all.iter().filter(ours).nth(shown);
                next.is_some_and(|next| next.shown)
            })
            .await;
        if !more {
            return Err(Failure::NoEnd(patience));
        }
        let all = world.backend.callbacks(subtask);
        for callback in all[shown..].iter().take_while(|callback| callback.shown) {
            screen.callback(callback);
            shown += 1;
        }
        if all[..shown].iter().any(|callback| callback.is_terminal()) {
            break;
        }
    }
    let view = world.backend.view(subtask);
    match view.terminal {
        Some(Terminal::Completed { .. }) => {}
        Some(Terminal::Failed { code, message }) => {
            return Err(Failure::NotCompleted(format!("{code}: {message}")));
        }
        Some(Terminal::Cancelled { message }) => {
            return Err(Failure::NotCompleted(format!("cancelled: {message}")));
        }
        None => return Err(Failure::NotCompleted("no terminal callback".to_owned())),
    }
    let problems = view.problems.iter().map(ToString::to_string);
    let problems: Vec<String> = problems
        .chain(world.backend.mistakes().iter().map(ToString::to_string))
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::Callbacks(problems.join("; ")))
    }
}

/// Takes everything down as an operator would, and makes sure that nothing is left.
async fn stop(mut world: World) -> Result<(), Failure> {
    let (_, code) = world.executor.terminate().await;
    procs::wait_until_gone(|| world.marked(), AFTERMATH)
        .await
        .map_err(Failure::Leftovers)?;
    world.root.close().map_err(Failure::Folder)?;
    if code == Some(0) {
        Ok(())
    } else {
        Err(Failure::ExitCode(code))
    }
}
