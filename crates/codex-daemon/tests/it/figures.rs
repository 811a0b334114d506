//! What takes long, and what is measured rather than judged. Run by `make soak` and `make bench-daemon`.

use std::{
    env,
    time::{Duration, Instant},
};

use codex_app_server::{
    Instance, InstanceConfig, ThreadEvent, ThreadStream,
    protocol::{ClientInfo, Notification, ThreadStartParams, TurnStartParams, UserInput},
};
use codex_daemon::{
    protocol::{Event, Operation, Outcome, StatusView},
    stats,
};
use nix::sys::signal::Signal;
use supervisor::Guard;
use testkit::model::Script;

use crate::stage::{SOON, Stage, signal, until};

fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = (sorted.len() as f64 * share) as usize;
    sorted[index.min(sorted.len() - 1)]
}

/// An app-server of the test's own, to compare with.
struct Direct {
    instance: Instance,
    client: codex_app_server::Client,
    stream: ThreadStream,
}

impl Direct {
    async fn start(stage: &Stage) -> Self {
        testkit::init();
        let info = ClientInfo {
            name: "bench".into(),
            title: "Bench".into(),
            version: "1".into(),
        };
        let mut config = InstanceConfig::new(Guard::own(), &stage.codex, stage.path("work"), info);
        config
            .env
            .set("PATH", "/usr/bin:/bin")
            .set("HOME", stage.path("home"))
            .set("CODEX_HOME", stage.path("codex"));
        let instance = Instance::start(config);
        let client = instance.ready(SOON).await.unwrap().client().clone();
        let params = ThreadStartParams {
            cwd: Some(stage.path("work")),
            ..ThreadStartParams::default()
        };
        let (_, stream) = client.thread_start(params).await.unwrap();
        Self {
            instance,
            client,
            stream,
        }
    }

    /// A turn, from its request to its end.
    async fn turn(&mut self, text: &str) {
        let input = vec![UserInput::text(text)];
        let params = TurnStartParams::new(self.stream.id().clone(), input);
        self.client.turn_start(params).await.unwrap();
        loop {
            match self.stream.next().await {
                ThreadEvent::Notification(Notification::TurnCompleted(_)) => return,
                ThreadEvent::Lost { why } => panic!("{why:?}"),
                _ => {}
            }
        }
    }
}

/// 200 questions and 200 turns of an app-server without a daemon, in turns.
#[tokio::test]
#[ignore = "measures; run by make bench-daemon"]
async fn what_a_warm_question_adds() {
    let Some(stage) = Stage::new("what_a_warm_question_adds", Script::Echo).await else {
        return;
    };
    let begin = Instant::now();
    stage.start().await;
    println!(
        "cold start, command to listening: {:.0} ms",
        begin.elapsed().as_secs_f64() * 1e3
    );
    stage.ready().await;
    let mut client = stage.client().await;
    let mut direct = Direct::start(&stage).await;
    let (mut asked, mut turned) = (Vec::new(), Vec::new());
    for number in 0..205 {
        let text = format!("question {number}");
        let begin = Instant::now();
        direct.turn(&text).await;
        let between = Instant::now();
        client.ask(&stage.question(&text), |_, _| ()).await.unwrap();
        // The first ones open connections and conversations.
        if number >= 5 {
            turned.push((between - begin).as_secs_f64() * 1e3);
            asked.push(between.elapsed().as_secs_f64() * 1e3);
        }
    }
    turned.sort_by(f64::total_cmp);
    asked.sort_by(f64::total_cmp);
    for share in [0.5, 0.95] {
        let (turn, ask) = (percentile(&turned, share), percentile(&asked, share));
        let name = share * 100.0;
        println!(
            "p{name:.0}: app-server {turn:.1} ms, question {ask:.1} ms, added {:.1} ms",
            ask - turn
        );
    }
    let (status, _) = stage.ready().await;
    println!("{}{}", stats::TABLE_HEADER, stats::row(&status));
    direct.instance.shutdown().await;
}

/// Questions, crashes and clients that leave, for as long as `CODEX_DAEMON_SOAK_MINUTES` says (10).
#[tokio::test]
#[ignore = "takes its time; run by make soak"]
async fn soak() {
    let Some(stage) = Stage::new("soak", Script::Echo).await else {
        return;
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no configuration of their own"
    )]
    let minutes = env::var("CODEX_DAEMON_SOAK_MINUTES")
        .ok()
        .and_then(|text| text.parse().ok());
    let length = Duration::from_secs_f64(minutes.unwrap_or(10.0) * 60.0);
    stage.start().await;
    let (first, _) = stage.ready().await;
    let begin = Instant::now();
    let mut rows = stats::TABLE_HEADER.to_owned();
    let (mut round, mut lost, mut shown) = (0_u32, 0, Instant::now());
    while begin.elapsed() < length {
        round += 1;
        let mut client = stage.client().await;
        let question = stage.question_in(&format!("s{}", round % 8), &format!("round {round}"));
        if round % 7 == 0 {
            // A client that leaves at once.
            client.send(Operation::Ask(question)).await.unwrap();
        } else {
            client.ask(&question, |_, _| ()).await.unwrap();
        }
        if round % 50 == 0 {
            lost += u64::from(killed(&stage, round % 100 == 0).await);
        }
        if shown.elapsed() > length / 20 {
            shown = Instant::now();
            rows.push_str(&stats::row(&stage.ready().await.0));
        }
    }
    idle(&stage).await;
    let (last, _) = stage.ready().await;
    rows.push_str(&stats::row(&last));
    println!("{round} rounds; Codex killed in the middle of {lost} answers\n{rows}");
    bounded(&stage, &first, &last);
    assert_eq!(last.failed_turns, lost, "no other was lost");
    assert_eq!(stage.run(&["stop"]).await.code, 0);
    stage.nothing_runs().await;
}

/// Waits for the questions of clients that left at once.
async fn idle(stage: &Stage) {
    until("nothing is being answered", async || {
        let (status, _) = stage.ready().await;
        status.running + status.queued == 0
    })
    .await;
}

/// Kills Codex: between questions, or in the middle of an answer. Says whether that was lost, which it has to be.
async fn killed(stage: &Stage, between_questions: bool) -> bool {
    idle(stage).await;
    let (_, codex) = stage.ready().await;
    if between_questions {
        signal(codex, Signal::SIGKILL);
    } else {
        let question = stage.question_in("lost", "#script:slow");
        let mut client = stage.client().await;
        let outcome = client.ask(&question, |event, _| {
            if matches!(event, Event::Delta { .. }) {
                signal(codex, Signal::SIGKILL);
            }
        });
        let outcome = outcome.await.unwrap();
        assert!(matches!(outcome, Outcome::Lost { .. }), "{outcome:?}");
    }
    stage.ready_after(codex).await;
    !between_questions
}

fn bounded(stage: &Stage, first: &StatusView, last: &StatusView) {
    assert!(
        last.rss < first.rss + (30 << 20),
        "memory: {} → {}",
        first.rss,
        last.rss
    );
    assert!(
        last.open_files <= first.open_files + 5,
        "files: {} → {}",
        first.open_files,
        last.open_files
    );
    // The daemon, the guard, codex; and helpers of codex.
    let running = stage
        .processes()
        .into_iter()
        .filter(|proc| !proc.is_zombie())
        .count();
    assert!(running <= 6, "{running} processes");
}
