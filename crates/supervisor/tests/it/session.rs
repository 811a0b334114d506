//! However a session ends, nothing of it is left.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use supervisor::{ExitStatus, Guard, GuardError, SessionMark, StopStep, session_processes};

use crate::{
    roles,
    scene::{Scene, TREE, TREE_PIDS, alive, assert_gone, comm, echo, eventually, ladder, signal},
};

#[tokio::test]
async fn dropping_the_process_leaves_nothing() {
    let scene = Scene::new();
    let (stdin, lines, process) = scene.start(TREE).await.split();
    let mut pids = scene.living(TREE_PIDS).await;
    pids.insert("guard", scene.guard());
    let handle = process.handle();
    drop(process);
    scene.assert_gone(&pids).await;
    assert_eq!(
        handle.exited().await,
        ExitStatus::Lost,
        "nobody watched it end"
    );
    drop((stdin, lines));
}

#[test]
fn dropping_the_process_needs_no_runtime_that_runs() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let scene = Scene::new();
    // The CLI would exit by itself if its stdin were closed.
    let (pids, _stdin, process) = runtime.block_on(async {
        let (stdin, _, process) = scene.start(TREE).await.split();
        (scene.living(TREE_PIDS).await, stdin, process)
    });
    // From here on no task is polled, nor dropped.
    drop(process);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(scene.assert_gone(&pids));
    drop(runtime);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_an_unsplit_child_leaves_nothing() {
    for _ in 0..10 {
        let scene = Scene::new();
        let child = scene.start(TREE).await;
        let pids = scene.living(TREE_PIDS).await;
        drop(child);
        scene.assert_gone(&pids).await;
    }
}

#[tokio::test]
async fn giving_up_a_start_leaves_nothing() {
    let scene = Scene::new();
    let guard = Guard::own();
    for micros in (0..3_000).step_by(100) {
        let start = guard.spawn(scene.shell("sleep 1000 & sleep 1000"));
        drop(tokio::time::timeout(Duration::from_micros(micros), start).await);
    }
    eventually("the session is empty", || {
        session_processes(&scene.session).is_empty()
    })
    .await;
}

#[tokio::test]
async fn killing_the_executor_leaves_nothing() {
    let scene = Scene::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "the test plays who starts the executor"
    )]
    let mut executor = tokio::process::Command::new("/proc/self/exe")
        .args([roles::EXECUTOR.as_ref(), scene.folder.path().as_os_str()])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mark = scene.line("mark").await;
    let pids = scene.living(TREE_PIDS).await;
    let marked = || -> Vec<String> {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let environments =
            processes.filter_map(|process| fs::read(process.path().join("environ")).ok());
        environments
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .filter(|text| text.contains(&mark))
            .collect()
    };
    assert!(marked().len() > 3, "the search by mark finds what runs");
    executor.kill().await.unwrap();
    assert_gone(&scene.session, &pids).await;
    eventually("no process carries the mark", || marked().is_empty()).await;
}

#[tokio::test]
async fn killing_the_guard_leaves_nothing_that_carries_the_mark() {
    let scene = Scene::new();
    let (_stdin, _lines, process) = scene.start(TREE).await.split();
    let mut pids = scene.living(TREE_PIDS).await;
    let handle = process.handle();
    signal(scene.guard(), Signal::SIGKILL);
    // Without mark, parent and guard they can't be known. They lead groups of their own.
    for escaped in ["bare", "worst"] {
        let group = nix::unistd::Pid::from_raw(pids.remove(escaped).unwrap());
        nix::sys::signal::killpg(group, Signal::SIGKILL).unwrap();
    }
    assert_eq!(handle.exited().await, ExitStatus::Lost);
    scene.assert_gone(&pids).await;
    assert!(matches!(
        handle.sweep(&[], Duration::ZERO).await,
        Err(GuardError::Lost)
    ));
    let report = process.shutdown(&ladder(0, 0)).await;
    assert_eq!(
        (report.step, report.status),
        (StopStep::AlreadyExited, ExitStatus::Lost)
    );
    assert_eq!(report.survivors, []);
}

