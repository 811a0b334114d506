//! Cancel: everything stops, the answer comes first, one `response.incomplete` follows, and the conversation goes on.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use testkit::{
    View,
    backend::{Fault, On, Rule},
    model::Options,
    oracle::{self, Terminal},
};
use wegent_executor_tests::{PATIENCE, Sleeper, World, signal, until};

/// What a cancel may take at most, its processes included.
const LIMIT: Duration = Duration::from_secs(4);
/// What it takes as long as Codex itself is well.
const TYPICAL: Duration = Duration::from_secs(2);

const TASK: i64 = 1;
const TURN: i64 = 2;

fn deltas_that_never_end() -> Options {
    Options {
        slow_delay: Duration::from_millis(20),
        slow_count: 100_000,
        ..Options::default()
    }
}

/// Cancels as Wegent's manager does and checks the order of things: the answer, then the turn's only terminal event.
/// Gives what was shown and how long the answer took.
async fn cancel(world: &World, what: &str) -> (View, Duration) {
    let report = world
        .backend
        .cancel(&world.executor.url(), TASK, Some(TURN))
        .await;
    println!("{what}: answered after {:?}", report.took);
    assert_eq!(
        report.status(),
        Some(200),
        "{report:?}\n{}",
        world.executor.log()
    );
    assert!(
        !report.disturbed(),
        "a callback was begun before the answer: {report:?}"
    );
    assert!(report.took < LIMIT, "{report:?}\n{}", world.executor.log());
    let view = world.finished(TURN).await;
    assert!(
        matches!(view.terminal, Some(Terminal::Cancelled { .. })),
        "{view:#?}"
    );
    (view, report.took)
}

/// Runs the task's next turn, which is to know `known` of the one before; and nothing of that one came meanwhile.
async fn next_turn_knows(world: &World, known: Option<&str>) {
    let said = world.backend.callbacks(TURN).len();
    let view = world
        .run(&world.turn(TASK, TURN + 1, "And now? #script:remember"))
        .await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
    assert!(view.text.contains("And now?"), "{}", view.text);
    if let Some(known) = known {
        assert!(
            view.text.contains(known),
            "the turn before is forgotten: {}",
            view.text
        );
    }
    let callbacks = world.backend.callbacks(TURN);
    assert_eq!(callbacks.len(), said, "callbacks after the end");
    assert_eq!(
        callbacks
            .iter()
            .filter(|callback| callback.is_terminal())
            .count(),
        1
    );
}

#[tokio::test]
async fn text_that_streams_is_cut_off_and_kept() {
    let Some(world) = World::build_with(
        "text_that_streams_is_cut_off_and_kept",
        deltas_that_never_end(),
        |_| {},
    )
    .await
    else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    world
        .wait_for(TURN, "text is shown", |view| view.text.contains("tick3 "))
        .await;
    let (view, took) = cancel(&world, "text streams").await;
    assert!(took < TYPICAL, "{took:?}");
    let spoken: String = (0..100_000)
        .map(|number| format!("tick{number} "))
        .take(2000)
        .collect();
    assert!(
        view.text.contains("tick3 ") && spoken.starts_with(&view.text),
        "{}",
        view.text
    );
    next_turn_knows(&world, Some("Count.")).await;
}

/// A turn in which a command runs that starts `sleepers` sleeping processes; cancelled, none of them is left.
async fn command_is_ended(test: &str, sleepers: usize, command: impl Fn(&Sleeper) -> String) {
    let Some(world) = World::build(test).await else {
        return;
    };
    let sleeper = Sleeper::new();
    let prompt = format!("Sleep. #script:shell\n#cmd:{}", command(&sleeper));
    world.dispatch(&world.turn(TASK, TURN, &prompt)).await;
    sleeper.appear(sleepers).await;
    world
        .wait_for(TURN, "the command is shown", |view| {
            view.tools().count() == 1
        })
        .await;
    let start = Instant::now();
    let (view, took) = cancel(&world, test).await;
    let gone = world
        .gone(start, LIMIT, || [sleeper.running(), world.tools()].concat())
        .await;
    println!("{test}: nothing left after {gone:?}");
    assert!(took < TYPICAL, "{took:?}");
    assert!(
        view.tools().all(|tool| tool.is_over()),
        "a card spins for ever: {view:#?}"
    );
    next_turn_knows(&world, Some("Sleep.")).await;
}

