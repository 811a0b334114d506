//! However a turn or its executor ends: nothing is left of what tools started, for both real CLIs. `/proc` is the witness.

use std::time::{Duration, Instant};

use testkit::{View, http::client, model::Options, oracle::Terminal, procs::Proc};
use wegent_executor_tests::{PATIENCE, Sleeper, TurnBody, World, signal, until};

/// How long what has to go may take to go.
const LIMIT: Duration = Duration::from_secs(4);

type Request = fn(&World, i64, i64, &str) -> TurnBody;
type Processes = fn(&World) -> Vec<Proc>;

/// Both agents: the task, the request, the CLI's own processes.
const AGENTS: [(&str, i64, Request, Processes); 2] = [
    ("codex", 1, World::turn, World::app_servers),
    ("claude", 11, World::claude_turn, World::claudes),
];

/// How many processes [`unruly`] starts that sleep.
const SLEEPERS: usize = 4;

/// A command that leaves behind whatever is hard to end: what leads a session of its own, what was forked twice, what
/// ignores SIGTERM, and what holds the tool's pipes open.
fn unruly(sleeper: &Sleeper) -> String {
    let quiet = "</dev/null >/dev/null 2>&1";
    [
        format!("(setsid {sleeper} {quiet} &)"),
        format!("(setsid sh -c '(setsid env -i {sleeper} {quiet} &)' {quiet} &)"),
        format!("(sh -c 'trap \"\" TERM INT HUP; {sleeper}; {sleeper}' {quiet} &)"),
        format!("{sleeper} &"),
    ]
    .join(" ; ")
}

async fn world(test: &str) -> Option<World> {
    testkit::cli::require_codex(test)?;
    World::with_claude(test, Options::default(), |_| {}).await
}

/// A turn whose command starts all that, then goes on as `and_then` says.
fn turn(world: &World, request: Request, task: i64, sleeper: &Sleeper, and_then: &str) -> TurnBody {
    let command = format!("{} ; {and_then}", unruly(sleeper)).replace("& ;", "&");
    let prompt = format!("Run it. #script:shell\n#cmd:{command}");
    request(world, task, task + 1, &prompt)
}

/// Dispatches each agent's turn with a command that does not end, and waits until all of it runs.
async fn both_at_work(world: &World) -> Sleeper {
    let sleeper = Sleeper::new();
    for (_, task, request, _) in AGENTS {
        let wait = format!("{sleeper}");
        world
            .dispatch(&turn(world, request, task, &sleeper, &wait))
            .await;
    }
    sleeper.appear(2 * (SLEEPERS + 1)).await;
    sleeper
}

async fn nothing_of(world: &World, since: Instant, sleeper: &Sleeper, what: &str) {
    let left = || [sleeper.running(), world.tools()].concat();
    let gone = world.gone(since, LIMIT, left).await;
    println!("{what}: nothing left after {gone:?}");
}

fn failure(view: &View) -> &str {
    match &view.terminal {
        Some(Terminal::Failed { code, .. }) => code,
        other => panic!("no failure: {other:?}"),
    }
}

/// What the turn's end says it took to end processes.
async fn clean_up(world: &World, task: i64) -> serde_json::Value {
    let url = format!(
        "{}/v1/tasks/{task}/{}/events",
        world.executor.url(),
        task + 1
    );
    let page = client::get(&url, PATIENCE).await.unwrap().json();
    let events = page["events"].as_array().unwrap();
    let end = events.last().unwrap();
    assert_eq!(end["kind"], "ended", "{page}");
    end["data"]["clean_up"].clone()
}

#[tokio::test]
async fn a_turn_that_completes() {
    let Some(world) = world("a_turn_that_completes").await else {
        return;
    };
    for (agent, task, request, cli) in AGENTS {
        let sleeper = Sleeper::new();
        // What holds the pipes would keep the CLI from seeing the command's end: here it holds others.
        let command = unruly(&sleeper).replace(
            &format!("; {sleeper} &"),
            &format!("; {sleeper} >&- 2>&- <&- &"),
        );
        let prompt = format!("Run it. #script:shell\n#cmd:{command} echo started");
        let view = world.run(&request(&world, task, task + 1, &prompt)).await;
        let ended = Instant::now();
        assert!(view.completed(), "{agent}: {view:#?}");
        nothing_of(&world, ended, &sleeper, agent).await;
        assert_eq!(cli(&world).len(), 1, "{agent} stays for the next turn");
        let clean_up = clean_up(&world, task).await;
        // A CLI ends a part of it by itself, as far as it finds it.
        let strays = clean_up["strays"].as_u64().unwrap_or_default();
        assert!(strays > 0, "{agent}: {clean_up}");
        assert_eq!(clean_up["survivors"], 0, "{agent}");
    }
}

#[tokio::test]
async fn a_turn_that_fails_with_its_cli() {
    let Some(world) = world("a_turn_that_fails_with_its_cli").await else {
        return;
    };
    for (agent, task, request, cli) in AGENTS {
        let sleeper = Sleeper::new();
        let wait = format!("{sleeper}");
        world
            .dispatch(&turn(&world, request, task, &sleeper, &wait))
            .await;
        sleeper.appear(SLEEPERS + 1).await;
        let killed = Instant::now();
        signal(cli(&world)[0].pid, "KILL");
        nothing_of(&world, killed, &sleeper, agent).await;
        assert_eq!(
            failure(&world.finished(task + 1).await),
            "container_error",
            "{agent}"
        );
    }
}

