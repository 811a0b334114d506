//! What happened in a turn can be read again: while it runs, after its end, and over a restart.

use std::time::Duration;

use serde_json::Value;
use testkit::{
    http::client::{self, Answer},
    model::Options,
};
use wegent_executor_tests::{PATIENCE, World};

const TASK: i64 = 1;
const TURN: i64 = 2;

fn ticks(count: u32) -> Options {
    Options {
        slow_delay: Duration::from_millis(5),
        slow_count: count,
        ..Options::default()
    }
}

fn address(world: &World, query: &str) -> String {
    format!(
        "{}/v1/tasks/{TASK}/{TURN}/events{query}",
        world.executor.url()
    )
}

/// One event of a stream.
#[derive(Debug)]
struct Told {
    id: Option<String>,
    event: String,
    data: Value,
}

/// Reads a stream to its end, or to where it breaks off.
async fn stream(url: String, after: Option<String>) -> (Answer, Vec<Told>) {
    let mut headers = vec![("accept", "text/event-stream")];
    if let Some(id) = &after {
        headers.push(("last-event-id", id));
    }
    let answer = client::request("GET", &url, &headers, b"", PATIENCE)
        .await
        .unwrap();
    let text = answer.text();
    // What follows the last empty line was cut off.
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let told = whole.split("\n\n").filter(|part| !part.is_empty());
    let told = told.filter(|part| !part.starts_with(':')).map(|part| {
        let field = |name: &str| {
            let mut values = part.lines().filter_map(|line| line.strip_prefix(name));
            values.next().map(str::to_owned)
        };
        Told {
            id: field("id: "),
            event: field("event: ").unwrap(),
            data: serde_json::from_str(&field("data: ").unwrap()).unwrap(),
        }
    });
    (answer.clone(), told.collect())
}

/// The turn's own events in what a stream told, each under its kind and its number.
fn entries(told: &[Told]) -> Vec<Value> {
    let own = told.iter().filter(|told| told.id.is_some());
    own.map(|told| {
        assert_eq!(told.data["kind"], told.event.as_str());
        let id = format!("1-{}", told.data["seq"]);
        assert_eq!(told.id.as_deref(), Some(id.as_str()));
        told.data.clone()
    })
    .collect()
}

fn assert_whole(entries: &[Value], world: &World) {
    let numbers: Vec<u64> = entries
        .iter()
        .map(|entry| entry["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(entries[0]["kind"], "begun");
    assert_eq!(entries.last().unwrap()["kind"], "ended");
    let deltas = entries.iter().filter(|entry| entry["kind"] == "text");
    let said: String = deltas
        .map(|entry| entry["data"]["delta"].as_str().unwrap())
        .collect();
    assert_eq!(said, world.model.spoken().text());
}

async fn get(url: &str) -> Answer {
    client::get(url, PATIENCE).await.unwrap()
}

/// All of it, page by page.
async fn pages(world: &World) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = get(&address(world, &format!("?after={after}&limit=40"))).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        let events = page["events"].as_array().unwrap();
        let Some(last) = events.last() else {
            return all;
        };
        after = last["seq"].as_u64().unwrap();
        assert_eq!(page["more"], events.len() == 40);
        all.extend(events.iter().cloned());
    }
}

async fn listed(world: &World) -> Value {
    let list = get(&format!("{}/v1/tasks", world.executor.url()))
        .await
        .json();
    list["turns"][0].clone()
}

