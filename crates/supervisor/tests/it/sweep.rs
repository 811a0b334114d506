//! A sweep ends what tools started, and only that.

use std::time::{Duration, Instant};

use supervisor::{ExitStatus, GuardError, SweepReport, session_processes};

use crate::{
    roles,
    scene::{Scene, alive, comm, echo, ladder},
};

const MARK: &str = "CODEX_TOOL_CALL_ID";
const SECONDS: Duration = Duration::from_secs(10);

/// A CLI with a server of its own, a marked tool with descendants, and orphans.
const TOOLS: &str = r#"
    sleep 1000 & echo $! > server
    CODEX_TOOL_CALL_ID=call_1 sh -c '
        sleep 1000 & echo $! > child
        env -i sleep 1000 & echo $! > bare
        setsid sleep 1000 & echo $! > setsid
        echo $$ > tool; wait' &
    (setsid sh -c 'echo $$ > orphan; sleep 1000 & echo $! > orphans_child; wait' &)
    echo $$ > cli
    cat
"#;

/// A tool that doesn't obey.
const DEAF: &str = r#"
    CODEX_TOOL_CALL_ID=1 sh -c 'trap "" TERM; echo $$ > tool; while :; do sleep 1000; done' &
    sleep 1000 & echo $! > server
    echo $$ > cli
    cat
"#;

#[tokio::test]
async fn a_sweep_ends_tools_and_orphans_but_neither_the_cli_nor_its_server() {
    let scene = Scene::new();
    let (mut stdin, mut lines, process) = scene.start(TOOLS).await.split();
    let spared = scene.living(["cli", "server"]).await;
    let swept = scene
        .living(["tool", "child", "bare", "setsid", "orphan", "orphans_child"])
        .await;
    let report = process
        .handle()
        .sweep(&["UNUSED", MARK], SECONDS)
        .await
        .unwrap();
    for (name, pid) in &swept {
        assert!(!alive(*pid), "{name}");
    }
    for (name, pid) in &spared {
        assert!(alive(*pid), "{name}");
    }
    assert_eq!(
        report,
        SweepReport {
            ended: 6,
            survivors: vec![],
            killed: false
        }
    );
    echo(&mut stdin, &mut lines).await;
    process.handle().kill().await;
    scene.assert_gone(&spared).await;
}

#[tokio::test]
async fn without_a_mark_only_orphans_are_swept() {
    let scene = Scene::new();
    let (_stdin, _lines, process) = scene.start(TOOLS).await.split();
    let spared = scene
        .living(["cli", "server", "tool", "child", "bare", "setsid"])
        .await;
    let swept = scene.living(["orphan", "orphans_child"]).await;
    let report = process.handle().sweep(&[], SECONDS).await.unwrap();
    assert_eq!((report.ended, report.killed), (2, false));
    assert!(swept.values().all(|pid| !alive(*pid)));
    assert!(spared.values().all(|pid| alive(*pid)));
}

#[tokio::test]
async fn a_tool_that_ignores_sigterm_is_killed_after_the_grace() {
    let scene = Scene::new();
    let (mut stdin, mut lines, process) = scene.start(DEAF).await.split();
    let spared = scene.living(["cli", "server"]).await;
    let tool = scene.pid("tool").await;
    let report = process
        .handle()
        .sweep(&[MARK], Duration::from_millis(50))
        .await
        .unwrap();
    assert!(!alive(tool));
    assert!(report.killed);
    assert_eq!(report.survivors, []);
    assert!(spared.values().all(|pid| alive(*pid)));
    echo(&mut stdin, &mut lines).await;
}

#[tokio::test]
async fn with_nothing_to_sweep_the_answer_comes_at_once() {
    let scene = Scene::new();
    let (_stdin, _lines, process) = scene.start("sleep 1000 & echo $$ > cli; cat").await.split();
    scene.living(["cli"]).await;
    let sweep = process.handle();
    let report = tokio::time::timeout(
        Duration::from_secs(5),
        sweep.sweep(&[MARK], Duration::from_secs(600)),
    )
    .await;
    assert_eq!(report.unwrap().unwrap(), SweepReport::default());
}