#[tokio::test]
async fn without_a_guard_the_unmarked_child_of_a_marked_process_goes_too() {
    let scene = Scene::new();
    let script =
        "setsid sh -c 'env -i /bin/sleep 1000 & echo $! > bare; echo $$ > parent; wait' & cat";
    let child = scene.start(script).await;
    let pids = scene.living(["bare", "parent"]).await;
    signal(scene.guard(), Signal::SIGKILL);
    scene.assert_gone(&pids).await;
    drop(child);
}

#[tokio::test]
async fn a_stuck_guard_does_not_stop_a_shutdown() {
    let scene = Scene::new();
    let (_stdin, _lines, process) = scene
        .start("sleep 1000 & echo $! > tool; echo $$ > cli; cat")
        .await
        .split();
    let pids = scene.living(["tool", "cli"]).await;
    signal(scene.guard(), Signal::SIGSTOP);
    let mut ladder = ladder(10, 10);
    ladder.kill_deadline = Duration::from_millis(100);
    let report = process.shutdown(&ladder).await;
    assert_eq!(
        (report.step, report.status),
        (StopStep::Kill, ExitStatus::Lost)
    );
    scene.assert_gone(&pids).await;
}

#[tokio::test]
async fn what_an_exited_cli_leaves_behind_is_ended() {
    let scene = Scene::new();
    let (stdin, lines, process) = scene.start(TREE).await.split();
    let pids = scene.living(TREE_PIDS).await;
    drop(stdin);
    assert_eq!(process.handle().exited().await, ExitStatus::Code(0));
    scene.assert_gone(&pids).await;
    drop((lines, process));
}

#[tokio::test]
async fn kill_ends_everything_and_returns_when_it_is_done() {
    let scene = Scene::new();
    let (_stdin, _lines, process) = scene.start(TREE).await.split();
    let pids = scene.living(TREE_PIDS).await;
    process.handle().kill().await;
    for (name, pid) in pids {
        assert!(!alive(pid), "{name}");
    }
    assert_eq!(process.handle().exited().await, ExitStatus::Signal(9));
}

#[tokio::test]
async fn a_chain_of_forks_that_outruns_every_look_is_ended() {
    let scene = Scene::new();
    let exe = std::env::current_exe().unwrap();
    for detached in ["", "setsid"] {
        let script = format!("{detached} {} {} . & cat", exe.display(), roles::CHAIN);
        let child = scene.start(&script).await;
        scene.line("count").await;
        let since = Instant::now();
        drop(child);
        eventually("the session is empty", || {
            session_processes(&scene.session).is_empty()
        })
        .await;
        assert!(
            since.elapsed() < roles::CHAIN_LASTS / 2,
            "it didn't end by itself"
        );
        scene.assert_still("count").await;
        fs::remove_file(scene.path("count")).unwrap();
    }
}

#[tokio::test]
async fn fifty_children_leave_no_zombie() {
    let scene = Scene::new();
    for number in 0..50 {
        let (stdin, lines, process) = scene.start("exec cat").await.split();
        if number % 2 == 0 {
            drop((stdin, lines));
            process.shutdown(&ladder(5_000, 5_000)).await;
        } else {
            drop(process);
        }
    }
    eventually("the session is empty", || {
        session_processes(&scene.session).is_empty()
    })
    .await;
    let own = std::process::id().to_string();
    // A dead guard has no environment to find it by, but it's our child and has kept its name.
    let zombies = || -> Vec<String> {
        let stats = fs::read_dir("/proc").unwrap().flatten();
        let stats =
            stats.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
        stats
            .filter(|stat| stat.contains(&format!("(wegent-guard) Z {own} ")))
            .collect()
    };
    // Other tests of this process have guards too; theirs come and go.
    eventually("no guard is a zombie", || zombies().is_empty()).await;
}

