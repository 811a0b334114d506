//! Either side may go at any moment.

use secrecy::ExposeSecret;

use crate::{
    Scene,
    wire::{STREAM, Wire, full_path},
};

#[tokio::test]
async fn a_cli_that_hangs_up_takes_the_request_to_the_api_with_it() {
    let mut scene = Scene::new().await;
    // Before the answer has begun.
    let (cli, mut api) = scene.exchange().await;
    drop(cli);
    api.closed().await;
    // In the middle of it, while the API says nothing.
    let (mut cli, mut api) = scene.exchange().await;
    api.write(STREAM).await;
    api.write_chunk("one").await;
    cli.head().await;
    cli.chunk().await.unwrap();
    drop(cli);
    api.closed().await;
    // By a reset.
    let (cli, mut api) = scene.exchange().await;
    cli.reset();
    api.closed().await;
}

#[tokio::test]
async fn a_cli_that_hangs_up_in_mid_request_leaves_no_whole_request_behind() {
    let mut scene = Scene::new().await;
    let token = scene.lease.token().expose_secret();
    let path = full_path(&scene.lease, "/v1/messages");
    let mut cli = Wire::connect(&scene.lease.base_url()).await;
    cli.write(format!(
        "POST {path} HTTP/1.1\r\nhost: cli\r\nx-api-key: {token}\r\ntransfer-encoding: chunked\r\n\r\n"
    ))
    .await;
    cli.write_chunk("half").await;
    let mut api = scene.api.next().await;
    api.head().await;
    assert_eq!(api.chunk().await.unwrap().as_deref(), Some("half"));
    drop(cli);
    api.chunk().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_at_the_api_breaks_at_the_cli_after_all_it_said() {
    let mut scene = Scene::new().await;
    // Whether the last pieces and the end are seen together is a matter of luck.
    for _ in 0..40 {
        let (mut cli, mut api) = scene.exchange().await;
        api.write(format!("{STREAM}3\r\none\r\n3\r\ntwo\r\n")).await;
        drop(api);
        cli.head().await;
        for said in ["one", "two"] {
            assert_eq!(cli.chunk().await.unwrap().as_deref(), Some(said));
        }
        cli.chunk().await.unwrap_err();
        assert!(scene.lease.broke_off());
    }
    let (mut cli, mut api) = scene.exchange().await;
    api.write(STREAM).await;
    cli.head().await;
    assert!(!scene.lease.broke_off(), "this one has not");
}

#[tokio::test]
async fn an_answer_of_nothing_broke_off_before_it_began() {
    let mut scene = Scene::new().await;
    for (answer, broke_off) in [
        ("content-length: 0\r\n\r\n", true),
        ("transfer-encoding: chunked\r\n\r\n0\r\n\r\n", true),
        (
            "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            false,
        ),
        ("content-length: 2\r\n\r\n{}", false),
    ] {
        let (mut cli, mut api) = scene.exchange().await;
        api.write(format!("HTTP/1.1 200 OK\r\n{answer}")).await;
        let head = cli.head().await;
        if head.get("content-length").is_some() {
            cli.take(head.length()).await;
        } else {
            while cli.chunk().await.unwrap().is_some() {}
        }
        assert_eq!(scene.lease.broke_off(), broke_off, "{answer:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_at_the_api_breaks_at_the_cli() {
    let mut scene = Scene::new().await;
    let (mut cli, mut api) = scene.exchange().await;
    api.write(STREAM).await;
    api.write_chunk("one").await;
    cli.head().await;
    cli.chunk().await.unwrap();
    api.reset();
    cli.chunk().await.unwrap_err();
}

#[tokio::test]
async fn an_answer_that_stays_short_of_its_length_is_not_completed() {
    let mut scene = Scene::new().await;
    let (mut cli, mut api) = scene.exchange().await;
    api.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    assert_eq!(cli.head().await.length(), 10);
    assert_eq!(cli.take(4).await, b"half");
    drop(api);
    cli.closed().await;
}

#[tokio::test]
async fn an_api_that_hangs_up_without_an_answer_is_a_502() {
    let mut scene = Scene::new().await;
    let (mut cli, api) = scene.exchange().await;
    drop(api);
    let (head, _) = cli.answer().await;
    assert_eq!(head.status(), 502);
}

#[tokio::test]
async fn the_end_of_a_lease_breaks_off_what_still_runs() {
    let mut scene = Scene::new().await;
    let (mut streaming, mut api) = scene.exchange().await;
    let (mut waiting, mut silent_api) = scene.exchange().await;
    api.write(STREAM).await;
    streaming.head().await;
    drop(scene.lease);
    streaming.chunk().await.unwrap_err();
    assert_eq!(waiting.answer().await.0.status(), 401);
    api.closed().await;
    silent_api.closed().await;
}

#[tokio::test]
async fn a_dropped_proxy_closes_its_port_and_all_connections() {
    let mut scene = Scene::new().await;
    let (mut cli, mut api) = scene.exchange().await;
    let address = scene.lease.base_url();
    let address = address.split('/').nth(2).unwrap();
    drop(scene.proxy);
    cli.closed().await;
    api.closed().await;
    tokio::net::TcpStream::connect(address).await.unwrap_err();
}
