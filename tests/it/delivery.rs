//! Delivery: an endpoint that is slow, away, unwilling or forgetful costs delay, and nothing else.

use std::time::{Duration, Instant};

use testkit::{
    Answered, Callback, View,
    backend::{Fault, On, Rule},
    model::{Ending, Options},
    oracle::{self, Problem, Terminal},
    procs,
};
use wegent_executor_tests::{PATIENCE, World, until};

const TASK: i64 = 1;
const TURN: i64 = 2;

const DELTA: &str = "response.output_text.delta";

fn deltas() -> On {
    On::Event(DELTA.to_owned())
}

/// A model that says `count` ticks, one each `pause`.
fn ticks(count: u32, pause: u64) -> Options {
    Options {
        slow_delay: Duration::from_millis(pause),
        slow_count: count,
        ..Options::default()
    }
}

/// Waits until the model has said everything, and says how long that took.
async fn model_has_finished(world: &World) -> Duration {
    let start = Instant::now();
    let finished = world.model.wait_for(PATIENCE, |requests| {
        !requests.is_empty()
            && requests
                .iter()
                .all(|request| request.ending == Ending::Finished)
    });
    assert!(
        finished.await,
        "{:?}\n{}",
        world.model.requests(),
        world.executor.log()
    );
    start.elapsed()
}