#[tokio::test]
async fn the_control_socket_is_the_guards_alone() {
    let scene = Scene::new();
    let (_stdin, _lines, _process) = scene
        .start("sleep 1000 & echo $! > tool; echo $$ > cli; cat")
        .await
        .split();
    let pids = scene.living(["cli", "tool"]).await;
    let sockets = |pid: i32| -> BTreeSet<String> {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let links = links.filter_map(|fd| fs::read_link(fd.path()).ok());
        links
            .map(|link| link.to_string_lossy().into_owned())
            .filter(|link| link.starts_with("socket:"))
            .collect()
    };
    let control = sockets(scene.guard());
    assert_ne!(control.len(), 0, "the guard has its socket");
    for (name, pid) in pids {
        assert_eq!(sockets(pid).intersection(&control).count(), 0, "{name}");
    }
}

#[tokio::test]
async fn the_guard_keeps_neither_pipes_nor_folder() {
    let scene = Scene::new();
    let child = scene.start("cat").await;
    let guard = scene.guard();
    let link = |name: &str| fs::read_link(format!("/proc/{guard}/{name}")).unwrap();
    // It says that the CLI runs before it gives them away.
    eventually("the pipes are given away", || {
        link("fd/2").ends_with("null")
    })
    .await;
    eventually("the folder is given away", || {
        link("cwd").as_os_str() == "/"
    })
    .await;
    for fd in ["fd/0", "fd/1"] {
        assert_eq!(link(fd).as_os_str(), "/dev/null");
    }
    let command_line = fs::read_to_string(format!("/proc/{guard}/cmdline")).unwrap();
    assert!(
        command_line.starts_with("wegent-guard\0guard\0"),
        "{command_line:?}"
    );
    drop(child);
}

#[tokio::test]
async fn signals_do_not_end_the_guard_and_the_cli_does_not_inherit_that() {
    let scene = Scene::new();
    let (mut stdin, mut lines, process) = scene.start("echo $$ > cli; exec cat").await.split();
    let guard = scene.guard();
    for sent in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGPIPE,
    ] {
        signal(guard, sent);
    }
    echo(&mut stdin, &mut lines).await;
    let answer = process.handle().sweep(&[], Duration::ZERO).await;
    assert!(answer.is_ok(), "the guard still answers: {answer:?}");
    assert_eq!(comm(guard), "wegent-guard");
    let status = fs::read_to_string(format!("/proc/{}/status", process.handle().pid())).unwrap();
    for field in ["SigBlk:", "SigIgn:"] {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let signals = u64::from_str_radix(line.trim_start_matches(field).trim(), 16).unwrap();
        // 32 and 33 are the C library's own; its `posix_spawn` ignores them, and nobody may change that.
        assert_eq!(signals & !(0b11 << 31), 0, "{line}");
    }
}

#[tokio::test]
async fn the_cli_dies_with_its_guard() {
    let scene = Scene::new();
    let (_stdin, _lines, process) = scene.start("exec sleep 1000").await.split();
    let pid = process.handle().pid().as_raw();
    let parent = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent = parent
        .rsplit(')')
        .next()
        .unwrap()
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .to_owned();
    assert_eq!(parent, scene.guard().to_string());
    signal(scene.guard(), Signal::SIGKILL);
    // The kernel does that, not the executor: this runtime has one thread, and it's busy here.
    let since = Instant::now();
    while alive(pid) {
        assert!(since.elapsed() < Duration::from_secs(5));
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_session_is_found_by_its_own_mark_only() {
    let scene = Scene::new();
    let (_stdin, _lines, process) = scene.start("exec cat").await.split();
    assert!(session_processes(&scene.session).contains(&process.handle().pid()));
    assert_eq!(session_processes(&SessionMark::new("test")), []);
}
