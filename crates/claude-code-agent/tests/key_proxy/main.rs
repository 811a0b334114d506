//! The key proxy between real sockets: a CLI and an API that say exactly what a test wants, byte by byte.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod access;
mod breaks;
mod secrets;
mod streams;
mod upstream;
mod wire;

use claude_code_agent::key_proxy::{KeyProxy, Lease, Target, TurnPass, UpstreamConfig};

use wire::{Api, Wire, request};

/// The model's real key in all tests.
const KEY: &str = "sk-real-0123456789abcdef";

/// An API, the proxy before it, and a lease whose turn runs.
struct Scene {
    api: Api,
    proxy: KeyProxy,
    lease: Lease,
    turn: TurnPass,
}

impl Scene {
    async fn new() -> Self {
        let api = Api::start().await;
        let proxy = KeyProxy::start(UpstreamConfig::default()).await.unwrap();
        let lease = proxy.open(target(&api.url));
        let turn = lease.allow();
        Self {
            api,
            proxy,
            lease,
            turn,
        }
    }

    /// Both ends of a request that the API has got whole.
    async fn exchange(&mut self) -> (Wire, Wire) {
        let mut cli = Wire::connect(&self.lease.base_url()).await;
        cli.write(&request(&self.lease, "/v1/messages", "{}")).await;
        let mut api = self.api.next().await;
        api.head().await;
        api.take(2).await;
        (cli, api)
    }
}

fn target(base_url: &str) -> Target {
    Target::new(base_url, [("x-api-key", KEY.into())]).unwrap()
}
