//! The ladder reports the rung that did it.

use supervisor::{ExitStatus, ShutdownReport, StopStep};

use crate::scene::{Scene, ladder};

fn report(step: StopStep, status: ExitStatus) -> ShutdownReport {
    ShutdownReport {
        step,
        status,
        survivors: vec![],
        pipes_closed: true,
    }
}

#[tokio::test]
async fn a_cli_that_obeys_its_closed_stdin() {
    let scene = Scene::new();
    let (stdin, _lines, process) = scene.start("echo $$ > cli; cat; exit 4").await.split();
    let pids = scene.living(["cli"]).await;
    drop(stdin);
    let found = process.shutdown(&ladder(10_000, 0)).await;
    assert_eq!(found, report(StopStep::StdinClosed, ExitStatus::Code(4)));
    scene.assert_gone(&pids).await;
}

#[tokio::test]
async fn a_cli_that_obeys_sigterm_with_its_stdin_still_open() {
    let scene = Scene::new();
    let (stdin, _lines, process) = scene.start("echo $$ > cli; exec sleep 1000").await.split();
    let pids = scene.living(["cli"]).await;
    let found = process.shutdown(&ladder(20, 10_000)).await;
    assert_eq!(found, report(StopStep::Terminate, ExitStatus::Signal(15)));
    scene.assert_gone(&pids).await;
    drop(stdin);
}

#[tokio::test]
async fn a_cli_that_answers_sigterm_with_a_code() {
    let scene = Scene::new();
    let script = "trap 'exit 7' TERM; echo $$ > cli; while :; do sleep 0.05; done";
    let (_stdin, _lines, process) = scene.start(script).await.split();
    scene.living(["cli"]).await;
    let found = process.shutdown(&ladder(20, 10_000)).await;
    assert_eq!(found, report(StopStep::Terminate, ExitStatus::Code(7)));
}

#[tokio::test]
async fn a_cli_that_ignores_sigterm_is_killed() {
    let scene = Scene::new();
    let script =
        "trap '' TERM; sleep 1000 & echo $! > tool; echo $$ > cli; while :; do sleep 1000; done";
    let (stdin, _lines, process) = scene.start(script).await.split();
    let pids = scene.living(["cli", "tool"]).await;
    drop(stdin);
    let found = process.shutdown(&ladder(20, 50)).await;
    assert_eq!(found, report(StopStep::Kill, ExitStatus::Signal(9)));
    scene.assert_gone(&pids).await;
}

#[tokio::test]
async fn sigterm_goes_to_the_cli_and_what_it_leaves_is_killed() {
    let scene = Scene::new();
    let script = "setsid sh -c 'trap \"\" TERM; echo $$ > deaf; while :; do sleep 1000; done' & echo $$ > cli; wait";
    let (_stdin, _lines, process) = scene.start(script).await.split();
    let pids = scene.living(["cli", "deaf"]).await;
    let found = process.shutdown(&ladder(0, 10_000)).await;
    assert_eq!(found, report(StopStep::Terminate, ExitStatus::Signal(15)));
    scene.assert_gone(&pids).await;
}

#[tokio::test]
async fn a_cli_that_has_ended_before() {
    for (script, status) in [
        ("exit 3", ExitStatus::Code(3)),
        ("kill -SEGV $$", ExitStatus::Signal(11)),
        ("kill -40 $$", ExitStatus::Signal(40)),
    ] {
        let scene = Scene::new();
        let (_stdin, _lines, process) = scene.start(script).await.split();
        assert_eq!(process.handle().exited().await, status, "{script}");
        assert_eq!(
            process.handle().exited().await,
            status,
            "asked twice: {script}"
        );
        let found = process.shutdown(&ladder(10_000, 10_000)).await;
        assert_eq!(found, report(StopStep::AlreadyExited, status), "{script}");
    }
}
