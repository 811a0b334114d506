//! The listener and its connections.

use std::{
    convert::Infallible,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use http_client::{ClientError, HttpClients, HttpUrl, Proxies, Settings};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tracing::{debug, warn};

use super::{
    forward::serve,
    lease::{Lease, Leases},
    target::Target,
};

/// How long a connection to the model's API may take to come up, through a proxy and with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long an idle connection to the API is kept: over most tool calls, and below what usual gateways allow
/// (60 s and more).
const KEEP_IDLE: Duration = Duration::from_secs(30);

/// Connections at a time, of all CLIs; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 256;

/// How long a connection may be idle, or take to bring the head of a request. Longer than clients keep idle
/// connections, so that it is not cut while a request is being written to it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);

/// Pause after an accept that failed, as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How the model's API is reached.
#[derive(Clone, Debug, Default)]
pub struct UpstreamConfig {
    /// The operator's proxies.
    pub proxies: Proxies,
    /// Certificates in PEM that are trusted beside those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, else the
    /// system's, else the built-in ones.
    pub ca_file: Option<PathBuf>,
}

/// The proxy can't be started.
#[derive(Debug, thiserror::Error)]
pub enum KeyProxyError {
    /// No port on loopback is to be had.
    #[error("can't listen on loopback for the model's requests")]
    Listen(#[source] io::Error),
    /// The settings for reaching the API don't work.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// The proxy. One serves all CLI processes of an agent. Dropping it closes its port and all connections.
pub struct KeyProxy {
    address: SocketAddr,
    leases: Arc<Leases>,
    /// The API that is going to be called.
    announced: watch::Sender<Option<HttpUrl>>,
    _tasks: JoinSet<()>,
}

impl KeyProxy {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// [`KeyProxyError`] if there is no port, or the proxies don't work. Certificates are loaded later.
    pub async fn start(config: UpstreamConfig) -> Result<Self, KeyProxyError> {
        let clients = HttpClients::with_settings(Settings {
            proxies: config.proxies,
            ca_file: config.ca_file,
            connect_timeout: CONNECT_TIMEOUT,
            keep_idle: KEEP_IDLE,
            // The CLI's own is passed on.
            user_agent: None,
        })?;
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listen.map_err(KeyProxyError::Listen)?;
        let address = listener.local_addr().map_err(KeyProxyError::Listen)?;
        let leases = Arc::new(Leases::default());
        let (announced, announcements) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(prepare(announcements, clients.clone()));
        tasks.spawn(accept(listener, leases.clone(), clients));
        Ok(Self {
            address,
            leases,
            announced,
            _tasks: tasks,
        })
    }

    /// Opens a lease for one CLI process. No request passes before [`Lease::allow`].
    pub fn open(&self, target: Target) -> Lease {
        self.announced.send_replace(Some(target.base().clone()));
        self.leases.open(self.address, target)
    }
}

impl fmt::Debug for KeyProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyProxy")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Loads certificates while the CLI is still starting, not when its first request waits.
async fn prepare(mut announcements: watch::Receiver<Option<HttpUrl>>, clients: HttpClients) {
    while announcements.changed().await.is_ok() {
        let announced = announcements.borrow_and_update().clone();
        // A failure is told to the request that meets it.
        if let Some(url) = announced
            && let Err(error) = clients.client_for(&url).await
        {
            warn!(%error, "the model's API will not be reached");
        }
    }
}

async fn accept(listener: TcpListener, leases: Arc<Leases>, clients: HttpClients) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Only to forget the ones that have ended.
        while connections.try_join_next().is_some() {}
        let slot = slots.clone().acquire_owned().await;
        let slot = slot.expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok((stream, _)) => {
                let (leases, clients) = (leases.clone(), clients.clone());
                connections.spawn(async move {
                    serve_connection(stream, leases, clients).await;
                    drop(slot);
                });
            }
            Err(error) => {
                warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, leases: Arc<Leases>, clients: HttpClients) {
    // Or a small piece of a stream waits for the acknowledgement of the one before. A stream that can't be set
    // up will fail on its own.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let (leases, clients) = (leases.clone(), clients.clone());
        async move { Ok::<_, Infallible>(serve(&leases, &clients, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "connection of the cli ended early");
    }
}
