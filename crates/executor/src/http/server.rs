//! Accepts connections and serves each until it ends or the server stops.

use std::{
    convert::Infallible, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration,
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
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    answer::Refusal,
    background::Background,
    body::BodyLimits,
    door::Door,
    history::Streams,
    impatient::Impatient,
    release::{Connection, ReleasingStream},
    routes::{App, router},
    seats::{Seat, Seats},
};
use crate::{config::ServerConfig, heartbeat::Binding, runs::Turns};

/// Pause after an accept that failed for want of resources, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the head of a request may be, in bytes. One that is much longer is answered with 431.
const MAX_HEAD: usize = 64 << 10;
/// How long whoever is late may take to be told so.
const FAREWELL: Duration = Duration::from_secs(1);

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
            whole: self.config.body_timeout,
        };
        let door = Door::new(self.config.token.take());
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
        let house = House {
            router,
            door,
            head_timeout: self.config.head_timeout,
        };
        self.accept_until(&stop, &house, &mut connections).await;
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
        house: &House,
        connections: &mut JoinSet<()>,
    ) {
        let seats = Seats::new(self.config.max_connections);
        loop {
            let (stream, seat) = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.accept(&seats) => accepted,
            };
            // Only to forget the ones that have ended.
            while connections.try_join_next().is_some() {}
            let stream = Impatient::new(stream, self.config.write_stall_timeout);
            let (house, stop) = (house.clone(), stop.clone());
            connections.spawn(async move {
                house.serve_connection(stream, &seat, stop).await;
                seat.leave();
            });
        }
    }

    /// The next connection, as soon as there is room for it.
    async fn accept(&self, seats: &Seats) -> (TcpStream, Seat) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Answers are small and awaited. A stream that can't be set up will fail on its own.
                    let _ = stream.set_nodelay(true);
                    return (stream, seats.take().await);
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

/// What serves connections. Cheap to clone.
#[derive(Clone)]
struct House {
    router: Router,
    door: Door,
    head_timeout: Duration,
}

impl House {
    /// Serves one connection to its end; after `stop`, to the end of the answer that is under way. It gives way when it
    /// has to and has no request.
    async fn serve_connection<S>(&self, stream: S, seat: &Seat, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Connection::default();
        let io = TokioIo::new(ReleasingStream::new(stream, connection.clone()));
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(connection.clone());
            self.answer(request.map(axum::body::Body::new), seat)
                .map(Ok::<_, Infallible>)
        });
        let mut serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(MAX_HEAD)
            .serve_connection(io, service);
        let served = tokio::select! {
            served = &mut serving => served,
            () = seat.has_to_leave() => {
                return say_too_late(serving.into_parts()).await;
            }
            () = stop.cancelled() => {
                Pin::new(&mut serving).graceful_shutdown();
                (&mut serving).await
            }
        };
        match served {
            Err(error) if error.is_timeout() => say_too_late(serving.into_parts()).await,
            Err(error) => debug!(%error, "connection ended early"),
            Ok(()) => {}
        }
    }

    /// The answer to one request, as whose part the connection has a request.
    async fn answer(&self, request: Request, seat: &Seat) -> Response {
        let Some(busy) = seat.busy() else {
            // The connection is being closed; nothing of the request has been done.
            return std::future::pending().await;
        };
        let passed = self
            .door
            .pass(request.method(), request.uri().path(), request.headers());
        let response = match passed {
            Ok(()) => answered(self.router.clone(), request).await,
            Err(refusal) => refusal.into_response(),
        };
        response.map(|body| busy.during(body))
    }
}

/// Tells whoever had begun a head, and did not end it in time, what became of it.
async fn say_too_late<S, Service>(parts: http1::Parts<TokioIo<S>, Service>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if parts.read_buf.is_empty() {
        return;
    }
    const BODY: &str = r#"{"detail":"request head: not all of it came in time"}"#;
    let head =
        "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let answer = format!("{head}content-length: {}\r\n\r\n{BODY}", BODY.len());
    let mut stream = parts.io.into_inner();
    let said = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    // Whoever sends that slowly may not read either.
    let _ = timeout(FAREWELL, said).await;
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
