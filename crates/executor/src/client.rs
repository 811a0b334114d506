//! The HTTP client of everything the executor calls itself: callbacks, heartbeats, downloads.
//!
//! There are two clients behind one handle. The first knows no TLS roots and is made at the start; it serves
//! plain `http`, which is how Wegent's services are reached inside a deployment. The second loads the
//! system's roots, which takes milliseconds (the first takes a tenth of one) and fails on an image that has
//! none; it is made when an `https` URL first asks for it.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder, NoProxy, Proxy, redirect};
use tokio::sync::OnceCell;

use crate::config::{HttpUrl, ProxyConfig};

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept. Below the 5 s after which uvicorn, Wegent's server, closes its side:
/// a request on a connection that is just being closed fails for nothing.
const KEEP_IDLE: Duration = Duration::from_secs(4);

/// Reached without a proxy, whatever the environment says.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// Hands out clients. Cheap to clone; clones share connections.
///
/// No client follows redirects: a callback that is sent elsewhere would turn into a `GET`. None has a
/// timeout for a whole request: each caller sets its own.
#[derive(Clone, Debug)]
pub struct HttpClients(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    proxies: ProxyConfig,
    plain: Client,
    tls: OnceCell<Client>,
}

/// A client can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The proxies or other settings don't work.
    #[error("can't set up the http client")]
    Setup(#[source] reqwest::Error),
    /// The system has no usable certificates, or the proxies don't work.
    #[error("can't set up the https client (are CA certificates installed?)")]
    Tls(#[source] reqwest::Error),
    /// The thread that loads the certificates died.
    #[error("loading CA certificates was interrupted")]
    Interrupted,
}

impl HttpClients {
    /// Makes the client for plain `http`.
    ///
    /// # Errors
    /// [`ClientError::Setup`] if the proxies don't work.
    pub fn new(proxies: ProxyConfig) -> Result<Self, ClientError> {
        // Fails only if there is a provider already, and then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let without_roots = builder(&proxies)
            .map_err(ClientError::Setup)?
            .tls_certs_only([]);
        let plain = without_roots.build().map_err(ClientError::Setup)?;
        let tls = OnceCell::new();
        Ok(Self(Arc::new(Inner {
            proxies,
            plain,
            tls,
        })))
    }

    /// The client for a URL.
    ///
    /// # Errors
    /// [`ClientError::Tls`] or [`ClientError::Interrupted`] if TLS is needed and can't be had. It is tried
    /// again at the next call.
    pub async fn client_for(&self, url: &HttpUrl) -> Result<Client, ClientError> {
        let proxy = &self.0.proxies.http;
        // A proxy's own certificate has to be checked too.
        if !url.is_https() && !proxy.as_ref().is_some_and(HttpUrl::is_https) {
            return Ok(self.0.plain.clone());
        }
        self.0
            .tls
            .get_or_try_init(|| self.load_tls())
            .await
            .cloned()
    }

    async fn load_tls(&self) -> Result<Client, ClientError> {
        let proxies = self.0.proxies.clone();
        let build = move || builder(&proxies).and_then(ClientBuilder::build);
        let built = tokio::task::spawn_blocking(build).await;
        built
            .map_err(|_| ClientError::Interrupted)?
            .map_err(ClientError::Tls)
    }
}

fn builder(proxies: &ProxyConfig) -> reqwest::Result<ClientBuilder> {
    let exempt = match &proxies.exempt {
        Some(exempt) => format!("{LOOPBACK},{exempt}"),
        None => LOOPBACK.to_owned(),
    };
    let exempt = NoProxy::from_string(&exempt);
    // `no_proxy` keeps the client from reading the environment on its own.
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(KEEP_IDLE)
        .user_agent(concat!("wegent-executor/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = &proxies.http {
        let proxy = Proxy::http(proxy.as_url().clone())?;
        builder = builder.proxy(proxy.no_proxy(exempt.clone()));
    }
    if let Some(proxy) = &proxies.https {
        let proxy = Proxy::https(proxy.as_url().clone())?;
        builder = builder.proxy(proxy.no_proxy(exempt));
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text).unwrap()
    }

    #[tokio::test]
    async fn plain_http_never_loads_certificates() {
        let clients = HttpClients::new(ProxyConfig::default()).unwrap();
        clients
            .client_for(&url("http://manager:8001"))
            .await
            .unwrap();
        assert!(!clients.0.tls.initialized());
    }

    #[tokio::test]
    async fn certificates_are_loaded_for_https_and_for_an_https_proxy() {
        let direct = HttpClients::new(ProxyConfig::default()).unwrap();
        // Whether it works depends on the machine's certificates; that they are asked for doesn't.
        let made = direct.client_for(&url("https://manager")).await;
        assert_eq!(made.is_ok(), direct.0.tls.initialized());
        assert!(matches!(made, Ok(_) | Err(ClientError::Tls(_))));

        let http = Some(url("https://proxy"));
        let proxied = HttpClients::new(ProxyConfig {
            http,
            ..ProxyConfig::default()
        })
        .unwrap();
        let made = proxied.client_for(&url("http://manager")).await;
        assert_eq!(made.is_ok(), proxied.0.tls.initialized());
    }
}
