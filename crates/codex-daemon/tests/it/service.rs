//! As a service: systemd's words, its socket, figures, backups, the end of an idle daemon.

use std::{
    fs,
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt as _,
            net::{UnixDatagram, UnixListener},
        },
    },
};

use codex_daemon::protocol::{Operation, StatusView};
use command_fds::{CommandFdExt as _, FdMapping};
use nix::sys::signal::Signal;
use testkit::model::Script;

use crate::stage::{SOON, Stage, signal, until};

#[tokio::test]
async fn systemd_hears_of_readiness_life_and_end() {
    let Some(mut stage) = Stage::new("systemd_hears_of_readiness_life_and_end", Script::Echo).await
    else {
        return;
    };
    let path = stage.path("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    notify.set_read_timeout(Some(SOON)).unwrap();
    stage.set("NOTIFY_SOCKET", path.to_str().unwrap());
    stage.set("WATCHDOG_USEC", "200000");
    let mut child = stage
        .command(&["run"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let heard = tokio::task::spawn_blocking(move || {
        let mut heard = Vec::new();
        let mut buffer = [0; 100];
        while heard.last().is_none_or(|word| word != "WATCHDOG=1") {
            let length = notify.recv(&mut buffer).unwrap();
            heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        (notify, heard)
    });
    let (notify, heard) = heard.await.unwrap();
    assert_eq!(heard[0], "READY=1");
    stage.client().await;
    signal(i32::try_from(child.id().unwrap()).unwrap(), Signal::SIGTERM);
    assert!(child.wait().await.unwrap().success());
    let mut buffer = [0; 100];
    let mut last = String::new();
    notify.set_nonblocking(true).unwrap();
    while let Ok(length) = notify.recv(&mut buffer) {
        last = String::from_utf8_lossy(&buffer[..length]).into_owned();
    }
    assert_eq!(last, "STOPPING=1");
    stage.nothing_runs().await;
}

#[tokio::test]
async fn a_socket_that_systemd_has_bound_is_taken() {
    let Some(stage) = Stage::new("a_socket_that_systemd_has_bound_is_taken", Script::Echo).await
    else {
        return;
    };
    fs::create_dir(stage.path("run/codex-daemon")).unwrap();
    let private = fs::Permissions::from_mode(0o700);
    fs::set_permissions(stage.path("run/codex-daemon"), private).unwrap();
    let listener = UnixListener::bind(stage.socket()).unwrap();
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(stage.socket(), mode).unwrap();
    let mut child = with_socket(&stage, listener);
    let answer = stage.run(&["ask", "--no-start", "hello"]).await;
    assert_eq!(answer.out, "echo: hello\n", "{answer:?}");
    assert_eq!(stage.run(&["stop"]).await.code, 0);
    assert!(child.wait().await.unwrap().success());
    assert!(stage.socket().exists(), "it is systemd's");
}

/// A daemon that is started with its socket, as systemd does it.
fn with_socket(stage: &Stage, listener: UnixListener) -> tokio::process::Child {
    // The shell is the process that LISTEN_PID has to name.
    let mut shell = stage.other("/bin/sh".as_ref());
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run";
    shell.args(["-c", script]).arg(&stage.program);
    shell.stderr(std::process::Stdio::null());
    let mapping = FdMapping {
        parent_fd: OwnedFd::from(listener),
        child_fd: 3,
    };
    shell.as_std_mut().fd_mappings(vec![mapping]).unwrap();
    shell.spawn().unwrap()
}

/// Where a socket lies that systemd has bound, and who may reach it there, is not ours to say.
#[tokio::test]
async fn a_client_of_another_user_is_refused() {
    let test = "a_client_of_another_user_is_refused";
    if !nix::unistd::geteuid().is_root() {
        eprintln!("{test}: skipped, only root can be another user");
        return;
    }
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    let open = |path: &std::path::Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    };
    let public = tempfile::tempdir().unwrap();
    let socket = public.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    open(public.path());
    open(&socket);
    let mut child = with_socket(&stage, listener);
    // Says what it is answered.
    let asks = |user: u32| {
        let script = "$SIG{PIPE} = 'IGNORE'; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!; \
            print $s qq({\"command\":\"/codex-help\"}\\n); $s->flush; print scalar(<$s>) // 'nothing'";
        let mut perl = stage.other("/usr/bin/perl".as_ref());
        perl.args(["-MIO::Socket::UNIX", "-e", script]).arg(&socket);
        perl.current_dir("/").uid(user);
        async move {
            let said = tokio::time::timeout(SOON, perl.output()).await.unwrap();
            String::from_utf8(said.unwrap().stdout).unwrap()
        }
    };
    let own = asks(0).await;
    assert!(own.contains("success"), "{own}");
    assert_eq!(asks(65534).await, "nothing");
    let log = fs::read_to_string(stage.state().join("daemon.log")).unwrap();
    assert!(log.contains("a client of another user is refused"), "{log}");
    signal(i32::try_from(child.id().unwrap()).unwrap(), Signal::SIGTERM);
    assert!(child.wait().await.unwrap().success());
    stage.nothing_runs().await;
}

#[tokio::test]
async fn a_log_that_has_grown_is_put_aside_and_stays_private() {
    let test = "a_log_that_has_grown_is_put_aside_and_stays_private";
    let Some(mut stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    stage.set("CODEX_DAEMON_LOG_MAX_MIB", "1");
    stage.set("CODEX_DAEMON_LOG_KEEP", "1");
    stage.start().await;
    assert_eq!(stage.run(&["stop"]).await.code, 0);
    let (log, aside) = (
        stage.path("home/.local/state/codex-daemon/daemon.log"),
        1 << 20,
    );
    let before = fs::read_to_string(&log).unwrap();
    for round in 1..=2 {
        // As a daemon leaves it that has run for long.
        let grown = format!("{before}{}", "x".repeat(aside - 10 - before.len()));
        fs::write(&log, &grown).unwrap();
        stage.start().await;
        let answer = stage.run(&["ask", &format!("round {round}")]).await;
        assert_eq!(answer.code, 0, "{answer:?}");
        let shown = stage.run(&["logs"]).await;
        assert!(shown.out.starts_with("{\"timestamp\""), "{shown:?}");
        assert!(!shown.out.contains("round"), "a question is in the log");
        assert_eq!(stage.run(&["stop"]).await.code, 0);
        let first = stage.state().join("daemon.log.1");
        assert_eq!(fs::read_to_string(&first).unwrap().len(), grown.len());
        for file in [&log, &first] {
            let mode = fs::metadata(file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.display());
        }
        assert!(!stage.state().join("daemon.log.2").exists());
    }
}

#[tokio::test]
async fn without_systemd_the_script_starts_it_again_and_ends_with_it() {
    let test = "without_systemd_the_script_starts_it_again_and_ends_with_it";
    let Some(stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    let script = testkit::cli::workspace_root().join("service/start.sh");
    let mut shell = stage.other("/bin/sh".as_ref());
    shell.arg(script).env("CODEX_DAEMON", &stage.program);
    let mut child = shell.stderr(std::process::Stdio::null()).spawn().unwrap();
    let listens = async || codex_daemon::client::Client::connect(&stage.socket()).await;
    until("it listens", async || listens().await.is_ok()).await;
    let first = listens().await.unwrap().hello().pid;
    signal(i32::try_from(first).unwrap(), Signal::SIGKILL);
    until("another one listens", async || {
        listens()
            .await
            .is_ok_and(|client| client.hello().pid != first)
    })
    .await;
    assert_eq!(stage.run(&["stop"]).await.code, 0);
    assert!(child.wait().await.unwrap().success());
    stage.nothing_runs().await;
}

#[tokio::test]
async fn figures_are_shown_as_text_and_as_a_table() {
    let Some(stage) = Stage::new("figures_are_shown_as_text_and_as_a_table", Script::Echo).await
    else {
        return;
    };
    stage.start().await;
    stage.ready().await;
    assert_eq!(stage.run(&["ask", "hello"]).await.code, 0);
    let metrics = stage.run(&["metrics"]).await.out;
    for line in [
        "codex_daemon_turns_total 1",
        "codex_daemon_codex_ready 1",
        "codex_daemon_healthy 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}: {metrics}"
        );
    }
    for _ in 0..2 {
        assert_eq!(stage.run(&["status", "--append", "todo.md"]).await.code, 0);
    }
    let table = fs::read_to_string(stage.path("work/todo.md")).unwrap();
    assert_eq!(table.lines().count(), 4, "{table}");
    let config = stage
        .run(&["config", "show", "--set", "max_clients=7"])
        .await
        .out;
    assert!(config.contains("7   (flag)"), "{config}");
    let logs = stage.run(&["logs"]).await.out;
    assert!(logs.contains(r#""message":"heartbeat""#), "{logs}");
    let doctor = stage.run(&["doctor"]).await;
    assert_eq!(doctor.code, 0, "{doctor:?}");
    let completions = stage.run(&["completions", "bash"]).await.out;
    assert!(completions.contains("codex-daemon"));
    assert_eq!(stage.run(&["man", "man"]).await.code, 0);
    assert!(stage.path("work/man/codex-daemon-ask.1").exists());
}

#[tokio::test]
async fn a_backup_brings_the_conversation_back() {
    let Some(mut stage) =
        Stage::new("a_backup_brings_the_conversation_back", Script::Remember).await
    else {
        return;
    };
    stage.set("CODEX_DAEMON_HISTORY_DAYS", "7");
    stage.start().await;
    assert_eq!(stage.run(&["ask", "my number is 4711"]).await.code, 0);
    let backup = stage.run(&["backup", "b.tar.gz"]).await;
    assert_eq!(backup.code, 0, "{backup:?}");
    let archive = stage.path("work/b.tar.gz");
    assert_eq!(
        fs::metadata(&archive).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        stage.run(&["backup", "b.tar.gz"]).await.code,
        1,
        "nothing is overwritten"
    );
    let busy = stage.run(&["restore", "b.tar.gz"]).await;
    assert!(
        busy.code == 4 && busy.err.contains("already running"),
        "{busy:?}"
    );
    assert_eq!(stage.run(&["stop"]).await.code, 0);
    fs::remove_dir_all(stage.state()).unwrap();
    fs::remove_dir_all(stage.path("codex/sessions")).unwrap();
    for entry in crate::stage::files_below(&stage.path("codex")) {
        if entry.extension().is_some_and(|end| end != "toml") {
            let _ = fs::remove_file(entry);
        }
    }
    let restored = stage.run(&["restore", "b.tar.gz"]).await;
    assert_eq!(restored.code, 0, "{restored:?}");
    let answer = stage.run(&["ask", "what was it?"]).await;
    assert!(answer.out.contains("4711"), "{answer:?}");
    assert_eq!(
        crate::stage::files_below(&stage.state().join("history")).len(),
        1
    );
}

#[tokio::test]
async fn codex_is_replaced_between_questions_when_it_is_over_a_limit() {
    let test = "codex_is_replaced_between_questions_when_it_is_over_a_limit";
    let Some(mut stage) = Stage::new(test, Script::Echo).await else {
        return;
    };
    stage.set("CODEX_DAEMON_RSS_LIMIT_MIB", "30");
    stage.set("CODEX_DAEMON_RESTART_OVER_LIMIT", "on");
    stage.start().await;
    let (_, first) = stage.ready().await;
    let (_, second) = stage.ready_after(first).await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_daemon_that_nobody_needs_ends() {
    let Some(mut stage) = Stage::new("a_daemon_that_nobody_needs_ends", Script::Echo).await else {
        return;
    };
    stage.set("CODEX_DAEMON_IDLE_EXIT_MINUTES", "1");
    stage.start().await;
    let status: StatusView = stage
        .client()
        .await
        .call(Operation::Status {})
        .await
        .unwrap();
    assert_eq!(status.clients, 1);
    until("it has ended", async || {
        stage
            .processes()
            .iter()
            .all(testkit::procs::Proc::is_zombie)
    })
    .await;
    assert!(!stage.socket().exists());
}
