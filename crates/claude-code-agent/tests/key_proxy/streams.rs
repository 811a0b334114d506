//! Bodies pass as they come.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use secrecy::ExposeSecret;
use tokio::task::JoinSet;

use crate::{
    Scene,
    wire::{Api, STREAM, Wire, answer, full_path, raw_request, request},
};

#[tokio::test]
async fn each_event_passes_before_the_next_is_written() {
    let mut scene = Scene::new().await;
    let (mut cli, mut api) = scene.exchange().await;
    api.write(STREAM).await;
    let head = cli.head().await;
    assert_eq!(head.get("content-type"), Some("text/event-stream"));
    let mut slowest = Duration::ZERO;
    for n in 0..50 {
        let event = format!("event: ping\ndata: {n}\n\n");
        let written = Instant::now();
        api.write_chunk(&event).await;
        assert_eq!(cli.chunk().await.unwrap(), Some(event));
        slowest = slowest.max(written.elapsed());
    }
    // The turn is over, the answer isn't.
    drop(scene.turn);
    api.write_chunk("last").await;
    assert_eq!(cli.chunk().await.unwrap().as_deref(), Some("last"));
    api.write("0\r\n\r\n").await;
    assert_eq!(cli.chunk().await.unwrap(), None);
    println!("slowest of 50 events: {slowest:?}");
}

#[tokio::test]
async fn a_request_passes_while_it_is_still_being_written() {
    let mut scene = Scene::new().await;
    let token = scene.lease.token().expose_secret();
    let path = full_path(&scene.lease, "/v1/messages");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: cli\r\nx-api-key: {token}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let mut cli = Wire::connect(&scene.lease.base_url()).await;
    cli.write(head).await;
    cli.write_chunk("first").await;
    let mut api = scene.api.next().await;
    assert_eq!(api.head().await.get("transfer-encoding"), Some("chunked"));
    assert_eq!(api.chunk().await.unwrap().as_deref(), Some("first"));
    cli.write_chunk("second").await;
    assert_eq!(api.chunk().await.unwrap().as_deref(), Some("second"));
    cli.write("0\r\n\r\n").await;
    assert_eq!(api.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn twenty_mib_pass_in_both_directions() {
    const SIZE: usize = 20 << 20;
    let mut scene = Scene::new().await;
    let data: String = (0..SIZE)
        .map(|n| char::from(b'a' + (n % 23) as u8))
        .collect();
    let mut cli = Wire::connect(&scene.lease.base_url()).await;
    let asked = request(&scene.lease, "/v1/messages", &data);
    let started = Instant::now();
    let ((), (mut api, got)) = tokio::join!(cli.write(asked), async {
        let mut api = scene.api.next().await;
        let length = api.head().await.length();
        let got = api.take(length).await;
        (api, got)
    });
    assert!(got == data.as_bytes());
    let ((), (head, got)) = tokio::join!(api.write(answer(200, "", &data)), cli.answer());
    assert_eq!(head.length(), SIZE);
    assert!(got == data);
    println!("20 MiB there and back: {:?}", started.elapsed());
}

/// What the proxy adds to the first byte of an answer. Printed; only a gross failure fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_time_is_added_to_the_first_byte() {
    const ROUNDS: usize = 500;
    let scene = Scene::new().await;
    let api_url = scene.api.url.clone();
    // As large as a real first request.
    let body = "x".repeat(100 << 10);
    let direct = raw_request("POST", "/v1/messages", "", &body);
    let proxied = request(&scene.lease, "/v1/messages", &body);

    let connections = Arc::new(AtomicUsize::new(0));
    let mut serving = JoinSet::new();
    serving.spawn(serve_all(scene.api, connections.clone()));
    let mut direct_cli = Wire::connect(&api_url).await;
    let mut proxied_cli = Wire::connect(&scene.lease.base_url()).await;

    let (mut alone, mut through) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let started = Instant::now();
        direct_cli.write(&direct).await;
        first_byte(&mut direct_cli).await;
        alone.push(started.elapsed());
        let started = Instant::now();
        proxied_cli.write(&proxied).await;
        first_byte(&mut proxied_cli).await;
        through.push(started.elapsed());
    }
    alone.sort();
    through.sort();
    let added = |part: usize| through[part].saturating_sub(alone[part]);
    let (median, p95) = (added(ROUNDS / 2), added(ROUNDS * 95 / 100));
    println!("added to the first byte: median {median:?}, 95th percentile {p95:?}");
    assert!(median < Duration::from_millis(20), "{median:?}");
    // Connections to the API are kept; now and then one isn't back in time.
    let connections = connections.load(Ordering::Relaxed);
    assert!(connections < ROUNDS / 10, "{connections}");
}

async fn first_byte(cli: &mut Wire) {
    cli.head().await;
    assert_eq!(cli.chunk().await.unwrap().as_deref(), Some("event"));
    assert_eq!(cli.chunk().await.unwrap(), None);
}

async fn serve_all(mut api: Api, connections: Arc<AtomicUsize>) {
    let mut serving = JoinSet::new();
    while let Some(wire) = api.next_or_end().await {
        connections.fetch_add(1, Ordering::Relaxed);
        serving.spawn(serve_forever(wire));
    }
}

async fn serve_forever(mut api: Wire) {
    loop {
        let length = api.head().await.length();
        api.take(length).await;
        api.write(STREAM).await;
        api.write_chunk("event").await;
        api.write("0\r\n\r\n").await;
    }
}