#[tokio::test]
async fn a_turn_streams_to_its_end_and_can_be_read_again_also_after_a_restart() {
    let test = "a_turn_streams_to_its_end_and_can_be_read_again_also_after_a_restart";
    let Some(mut world) = World::build_with(test, ticks(200), |_| {}).await else {
        return;
    };
    let unknown = get(&address(&world, "")).await;
    assert_eq!(
        (unknown.status, unknown.json()["detail"].as_str()),
        (404, Some("subtask 2 of task 1: nothing is known of it"))
    );
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    // One that is there from the start, and one that comes when much has been said.
    let late = async {
        world
            .wait_for(TURN, "text is shown", |view| view.text.contains("tick20 "))
            .await;
        let running = listed(&world).await;
        assert_eq!(running["state"], "running", "{running}");
        stream(address(&world, ""), None).await
    };
    let ((answer, told), (_, late)) = tokio::join!(stream(address(&world, ""), None), late);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert!(answer.whole);
    let live = entries(&told);
    assert_whole(&live, &world);
    assert_eq!(entries(&late), live);
    assert_eq!(
        (told[0].event.as_str(), &told[0].data["agent"]),
        ("turn", &Value::from("codex"))
    );
    let delivered: Vec<u64> = told
        .iter()
        .filter(|told| told.event == "delivered")
        .map(|told| told.data["through"].as_u64().unwrap())
        .collect();
    assert!(
        !delivered.is_empty() && delivered.is_sorted(),
        "{delivered:?}"
    );
    world.finished(TURN).await;
    // Callbacks name the events that they cover.
    let covered: Vec<usize> = world
        .backend
        .callbacks(TURN)
        .iter()
        .map(|callback| {
            callback
                .header("x-event-sequence")
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert!(
        covered.is_sorted() && covered.last() == Some(&live.len()),
        "{covered:?}"
    );
    assert_eq!(pages(&world).await, live);
    let (again, nothing) = stream(address(&world, ""), Some(format!("1-{}", live.len()))).await;
    assert_eq!((again.status, nothing.len()), (204, 0));
    world.executor.restart().await;
    assert_eq!(pages(&world).await, live);
    let (_, tail) = stream(address(&world, "?after=3"), None).await;
    assert_eq!(entries(&tail), live[3..]);
    let turn = listed(&world).await;
    let all = Value::from(live.len());
    assert_eq!(
        (&turn["events"], &turn["delivered"], &turn["state"]),
        (&all, &all, &Value::from("completed"))
    );
    assert_eq!(
        (&turn["task"], &turn["subtask"], &turn["agent"]),
        (&TASK.into(), &TURN.into(), &"codex".into())
    );
}

#[tokio::test]
async fn a_stream_that_a_crash_broke_off_goes_on_where_it_was() {
    let test = "a_stream_that_a_crash_broke_off_goes_on_where_it_was";
    let Some(mut world) = World::build_with(test, ticks(100_000), |_| {}).await else {
        return;
    };
    world
        .dispatch(&world.turn(TASK, TURN, "Count. #script:slow"))
        .await;
    let reading = stream(address(&world, ""), None);
    let killing = async {
        world
            .wait_for(TURN, "text is shown", |view| view.text.contains("tick20 "))
            .await;
        world.executor.kill().await;
    };
    let ((answer, before), ()) = tokio::join!(reading, killing);
    assert!(!answer.whole);
    world.executor.start_again().await;
    let mut all = entries(&before);
    let last = before.iter().rev().find_map(|told| told.id.clone());
    let (_, after) = stream(address(&world, ""), last).await;
    all.extend(entries(&after));
    let numbers: Vec<u64> = all
        .iter()
        .map(|entry| entry["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let end = all.last().unwrap();
    assert_eq!(
        (&end["kind"], &end["data"]["code"]),
        (&"ended".into(), &"executor_restarted".into())
    );
    world.finished(TURN).await;
    assert_eq!(pages(&world).await, all);
}

#[tokio::test]
async fn an_address_that_makes_no_sense_is_refused_by_name() {
    let Some(world) = World::build("an_address_that_makes_no_sense_is_refused_by_name").await
    else {
        return;
    };
    world
        .run(&world.turn(TASK, TURN, "Hello. #script:text"))
        .await;
    let base = world.executor.url();
    for (path, named) in [
        ("/v1/tasks/one/2/events", "task in the path"),
        ("/v1/tasks/1/2/events?after=-1", "query parameter `after`"),
        (
            "/v1/tasks/1/2/events?attempt=x",
            "query parameter `attempt`",
        ),
        ("/v1/tasks?task=x", "query parameter `task`"),
    ] {
        let answer = get(&format!("{base}{path}")).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text().contains(named), "{path}: {}", answer.text());
    }
    let headers = [("last-event-id", "17")];
    let answer = client::request("GET", &address(&world, ""), &headers, b"", PATIENCE).await;
    assert_eq!(answer.unwrap().status, 400);
}