#[tokio::test]
async fn a_command_and_what_it_put_into_the_background_are_ended() {
    let test = "a_command_and_what_it_put_into_the_background_are_ended";
    command_is_ended(test, 2, |sleeper| format!("{sleeper} & {sleeper}")).await;
}

#[tokio::test]
async fn daemons_that_a_command_made_are_ended() {
    let daemon = |sleeper: &Sleeper| {
        format!(
            "(setsid sh -c '(setsid {sleeper} </dev/null >/dev/null 2>&1 &)' &) ; setsid {sleeper} & {sleeper}"
        )
    };
    command_is_ended("daemons_that_a_command_made_are_ended", 3, daemon).await;
}

#[tokio::test]
async fn daemons_with_an_emptied_environment_are_ended() {
    let daemon = |sleeper: &Sleeper| {
        format!("(setsid env -i {sleeper} </dev/null >/dev/null 2>&1 &) ; env -i {sleeper}")
    };
    command_is_ended("daemons_with_an_emptied_environment_are_ended", 2, daemon).await;
}

#[tokio::test]
async fn a_command_that_ignores_sigterm_is_ended() {
    let stubborn = |sleeper: &Sleeper| {
        format!(
            "trap '' TERM INT HUP; (setsid sh -c 'trap \"\" TERM; {sleeper}; {sleeper}' &); while :; do {sleeper}; done"
        )
    };
    command_is_ended("a_command_that_ignores_sigterm_is_ended", 2, stubborn).await;
}

#[tokio::test]
async fn a_turn_whose_provider_is_silent_is_ended() {
    let Some(world) = World::build("a_turn_whose_provider_is_silent_is_ended").await else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Anybody? #script:hang"))
        .await;
    assert!(
        world
            .model
            .wait_for(PATIENCE, |requests| !requests.is_empty())
            .await
    );
    let (_, took) = cancel(&world, "silent provider").await;
    assert!(took < TYPICAL, "{took:?}");
    next_turn_knows(&world, Some("Anybody?")).await;
}

#[tokio::test]
async fn a_turn_whose_thread_does_not_exist_yet_is_ended() {
    let Some(world) = World::build("a_turn_whose_thread_does_not_exist_yet_is_ended").await else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Hello. #script:text"))
        .await;
    world
        .wait_for(TURN, "the turn is shown", |view| view.attempts == 1)
        .await;
    let (view, took) = cancel(&world, "no thread yet").await;
    assert!(took < TYPICAL, "{took:?}");
    assert_eq!((view.text.as_str(), world.model.requests().len()), ("", 0));
    next_turn_knows(&world, None).await;
}

#[tokio::test]
async fn a_turn_that_was_just_dispatched_is_ended() {
    let Some(world) = World::build("a_turn_that_was_just_dispatched_is_ended").await else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Hello. #script:text"))
        .await;
    let report = world
        .backend
        .cancel(&world.executor.url(), TASK, Some(TURN))
        .await;
    assert_eq!(report.status(), Some(200), "{report:?}");
    assert!(report.took < TYPICAL, "{report:?}");
    // The turn's first callback may cross with the cancel. No other may be begun then.
    let crossing = Duration::from_millis(100);
    assert!(report.started_meanwhile.len() <= 1, "{report:?}");
    assert!(
        report
            .started_meanwhile
            .iter()
            .all(|before| report.took.saturating_sub(*before) < crossing),
        "{report:?}"
    );
    let view = world.finished(TURN).await;
    assert!(
        matches!(view.terminal, Some(Terminal::Cancelled { .. })),
        "{view:#?}"
    );
    next_turn_knows(&world, None).await;
}

/// Writes an executable that stands in for Codex.
fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("codex");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[tokio::test]
async fn a_codex_that_is_slow_to_start_is_ended() {
    let Some(codex) = testkit::cli::require_codex("a_codex_that_is_slow_to_start_is_ended") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let sleeper = Sleeper::new();
    let (started, codex) = (folder.path().join("started"), codex.display());
    let started = started.display();
    // Slow the first time only.
    let text = format!(
        "#!/bin/sh\nif mkdir '{started}'; then trap '' TERM; {sleeper}; fi\nexec '{codex}' \"$@\"\n"
    );
    let world = World::with_cli(&script(folder.path(), &text), Options::default(), |_| {}).await;
    world
        .dispatch(&world.turn(TASK, TURN, "Hello. #script:text"))
        .await;
    sleeper.appear(1).await;
    let start = Instant::now();
    cancel(&world, "slow codex").await;
    world
        .gone(start, LIMIT, || {
            [sleeper.running(), world.marked()].concat()
        })
        .await;
    next_turn_knows(&world, None).await;
}