#[tokio::test]
async fn a_tool_that_forks_without_end_is_swept() {
    let scene = Scene::new();
    let exe = std::env::current_exe().unwrap();
    // In the CLI's own process group, so that it can't be killed as a group.
    let script = format!(
        "{MARK}=1 {} {} . & echo $$ > cli; cat",
        exe.display(),
        roles::CHAIN
    );
    let (mut stdin, mut lines, process) = scene.start(&script).await.split();
    scene.line("count").await;
    let since = Instant::now();
    let report = process
        .handle()
        .sweep(&[MARK], Duration::from_millis(20))
        .await
        .unwrap();
    assert!(
        since.elapsed() < roles::CHAIN_LASTS / 2,
        "it didn't end by itself"
    );
    assert_eq!(report.survivors, []);
    scene.assert_still("count").await;
    echo(&mut stdin, &mut lines).await;
    let spared = [scene.guard(), process.handle().pid().as_raw()];
    let left = session_processes(&scene.session)
        .into_iter()
        .map(|pid| pid.as_raw());
    let left: Vec<_> = left
        .filter(|pid| !spared.contains(pid))
        .map(|pid| (pid, comm(pid)))
        .collect();
    assert!(
        matches!(&left[..], [(_, cat)] if cat == "cat"),
        "left of the session: {left:?}"
    );
}

#[tokio::test]
async fn sweeps_at_one_time_are_each_answered() {
    let scene = Scene::new();
    let (_stdin, _lines, process) = scene.start(DEAF).await.split();
    scene.living(["cli", "tool"]).await;
    let (slow, quick, nothing) = (process.handle(), process.handle(), process.handle());
    let (slow, quick, nothing) = tokio::join!(
        slow.sweep(&[MARK], Duration::from_millis(400)),
        quick.sweep(&[MARK], Duration::from_millis(50)),
        nothing.sweep(&["UNUSED"], SECONDS),
    );
    assert!(quick.unwrap().killed, "the quick one had to kill");
    assert!(
        !slow.unwrap().killed,
        "the slow one found its target gone before its own grace was over"
    );
    assert_eq!(nothing.unwrap(), SweepReport::default());
}

#[tokio::test]
async fn a_dropped_process_is_noticed_during_a_grace() {
    let scene = Scene::new();
    let stubborn = DEAF
        .replace(r#"trap "" TERM"#, r#"trap "echo heard > heard" TERM"#)
        .replace("do sleep 1000; done", "do sleep 1000 & wait; done");
    let (_stdin, _lines, process) = scene.start(&stubborn).await.split();
    let pids = scene.living(["cli", "tool", "server"]).await;
    let handle = process.handle();
    let sweep = handle.sweep(&[MARK], Duration::from_secs(600));
    let begun = scene.line("heard");
    tokio::select! {
        report = sweep => panic!("the grace isn't over: {report:?}"),
        _ = begun => {}
    }
    drop(process);
    scene.assert_gone(&pids).await;
}

#[tokio::test]
async fn a_kill_is_obeyed_during_a_grace_and_the_sweep_is_answered() {
    let scene = Scene::new();
    let (_stdin, _lines, process) = scene.start(DEAF).await.split();
    let pids = scene.living(["cli", "tool", "server"]).await;
    let (sweeper, killer) = (process.handle(), process.handle());
    let (report, ()) = tokio::join!(
        sweeper.sweep(&[MARK], Duration::from_secs(600)),
        killer.kill()
    );
    assert_eq!(report.unwrap().survivors, []);
    scene.assert_gone(&pids).await;
}

#[tokio::test]
async fn in_a_session_that_is_over_nothing_is_left_to_sweep() {
    let scene = Scene::new();
    let (_stdin, _lines, process) = scene.start("exit 0").await.split();
    assert_eq!(process.handle().exited().await, ExitStatus::Code(0));
    assert_eq!(
        process.handle().sweep(&[MARK], SECONDS).await.unwrap(),
        SweepReport::default()
    );
    process.shutdown(&ladder(0, 0)).await;
}

#[tokio::test]
async fn what_is_no_name_of_a_variable_is_refused() {
    let scene = Scene::new();
    let (_stdin, _lines, process) = scene.start("cat").await.split();
    for bad in ["", "A,B", "A B", "A=1", "A\nkill", "-"] {
        let refused = process.handle().sweep(&[MARK, bad], SECONDS).await;
        assert!(
            matches!(refused, Err(GuardError::BadMark(name)) if name == bad),
            "{bad:?}"
        );
    }
}
