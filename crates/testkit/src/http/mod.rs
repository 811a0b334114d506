//! Servers that can be broken on purpose, and a client small enough to have no opinions.

pub mod client;
pub(crate) mod listener;

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use axum::Router;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use listener::Gate;
pub(crate) use listener::{Break, Link};

/// A port of 127.0.0.1 that is free now, and that the system gives to no outgoing connection: who leaves it for a while can
/// come back.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    /// Below what systems give to outgoing connections.
    const FROM: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run side by side begin at different places.
    let first = std::process::id().wrapping_mul(7919);
    let candidates = (0..COUNT).map(|_| {
        let next = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        u16::try_from(FROM + next % COUNT).expect("the range ends below 2^16")
    });
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates
        .into_iter()
        .find(is_free)
        .expect("loopback has free ports")
}

/// An HTTP server on loopback. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    connections: CancellationToken,
    accepting: JoinSet<()>,
}

impl Server {
    /// Listens on `port` of 127.0.0.1 (0 picks one) and serves `router`.
    pub(crate) async fn start(port: u16, router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let connections = CancellationToken::new();
        let gate = Gate::new(listener, connections.clone());
        let service = router.into_make_service_with_connect_info::<Link>();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            if let Err(error) = axum::serve(gate, service).await {
                tracing::warn!(%error, "test server ended");
            }
        });
        Ok(Self {
            address,
            connections,
            accepting,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and every connection, and returns when the port is free again.
    pub(crate) async fn stop(mut self) {
        self.connections.cancel();
        self.accepting.shutdown().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.connections.cancel();
    }
}