/// A codex that never hears of requests by the name of `method`; see [`unheard`].
fn deaf(folder: &Path, codex: &Path, method: &str) -> PathBuf {
    let (codex, note) = (codex.display(), folder.join("unheard"));
    let note = note.display();
    let text = format!(
        r#"#!/usr/bin/env python3
import json, subprocess, sys
cli = subprocess.Popen(["{codex}", *sys.argv[1:]], stdin=subprocess.PIPE)
for line in sys.stdin.buffer:
    if json.loads(line).get("method") == "{method}":
        open("{note}", "w").close()
    else:
        cli.stdin.write(line)
        cli.stdin.flush()
cli.stdin.close()
sys.exit(cli.wait())
"#
    );
    script(folder, &text)
}

/// Whether a deaf codex has been asked.
fn unheard(folder: &Path) -> bool {
    folder.join("unheard").exists()
}

#[tokio::test]
async fn a_codex_that_does_not_start_the_turn_is_ended() {
    let Some(codex) = testkit::cli::require_codex("a_codex_that_does_not_start_the_turn_is_ended")
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let codex = deaf(folder.path(), &codex, "turn/start");
    let world = World::with_cli(&codex, Options::default(), |_| {}).await;
    world
        .dispatch(&world.turn(TASK, TURN, "Hello. #script:text"))
        .await;
    until("codex is to start the turn", || unheard(folder.path())).await;
    let start = Instant::now();
    cancel(&world, "turn/start unanswered").await;
    world.gone(start, LIMIT, || world.marked()).await;
}

#[tokio::test]
async fn a_codex_that_does_not_obey_is_ended_with_its_command() {
    let Some(codex) =
        testkit::cli::require_codex("a_codex_that_does_not_obey_is_ended_with_its_command")
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let codex = deaf(folder.path(), &codex, "turn/interrupt");
    let world = World::with_cli(&codex, Options::default(), |_| {}).await;
    let sleeper = Sleeper::new();
    let prompt = format!("Sleep. #script:shell\n#cmd:setsid {sleeper} & {sleeper}");
    world.dispatch(&world.turn(TASK, TURN, &prompt)).await;
    sleeper.appear(2).await;
    let start = Instant::now();
    cancel(&world, "interrupt unheard").await;
    let gone = world
        .gone(start, LIMIT, || {
            [sleeper.running(), world.marked()].concat()
        })
        .await;
    println!("interrupt unheard: nothing left after {gone:?}");
    next_turn_knows(&world, Some("Sleep.")).await;
}

#[tokio::test]
async fn a_codex_that_hangs_is_ended() {
    let Some(world) = World::build_with(
        "a_codex_that_hangs_is_ended",
        deltas_that_never_end(),
        |_| {},
    )
    .await
    else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    world
        .wait_for(TURN, "text is shown", |view| view.text.contains("tick3 "))
        .await;
    let stopped = world.app_servers();
    signal(stopped[0].pid, "STOP");
    let start = Instant::now();
    cancel(&world, "codex hangs").await;
    world.gone(start, LIMIT, || world.marked()).await;
    next_turn_knows(&world, Some("Count.")).await;
}

#[tokio::test]
async fn what_has_ended_cannot_be_cancelled() {
    let Some(world) = World::build("what_has_ended_cannot_be_cancelled").await else {
        return;
    };
    let before = world
        .run(&world.turn(TASK, TURN, "Hello. #script:text"))
        .await;
    for subtask in [Some(TURN), None] {
        let report = world
            .backend
            .cancel(&world.executor.url(), TASK, subtask)
            .await;
        assert_eq!(report.status(), Some(404), "{report:?}");
    }
    let unknown = world
        .backend
        .cancel(&world.executor.url(), 4711, Some(TURN))
        .await;
    assert_eq!(unknown.status(), Some(404), "{unknown:?}");
    next_turn_knows(&world, Some("Hello.")).await;
    assert_eq!(world.backend.view(TURN), before);
}

#[tokio::test]
async fn a_cancel_of_another_subtask_ends_nothing() {
    let options = Options {
        slow_delay: Duration::from_millis(10),
        slow_count: 50,
        ..Options::default()
    };
    let Some(world) =
        World::build_with("a_cancel_of_another_subtask_ends_nothing", options, |_| {}).await
    else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    world
        .wait_for(TURN, "text is shown", |view| !view.text.is_empty())
        .await;
    let report = world
        .backend
        .cancel(&world.executor.url(), TASK, Some(TURN + 1))
        .await;
    assert_eq!(report.status(), Some(404), "{report:?}");
    let view = world.finished(TURN).await;
    assert!(
        view.completed() && view.text.contains("tick49 "),
        "{view:#?}"
    );
}