#[tokio::test]
async fn a_turn_that_is_cancelled() {
    let Some(world) = world("a_turn_that_is_cancelled").await else {
        return;
    };
    for (agent, task, request, _) in AGENTS {
        let sleeper = Sleeper::new();
        let wait = format!("{sleeper}");
        world
            .dispatch(&turn(&world, request, task, &sleeper, &wait))
            .await;
        sleeper.appear(SLEEPERS + 1).await;
        let asked = Instant::now();
        let url = world.executor.url();
        let report = world.backend.cancel(&url, task, Some(task + 1)).await;
        assert_eq!(report.status(), Some(200), "{report:?}");
        nothing_of(&world, asked, &sleeper, agent).await;
        world.finished(task + 1).await;
        let clean_up = clean_up(&world, task).await;
        assert!(clean_up["stopped_by"].is_string(), "{agent}: {clean_up}");
        assert_eq!(clean_up["survivors"], 0, "{agent}");
    }
}

#[tokio::test]
async fn a_session_that_is_closed() {
    let Some(world) = world("a_session_that_is_closed").await else {
        return;
    };
    for (agent, task, request, cli) in AGENTS {
        let view = world
            .run(&request(&world, task, task + 1, "Hello. #script:text"))
            .await;
        assert!(view.completed(), "{agent}: {view:#?}");
        assert_eq!(cli(&world).len(), 1);
        let url = format!("{}/api/tasks/session?task_id={task}", world.executor.url());
        let answer = client::request("DELETE", &url, &[], b"", PATIENCE)
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        // The answer says that it has gone.
        let left = world.marked();
        assert!(left.is_empty(), "{agent}: {left:#?}");
    }
}

#[tokio::test]
async fn an_executor_that_is_killed() {
    let Some(mut world) = world("an_executor_that_is_killed").await else {
        return;
    };
    let sleeper = both_at_work(&world).await;
    let killed = Instant::now();
    world.executor.kill().await;
    let left = || [sleeper.running(), world.marked()].concat();
    let gone = world.gone(killed, LIMIT, left).await;
    println!("kill -9 of the executor: nothing left after {gone:?}");
    world.executor.start_again().await;
    for (_, task, ..) in AGENTS {
        assert_eq!(
            failure(&world.finished(task + 1).await),
            "executor_restarted"
        );
    }
}

#[tokio::test]
async fn guards_that_are_killed() {
    let Some(world) = world("guards_that_are_killed").await else {
        return;
    };
    for (agent, task, request, _) in AGENTS {
        let sleeper = Sleeper::new();
        // Without a guard and without the mark nothing could be found: that is told in ARCHITECTURE.md.
        let command = unruly(&sleeper).replace("env -i ", "");
        let prompt = format!("Run it. #script:shell\n#cmd:{command} {sleeper}");
        world
            .dispatch(&request(&world, task, task + 1, &prompt))
            .await;
        sleeper.appear(SLEEPERS + 1).await;
        let killed = Instant::now();
        for guard in world.guards() {
            signal(guard.pid, "KILL");
        }
        let left = || [sleeper.running(), world.marked()].concat();
        let gone = world.gone(killed, LIMIT, left).await;
        println!("kill -9 of {agent}'s guard: nothing left after {gone:?}");
        failure(&world.finished(task + 1).await);
    }
}

#[tokio::test]
async fn an_executor_that_is_told_to_end() {
    let Some(mut world) = world("an_executor_that_is_told_to_end").await else {
        return;
    };
    let sleeper = both_at_work(&world).await;
    let (took, code) = world.executor.terminate().await;
    println!("SIGTERM: exit after {took:?}");
    assert!(
        took < Duration::from_secs(8) && code == Some(0),
        "{took:?} {code:?}"
    );
    let left = [sleeper.running(), world.marked()].concat();
    assert!(left.is_empty(), "left when it had exited: {left:#?}");
    for (_, task, ..) in AGENTS {
        assert_eq!(
            failure(&world.finished(task + 1).await),
            "executor_restarted"
        );
    }
}

/// The first SIGTERM waits for an endpoint that is away; the second does not.
#[tokio::test]
async fn an_executor_that_is_told_to_end_twice() {
    let Some(mut world) = world("an_executor_that_is_told_to_end_twice").await else {
        return;
    };
    let sleeper = both_at_work(&world).await;
    world.backend.go_away().await;
    signal(world.executor.pid(), "TERM");
    until("the first one is heard", || {
        world.executor.log().contains("SIGTERM: ending every turn")
    })
    .await;
    let again = Instant::now();
    let (took, code) = world.executor.terminate().await;
    println!("second SIGTERM: exit after {took:?}");
    assert!(
        took < Duration::from_secs(2) && code == Some(0),
        "{took:?} {code:?}"
    );
    let left = || [sleeper.running(), world.marked()].concat();
    world.gone(again, LIMIT, left).await;
    world.backend.come_back().await.unwrap();
    world.executor.start_again().await;
    for (_, task, ..) in AGENTS {
        assert_eq!(
            failure(&world.finished(task + 1).await),
            "executor_restarted"
        );
    }
}
