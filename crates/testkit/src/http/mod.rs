//! Servers that can be broken on purpose, and a client small enough to have no opinions.

pub mod client;
pub(crate) mod listener;

use std::{io, net::SocketAddr};

use axum::Router;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use listener::Gate;
pub(crate) use listener::{Break, Link};

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