/// Waits until the world's only turn has ended and that is on disk, told or not.
async fn end_is_recorded(world: &World) {
    let ended = || !procs::find_secret(r#""record":"ended""#, &[&world.journals()], &[]).is_empty();
    until("the end is recorded", ended).await;
}

/// The turn completed and the person sees what the model said.
fn assert_as_said(world: &World, view: &View) {
    assert!(view.completed(), "{view:#?}");
    assert_eq!(view.text, world.model.spoken().text());
}

fn key(callback: &Callback) -> &str {
    callback
        .header("idempotency-key")
        .expect("every callback has a key")
}

fn count(callbacks: &[Callback], kind: &str) -> usize {
    callbacks
        .iter()
        .filter(|callback| callback.event_type() == kind)
        .count()
}

#[tokio::test]
async fn the_first_words_leave_at_once() {
    let Some(world) =
        World::build_with("the_first_words_leave_at_once", ticks(3, 700), |_| {}).await
    else {
        return;
    };
    // Another turn before, so that nothing has to start.
    world
        .run(&world.turn(TASK, 99, "Hello. #script:text"))
        .await;
    world.model.forget();
    let view = world
        .run(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    assert_as_said(&world, &view);
    let callbacks = world.backend.callbacks(TURN);
    let said: Vec<&str> = callbacks
        .iter()
        .filter(|callback| callback.event_type() == DELTA)
        .map(|callback| callback.data()["delta"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["tick0 ", "tick1 ", "tick2 "]);
    let first = callbacks
        .iter()
        .find(|callback| callback.event_type() == DELTA)
        .unwrap();
    println!(
        "model asked -> first words: {} us",
        first.started - world.model.requests()[0].at
    );
    assert_eq!(view.repeats, 0);
}

#[tokio::test]
async fn an_endpoint_that_is_down_at_first_gets_everything_in_order_and_the_run_does_not_wait() {
    let test =
        "an_endpoint_that_is_down_at_first_gets_everything_in_order_and_the_run_does_not_wait";
    let Some(world) = World::build(test).await else {
        return;
    };
    world.backend.go_away().await;
    let start = Instant::now();
    world
        .dispatch(&world.turn(TASK, TURN, "Look. #script:mixed"))
        .await;
    model_has_finished(&world).await;
    end_is_recorded(&world).await;
    println!("run without an endpoint: {:?}", start.elapsed());
    assert_eq!(world.backend.callbacks(TURN).len(), 0);
    world.backend.come_back().await.unwrap();
    let view = world.finished(TURN).await;
    assert_as_said(&world, &view);
    // With the backend away, looking for skills takes long enough to be shown.
    let tools = view.tools().filter(|tool| tool.name != "Prepare");
    assert_eq!((view.repeats, tools.count()), (0, 1));
}

#[tokio::test]
async fn refusals_for_the_time_being_are_tried_again() {
    let Some(world) = World::build("refusals_for_the_time_being_are_tried_again").await else {
        return;
    };
    for rule in [
        Rule::next(2, Fault::Status(500)),
        Rule::next(1, Fault::Status(408)),
        Rule::next(1, Fault::Busy(429, 1)),
        Rule::next(1, Fault::Reset),
        Rule::next(2, Fault::Status(503)).on(On::Terminal),
    ] {
        world.backend.inject(rule);
    }
    let view = world
        .run(&world.turn(TASK, TURN, "Hello. #script:text"))
        .await;
    assert_as_said(&world, &view);
    let callbacks = world.backend.callbacks(TURN);
    // All tries of one callback are the same to the byte.
    for pair in callbacks.windows(2).filter(|pair| !pair[0].acknowledged()) {
        assert_eq!(
            (key(&pair[0]), pair[0].digest),
            (key(&pair[1]), pair[1].digest)
        );
    }
    let busy = callbacks
        .iter()
        .position(|callback| callback.answered == Answered::Status(429))
        .unwrap();
    let waited = Duration::from_micros(callbacks[busy + 1].started - callbacks[busy].started);
    println!("Retry-After 1 s: tried again after {waited:?}");
    assert!(
        waited >= Duration::from_secs(1) && waited < Duration::from_secs(3),
        "{waited:?}"
    );
    assert_eq!(
        callbacks
            .iter()
            .filter(|callback| !callback.acknowledged())
            .count(),
        7
    );
}

/// One callback of each kind, the end among them.
fn of_every_kind() -> [On; 5] {
    [
        "response.created",
        DELTA,
        "response.block.created",
        "response.block.updated",
    ]
    .map(|kind| On::Event(kind.to_owned()))
    .into_iter()
    .chain([On::Terminal])
    .collect::<Vec<_>>()
    .try_into()
    .expect("four and one are five")
}

#[tokio::test]
async fn a_callback_that_was_taken_but_not_answered_is_sent_again_to_the_byte() {
    let options = Options {
        delta_delay: Duration::from_millis(30),
        ..Options::default()
    };
    let test = "a_callback_that_was_taken_but_not_answered_is_sent_again_to_the_byte";
    let Some(world) = World::build_with(test, options, |_| {}).await else {
        return;
    };
    for on in of_every_kind() {
        world
            .backend
            .inject(Rule::next(1, Fault::Unanswered).on(on));
    }
    let view = world
        .run(&world.turn(TASK, TURN, "Look. #script:commentary_tool_final"))
        .await;
    assert_as_said(&world, &view);
    let callbacks = world.backend.callbacks(TURN);
    let lost: Vec<usize> = (0..callbacks.len())
        .filter(|at| callbacks[*at].answered == Answered::Lost)
        .collect();
    assert_eq!((lost.len(), view.repeats), (5, 5), "{callbacks:#?}");
    for at in lost {
        let (first, second) = (&callbacks[at], &callbacks[at + 1]);
        assert_eq!(
            (key(first), first.digest),
            (key(second), second.digest),
            "{first:?} {second:?}"
        );
    }
}

/// Wegent's manager answers when it has done its work, so the head of a 200 says all.
#[tokio::test]
async fn an_answer_that_breaks_off_after_its_head_was_an_answer() {
    let options = Options {
        delta_delay: Duration::from_millis(30),
        ..Options::default()
    };
    let test = "an_answer_that_breaks_off_after_its_head_was_an_answer";
    let Some(world) = World::build_with(test, options, |_| {}).await else {
        return;
    };
    for on in of_every_kind() {
        world
            .backend
            .inject(Rule::next(1, Fault::LoseAnswer).on(on));
    }
    world
        .dispatch(&world.turn(TASK, TURN, "Look. #script:commentary_tool_final"))
        .await;
    world.wait_for(TURN, "the turn ends", View::completed).await;
    // What comes after it comes after its repeats, if there were any.
    assert!(
        world
            .run(&world.turn(TASK, TURN + 1, "Hello. #script:text"))
            .await
            .completed()
    );
    let view = world.backend.view(TURN);
    oracle::assert_clean(&view);
    assert!(view.text.ends_with("Everything is in order."), "{view:#?}");
    assert_eq!(view.repeats, 0);
}

#[tokio::test]
async fn a_callback_that_is_refused_for_good_is_skipped_and_the_turn_goes_on() {
    let options = Options {
        delta_delay: Duration::from_millis(30),
        ..Options::default()
    };
    let test = "a_callback_that_is_refused_for_good_is_skipped_and_the_turn_goes_on";
    let Some(world) = World::build_with(test, options, |_| {}).await else {
        return;
    };
    world
        .backend
        .inject(Rule::next(1, Fault::Status(422)).on(deltas()));
    world
        .dispatch(&world.turn(TASK, TURN, "Hello. #script:text"))
        .await;
    world.backend.wait_terminal(TURN, PATIENCE).await;
    let view = world.backend.view(TURN);
    let callbacks = world.backend.callbacks(TURN);
    let refused = callbacks
        .iter()
        .find(|callback| !callback.acknowledged())
        .unwrap();
    let length = refused.data()["delta"].as_str().unwrap().chars().count() as u64;
    // The hole is where the refused words were, and the end fills it.
    assert_eq!(
        view.problems.first(),
        Some(&Problem::OffsetGap {
            offset: length,
            length: 0
        }),
        "{:#?}",
        view.problems
    );
    assert!(
        view.problems
            .iter()
            .all(|problem| matches!(problem, Problem::OffsetGap { .. })),
        "{:#?}",
        view.problems
    );
    assert_eq!(view.shown_text(), world.model.spoken().text());
    assert_eq!(
        callbacks
            .iter()
            .filter(|callback| key(callback) == key(refused))
            .count(),
        1
    );
}

#[tokio::test]
async fn an_end_that_is_refused_is_tried_in_its_smallest_form() {
    let Some(world) = World::build("an_end_that_is_refused_is_tried_in_its_smallest_form").await
    else {
        return;
    };
    world
        .backend
        .inject(Rule::next(1, Fault::Status(413)).on(On::Terminal));
    let view = world
        .run(&world.turn(TASK, TURN, "Hello. #script:text"))
        .await;
    assert!(view.completed(), "{view:#?}");
    assert_eq!(
        (view.final_text.as_deref(), view.shown_text()),
        (Some(""), world.model.spoken().text().as_str())
    );
    let ends: Vec<_> = world
        .backend
        .callbacks(TURN)
        .into_iter()
        .filter(Callback::is_terminal)
        .collect();
    assert_eq!(ends.len(), 2);
    assert_ne!(key(&ends[0]), key(&ends[1]));
    assert!(ends[1].body.to_string().len() < ends[0].body.to_string().len());
    // An endpoint that takes no end at all doesn't keep the executor from its next turn.
    world
        .backend
        .inject(Rule::next(2, Fault::Status(400)).on(On::Terminal));
    world
        .dispatch(&world.turn(TASK, TURN + 1, "Hello. #script:text"))
        .await;
    let refused = |callbacks: &[Callback]| {
        let ours = callbacks
            .iter()
            .filter(|callback| callback.subtask() == Some(TURN + 1));
        ours.filter(|callback| callback.is_terminal()).count() == 2
    };
    assert!(
        world.backend.wait_for(PATIENCE, refused).await,
        "{:#?}",
        world.backend.view(TURN + 1)
    );
    let next = world
        .run(&world.turn(TASK, TURN + 2, "Hello. #script:text"))
        .await;
    assert!(next.completed());
    assert_eq!(
        count(&world.backend.callbacks(TURN + 1), "response.completed"),
        2
    );
}

#[tokio::test]
async fn an_outage_does_not_slow_the_agent_and_is_caught_up_in_a_few_requests() {
    let test = "an_outage_does_not_slow_the_agent_and_is_caught_up_in_a_few_requests";
    let Some(world) = World::build_with(test, ticks(1500, 1), |_| {}).await else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    world
        .wait_for(TURN, "text is shown", |view| view.text.contains("tick3 "))
        .await;
    world.backend.go_away().await;
    let before = world.backend.callbacks(TURN).len();
    let took = model_has_finished(&world).await;
    end_is_recorded(&world).await;
    let start = Instant::now();
    world.backend.come_back().await.unwrap();
    let view = world.finished(TURN).await;
    assert_as_said(&world, &view);
    let after = world.backend.callbacks(TURN).split_off(before);
    println!(
        "outage of {took:?}: 1500 deltas, {} callbacks before, {} after, all there {:?} after the return",
        before,
        after.len(),
        start.elapsed()
    );
    assert!(count(&after, DELTA) <= 3, "{}", count(&after, DELTA));
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_slow_endpoint_gets_fewer_and_larger_callbacks() {
    let Some(world) = World::build_with(
        "a_slow_endpoint_gets_fewer_and_larger_callbacks",
        ticks(300, 2),
        |_| {},
    )
    .await
    else {
        return;
    };
    world
        .backend
        .inject(Rule::always(Fault::Delay(Duration::from_millis(200))));
    let start = Instant::now();
    let view = world
        .run(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    assert_as_said(&world, &view);
    let callbacks = world.backend.callbacks(TURN);
    let sent = count(&callbacks, DELTA);
    println!(
        "200 ms per callback: 300 deltas in {sent} callbacks, {:?}",
        start.elapsed()
    );
    assert!((2..=20).contains(&sent), "{sent}");
    // One at a time: none begins before the one before was answered.
    for pair in callbacks.windows(2) {
        assert!(pair[1].started >= pair[0].arrived + 199_000, "{pair:?}");
    }
}

/// A kill while a callback is under way that is never answered; what comes after it waits on disk.
async fn killed_while_one_is_under_way(test: &str, fault: Fault, ended: bool) {
    let options = if ended {
        ticks(100, 5)
    } else {
        ticks(100_000, 5)
    };
    let Some(mut world) = World::build_with(test, options, |_| {}).await else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    world
        .wait_for(TURN, "text is shown", |view| view.text.contains("tick3 "))
        .await;
    if fault != Fault::Hang {
        world.backend.inject(Rule::next(1, fault).on(deltas()));
    }
    world
        .backend
        .inject(Rule::next(1, Fault::Hang).on(deltas()));
    let open = |callbacks: &[Callback]| {
        callbacks.last().is_some_and(|callback| {
            callback.event_type() == DELTA && callback.answered == Answered::Open
        })
    };
    assert!(world.backend.wait_for(PATIENCE, open).await);
    if ended {
        end_is_recorded(&world).await;
    }
    let sent = world.backend.callbacks(TURN);
    world.executor.restart().await;
    let view = world.finished(TURN).await;
    let again = &world.backend.callbacks(TURN)[sent.len()];
    let under_way = sent.last().unwrap();
    assert_eq!(
        (key(again), again.digest),
        (key(under_way), under_way.digest),
        "{again:?} {under_way:?}"
    );
    match ended {
        true => assert_as_said(&world, &view),
        false => assert!(
            matches!(&view.terminal, Some(Terminal::Failed { code, .. }) if code == "executor_restarted")
        ),
    }
    oracle::assert_clean(&view);
    assert_eq!(count(&world.backend.callbacks(TURN), "response.created"), 1);
}

#[tokio::test]
async fn what_was_under_way_when_the_executor_was_killed_is_sent_again_to_the_byte() {
    let test = "what_was_under_way_when_the_executor_was_killed_is_sent_again_to_the_byte";
    killed_while_one_is_under_way(test, Fault::Hang, true).await;
}

#[tokio::test]
async fn what_was_taken_but_not_answered_when_the_executor_was_killed_is_shown_once() {
    let test = "what_was_taken_but_not_answered_when_the_executor_was_killed_is_shown_once";
    killed_while_one_is_under_way(test, Fault::Unanswered, true).await;
}

#[tokio::test]
async fn a_turn_that_was_cut_off_by_the_kill_is_told_to_where_it_came() {
    let test = "a_turn_that_was_cut_off_by_the_kill_is_told_to_where_it_came";
    killed_while_one_is_under_way(test, Fault::Unanswered, false).await;
}

#[tokio::test]
async fn a_turn_that_cannot_be_delivered_holds_up_no_other() {
    let Some(world) = World::build("a_turn_that_cannot_be_delivered_holds_up_no_other").await
    else {
        return;
    };
    world
        .backend
        .inject(Rule::always(Fault::Hang).on(On::Subtask(TURN)));
    world
        .dispatch(&world.turn(TASK, TURN, "Hello. #script:text"))
        .await;
    let other = world.run(&world.turn(77, 78, "Hello. #script:text")).await;
    assert!(other.completed());
    // The task's own next turn isn't held up either.
    let next = world
        .run(&world.turn(TASK, TURN + 1, "Hello. #script:text"))
        .await;
    assert!(next.completed());
    assert_eq!(world.backend.view(TURN).attempts, 0);
    world.backend.heal();
    world.backend.go_away().await;
    world.backend.come_back().await.unwrap();
    assert!(world.finished(TURN).await.completed());
}

/// The executor's memory in KiB: what is its own.
fn memory(world: &World) -> u64 {
    let path = format!("/proc/{}/status", world.executor.pid());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

/// The endpoint is away for `OUTAGE_MINUTES` (10) while the model talks: the agent goes on, memory stays flat, and after it
/// all is there at once.
#[tokio::test]
#[ignore = "takes its time; run by make outage"]
async fn an_outage_for_real() {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no configuration of their own"
    )]
    let minutes = std::env::var("OUTAGE_MINUTES");
    let minutes: f64 = minutes
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10.0);
    let pause = 50;
    let count = (minutes * 60_000.0 / pause as f64) as u32;
    let Some(world) = World::build_with("an_outage_for_real", ticks(count, pause), |_| {}).await
    else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    world
        .wait_for(TURN, "text is shown", |view| view.text.contains("tick9 "))
        .await;
    let (mut least, mut most) = (u64::MAX, 0);
    let before = memory(&world);
    world.backend.go_away().await;
    let away = Instant::now();
    while away.elapsed() < Duration::from_secs_f64(minutes * 60.0) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = memory(&world);
        (least, most) = (least.min(now), most.max(now));
    }
    println!("memory: {before} KiB before, {least} to {most} KiB while the endpoint was away");
    let sent = world.backend.callbacks(TURN).len();
    world.backend.come_back().await.unwrap();
    let back = Instant::now();
    let more = |callbacks: &[Callback]| callbacks.len() > sent;
    assert!(world.backend.wait_for(PATIENCE, more).await);
    let first = back.elapsed();
    // On a busy machine the model takes its time to say the rest.
    let long = Duration::from_secs_f64(minutes * 240.0) + PATIENCE;
    assert!(world.backend.wait_end(TURN, 1, long).await.is_some());
    let view = world.finished(TURN).await;
    assert_as_said(&world, &view);
    let after = world.backend.callbacks(TURN).split_off(sent);
    println!(
        "away for {:?} ({count} deltas): memory {before} KiB before, {least} to {most} KiB meanwhile; first callback {first:?} after \
         the return, {} in all after it",
        away.elapsed(),
        after.len(),
    );
    assert!(first < Duration::from_secs(2), "{first:?}");
    assert!(
        most < before + 16 * 1024,
        "memory grew by {} KiB",
        most - before
    );
}
