use executor::{
    client::HttpClients,
    config::{HttpUrl, ProxyConfig},
};

use crate::sink::Sink;

#[tokio::test]
async fn a_proxy_is_used_but_never_for_loopback_or_exempt_hosts() {
    let mut proxy = Sink::start().await;
    let mut local = Sink::start().await;
    let clients = HttpClients::new(ProxyConfig {
        http: Some(proxy.url.clone()),
        https: None,
        exempt: Some("exempt.invalid".to_owned()),
    })
    .unwrap();
    let get = async |url: &HttpUrl| {
        let client = clients.client_for(url).await.unwrap();
        client.get(url.as_url().clone()).send().await
    };

    let outside = HttpUrl::parse("http://manager.invalid/a").unwrap();
    get(&outside).await.unwrap();
    assert_eq!(
        proxy.seen.try_recv().unwrap().uri,
        "http://manager.invalid/a"
    );

    get(&local.url).await.unwrap();
    assert_eq!(local.seen.try_recv().unwrap().uri, "/");
    assert!(proxy.seen.try_recv().is_err());

    let exempt = HttpUrl::parse("http://exempt.invalid/").unwrap();
    get(&exempt).await.unwrap_err();
    assert!(proxy.seen.try_recv().is_err());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut sink = Sink::start().await;
    sink.answer_with(307);
    let clients = HttpClients::new(ProxyConfig::default()).unwrap();
    let client = clients.client_for(&sink.url).await.unwrap();
    let answer = client.post(sink.url.as_url().clone()).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 307);
    assert_eq!(sink.seen.try_recv().unwrap().uri, "/");
    assert!(sink.seen.try_recv().is_err());
}
