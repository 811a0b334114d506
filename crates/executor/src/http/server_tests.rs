use std::time::Duration;

use axum::{Extension, body::Body, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::*;
use crate::{
    http::release::{AT_LATEST, keep},
    runs::HoldGuard,
};

/// More than fits into the head and the stream's buffer together, so that reading less proves that the
/// answer isn't written out.
const BODY: usize = 4096;
const STREAM_BUFFER: usize = 16;
const HEAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// A connection whose answers hold something each; the other end of a hold comes out of the channel.
struct Fixture {
    client: DuplexStream,
    holds: mpsc::Receiver<oneshot::Receiver<()>>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

fn fixture() -> Fixture {
    let (client, stream) = tokio::io::duplex(STREAM_BUFFER);
    let (sender, holds) = mpsc::channel(8);
    let background = Background::default();
    let held = get(move |Extension(connection): Extension<Connection>| {
        let (guard, released) = oneshot::channel::<()>();
        let (ticket, keeper) = keep(HoldGuard::new(guard));
        background.spawn(keeper);
        sender.try_send(released).unwrap();
        async move { connection.hold(ticket, Body::from("x".repeat(BODY))) }
    });
    let router = Router::new().route("/", held);
    let mut tasks = JoinSet::new();
    let stop = CancellationToken::new();
    let house = House {
        router,
        door: Door::default(),
        head_timeout: HEAD_TIMEOUT,
    };
    let serving = stop.clone();
    tasks.spawn(async move {
        let seat = Seats::new(1).take().await;
        house.serve_connection(stream, &seat, serving).await;
    });
    Fixture {
        client,
        holds,
        tasks,
        stop,
    }
}

impl Fixture {
    async fn ask(&mut self) {
        self.client
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
    }
}

fn is_held(hold: &mut oneshot::Receiver<()>) -> bool {
    hold.try_recv() == Err(oneshot::error::TryRecvError::Empty)
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_with_the_last_byte_of_its_answer_and_not_before() {
    let mut fixture = fixture();
    // Twice over one connection: the second answer's hold has nothing to do with the first one's flush.
    for _ in 0..2 {
        fixture.ask().await;
        let mut hold = fixture.holds.recv().await.unwrap();
        let begun = Instant::now();
        let mut read = Vec::new();
        let mut chunk = [0; STREAM_BUFFER];
        while read.len() < BODY {
            let count = fixture.client.read(&mut chunk).await.unwrap();
            read.extend_from_slice(&chunk[..count]);
            // Let everything run that can run: paused time moves only when nothing else can be done.
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(is_held(&mut hold), "released after {} bytes", read.len());
        }
        while !read.ends_with(&[b'x'; BODY]) {
            let count = fixture.client.read(&mut chunk).await.unwrap();
            read.extend_from_slice(&chunk[..count]);
        }
        assert!(hold.await.is_err());
        assert!(begun.elapsed() < AT_LATEST);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_after_10_s_when_its_answer_is_never_read() {
    let mut fixture = fixture();
    fixture.ask().await;
    let mut hold = fixture.holds.recv().await.unwrap();
    tokio::time::sleep(AT_LATEST - Duration::from_millis(1)).await;
    assert!(is_held(&mut hold));
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert!(!is_held(&mut hold));
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_with_its_connection() {
    let mut fixture = fixture();
    fixture.ask().await;
    let mut hold = fixture.holds.recv().await.unwrap();
    let begun = Instant::now();
    fixture.client.read_exact(&mut [0; 100]).await.unwrap();
    assert!(is_held(&mut hold));
    drop(fixture.client);
    assert!(hold.await.is_err());
    assert!(begun.elapsed() < AT_LATEST);
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_when_the_connection_is_aborted() {
    let mut fixture = fixture();
    fixture.ask().await;
    let hold = fixture.holds.recv().await.unwrap();
    let begun = Instant::now();
    fixture.tasks.shutdown().await;
    assert!(hold.await.is_err());
    assert!(begun.elapsed() < AT_LATEST);
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_way_is_finished_after_stop() {
    let mut fixture = fixture();
    fixture.ask().await;
    fixture.holds.recv().await.unwrap();
    fixture.stop.cancel();
    let mut answer = Vec::new();
    fixture.client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.ends_with(&[b'x'; BODY]));
    fixture.tasks.join_next().await.unwrap().unwrap();
}