#[tokio::test]
async fn a_cancel_without_a_subtask_is_for_whatever_runs() {
    let test = "a_cancel_without_a_subtask_is_for_whatever_runs";
    let Some(world) = World::build_with(test, deltas_that_never_end(), |_| {}).await else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    world
        .wait_for(TURN, "text is shown", |view| !view.text.is_empty())
        .await;
    let report = world
        .backend
        .cancel(&world.executor.url(), TASK, None)
        .await;
    assert_eq!(report.status(), Some(200), "{report:?}");
    assert!(!report.disturbed() && report.took < TYPICAL, "{report:?}");
    let view = world.finished(TURN).await;
    assert!(
        matches!(view.terminal, Some(Terminal::Cancelled { .. })),
        "{view:#?}"
    );
    next_turn_knows(&world, Some("Count.")).await;
}

#[tokio::test]
async fn two_cancels_at_once_are_both_answered_and_end_the_turn_once() {
    let test = "two_cancels_at_once_are_both_answered_and_end_the_turn_once";
    let Some(world) = World::build(test).await else {
        return;
    };
    let sleeper = Sleeper::new();
    world
        .dispatch(&world.turn(
            TASK,
            TURN,
            &format!("Sleep. #script:shell\n#cmd:trap '' TERM; {sleeper} & {sleeper}"),
        ))
        .await;
    sleeper.appear(2).await;
    let url = world.executor.url();
    let (first, second) = tokio::join!(
        world.backend.cancel(&url, TASK, Some(TURN)),
        world.backend.cancel(&url, TASK, None)
    );
    for report in [first, second] {
        assert_eq!(report.status(), Some(200), "{report:?}");
        assert!(!report.disturbed() && report.took < LIMIT, "{report:?}");
    }
    let view = world.finished(TURN).await;
    assert!(
        matches!(view.terminal, Some(Terminal::Cancelled { .. })),
        "{view:#?}"
    );
    next_turn_knows(&world, Some("Sleep.")).await;
}

#[tokio::test]
async fn a_callback_that_hangs_does_not_hold_up_the_answer() {
    let test = "a_callback_that_hangs_does_not_hold_up_the_answer";
    let Some(world) = World::build_with(test, deltas_that_never_end(), |_| {}).await else {
        return;
    };
    world
        .backend
        .inject(Rule::next(1, Fault::Hang).on(On::Event("response.output_text.delta".into())));
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    let hangs = |callbacks: &[testkit::Callback]| {
        callbacks
            .iter()
            .any(|callback| callback.event_type().ends_with("text.delta"))
    };
    assert!(world.backend.wait_for(PATIENCE, hangs).await);
    let report = world
        .backend
        .cancel(&world.executor.url(), TASK, Some(TURN))
        .await;
    println!("callback hangs: answered after {:?}", report.took);
    assert_eq!(report.status(), Some(200), "{report:?}");
    assert!(!report.disturbed() && report.took < TYPICAL, "{report:?}");
    // The connection breaks at last, and what it carried is sent again.
    world.backend.go_away().await;
    world.backend.come_back().await.unwrap();
    let view = world.finished(TURN).await;
    assert!(
        matches!(view.terminal, Some(Terminal::Cancelled { .. })),
        "{view:#?}"
    );
    assert!(view.text.starts_with("tick0 "), "{view:#?}");
    oracle::assert_clean(&view);
}

#[tokio::test]
async fn other_tasks_go_on() {
    let Some(world) = World::build_with("other_tasks_go_on", deltas_that_never_end(), |_| {}).await
    else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    world
        .dispatch(&world.turn(77, 78, "Count. #script:slow"))
        .await;
    for subtask in [TURN, 78] {
        world
            .wait_for(subtask, "text is shown", |view| !view.text.is_empty())
            .await;
    }
    let report = world
        .backend
        .cancel(&world.executor.url(), TASK, Some(TURN))
        .await;
    assert_eq!(report.status(), Some(200), "{report:?}");
    world.finished(TURN).await;
    let shown = world.backend.view(78).text;
    world
        .wait_for(78, "the other task goes on", |view| {
            view.text.len() > shown.len() + 20
        })
        .await;
    assert_eq!(world.backend.view(78).terminal, None);
}
