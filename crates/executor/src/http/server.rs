//! Accepts connections and serves each until it ends or the server stops.

use std::{
    convert::Infallible, io, net::SocketAddr, panic::AssertUnwindSafe, pin::pin, sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    answer::Refusal,
    background::Background,
    body::BodyLimits,
    history::Streams,
    release::{Connection, ReleasingStream},
    routes::{App, router},
};
use crate::{config::ServerConfig, heartbeat::Binding, runs::Turns};

/// Pause after an accept that failed for want of resources, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// An HTTP server that listens already; connections wait until [`run`](Self::run) takes them.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: ServerConfig,
    more: Router,
}

impl Server {
    /// Listens on the configured address.
    ///
    /// # Errors
    /// [`BindError`] if the address can't be had.
    pub async fn bind(config: ServerConfig) -> Result<Self, BindError> {
        let address = SocketAddr::new(config.host, config.port);
        let failed = |source| BindError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            config,
            more: Router::new(),
        })
    }

    /// Serves these routes too. They have what they need already.
    #[must_use]
    pub fn with_routes(self, more: Router) -> Self {
        Self { more, ..self }
    }

    /// The address that is listened on, with the port that was given out for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then lets answers that are under way finish within the configured grace. When it
    /// returns, no task of the server is left.
    pub async fn run(mut self, turns: Arc<dyn Turns>, binding: Binding, stop: CancellationToken) {
        let background = Background::default();
        let limits = BodyLimits {
            size: self.config.max_body,
            stall: self.config.body_stall_timeout,
        };
        let app = App {
            turns,
            binding,
            limits,
            dispatch: self.config.dispatch,
            background: background.clone(),
            streams: Streams::default(),
        };
        let router = router(app, std::mem::take(&mut self.more));
        let mut connections = JoinSet::new();
        info!(address = %self.address, "listening");
        self.accept_until(&stop, &router, &mut connections).await;
        let grace = self.config.shutdown_grace;
        // From here on nobody can connect.
        drop(self.listener);
        let finished = async { while connections.join_next().await.is_some() {} };
        // Holds of answers on those connections end with them, so both take the grace together.
        tokio::join!(timeout(grace, finished).map(drop), background.finish(grace));
        connections.shutdown().await;
    }

    async fn accept_until(
        &self,
        stop: &CancellationToken,
        router: &Router,
        connections: &mut JoinSet<()>,
    ) {
        let slots = Arc::new(Semaphore::new(self.config.max_connections));
        loop {
            let (slot, stream) = tokio::select! {
                () = stop.cancelled() => return,
                // Only to forget the ones that have ended.
                Some(_) = connections.join_next() => continue,
                accepted = self.accept(&slots) => accepted,
            };
            let head_timeout = self.config.head_timeout;
            let (router, stop) = (router.clone(), stop.clone());
            connections.spawn(async move {
                serve_connection(stream, router, head_timeout, stop).await;
                drop(slot);
            });
        }
    }

    /// The next connection, as soon as there is room for it. Dropping this loses none.
    async fn accept(&self, slots: &Arc<Semaphore>) -> (OwnedSemaphorePermit, TcpStream) {
        let slot = slots.clone().acquire_owned().await;
        let slot = slot.expect("nobody closes the semaphore");
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Answers are small and awaited. A stream that can't be set up will fail on its own.
                    let _ = stream.set_nodelay(true);
                    return (slot, stream);
                }
                Err(error) if is_peers_fault(&error) => debug!(%error, "accept failed"),
                Err(error) => {
                    warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn is_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Serves one connection to its end; after `stop`, to the end of the answer that is under way.
async fn serve_connection<S>(
    stream: S,
    router: Router,
    head_timeout: Duration,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = Connection::default();
    let io = TokioIo::new(ReleasingStream::new(stream, connection.clone()));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        let answer = answered(router.clone(), request.map(axum::body::Body::new));
        answer.map(Ok::<_, Infallible>)
    });
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .serve_connection(io, service)
    );
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "connection ended early");
    }
}

/// The router's answer. A panic costs the one request, not the connection or the server.
async fn answered(router: Router, request: Request) -> Response {
    use hyper::service::Service;
    let path = request.uri().path().to_owned();
    let answer = async { TowerToHyperService::new(router).call(request).await };
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => {
            error!(path, "a handler panicked");
            Refusal::internal().into_response()
        }
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
