//! Two clients behind one handle.

use std::{io, path::PathBuf, sync::Arc};

use reqwest::{Client, ClientBuilder, NoProxy, Proxy, redirect};
use tokio::sync::OnceCell;

use crate::{HttpUrl, Proxies, Settings, names::Names, roots};

/// Reached without a proxy, whatever the settings say.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// Hands out clients. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct HttpClients(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    plain: Client,
    tls: OnceCell<Client>,
}

/// A client can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The proxies or other settings don't work.
    #[error("can't set up the http client")]
    Setup(#[source] reqwest::Error),
    /// The certificates or the proxies don't work.
    #[error("can't set up the https client")]
    Tls(#[source] reqwest::Error),
    /// The file with our own certificates can't be read.
    #[error("can't read the certificates in {path}", path = path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file with our own certificates holds none.
    #[error("no certificate in {path}", path = path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The thread that loads the certificates died.
    #[error("loading CA certificates was interrupted")]
    Interrupted,
}

impl HttpClients {
    /// Makes the client for plain `http`, with default settings but for the proxies.
    ///
    /// # Errors
    /// [`ClientError::Setup`] if the proxies don't work.
    pub fn new(proxies: Proxies) -> Result<Self, ClientError> {
        Self::with_settings(Settings {
            proxies,
            ..Settings::default()
        })
    }

    /// Makes the client for plain `http`.
    ///
    /// # Errors
    /// [`ClientError::Setup`] if the settings don't work.
    pub fn with_settings(settings: Settings) -> Result<Self, ClientError> {
        // Fails only if there is a provider already, and then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let without_roots = builder(&settings)
            .map_err(ClientError::Setup)?
            .tls_certs_only([]);
        let plain = without_roots.build().map_err(ClientError::Setup)?;
        let tls = OnceCell::new();
        Ok(Self(Arc::new(Inner {
            settings,
            plain,
            tls,
        })))
    }

    /// The client for a URL.
    ///
    /// # Errors
    /// Any [`ClientError`] but [`ClientError::Setup`] if TLS is needed and can't be had. It is tried again at
    /// the next call.
    pub async fn client_for(&self, url: &HttpUrl) -> Result<Client, ClientError> {
        let proxy = &self.0.settings.proxies.http;
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
        let settings = self.0.settings.clone();
        tokio::task::spawn_blocking(move || roots::load(&settings))
            .await
            .map_err(|_| ClientError::Interrupted)?
    }
}

pub(crate) fn builder(settings: &Settings) -> reqwest::Result<ClientBuilder> {
    let exempt = match &settings.proxies.exempt {
        Some(exempt) => format!("{LOOPBACK},{exempt}"),
        None => LOOPBACK.to_owned(),
    };
    let exempt = NoProxy::from_string(&exempt);
    // `no_proxy` keeps the client from reading the environment on its own.
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .dns_resolver(Names::system())
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(settings.keep_idle);
    if let Some(user_agent) = settings.user_agent {
        builder = builder.user_agent(user_agent);
    }
    if let Some(proxy) = &settings.proxies.http {
        let proxy = Proxy::http(proxy.as_url().clone())?;
        builder = builder.proxy(proxy.no_proxy(exempt.clone()));
    }
    if let Some(proxy) = &settings.proxies.https {
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
        let clients = HttpClients::new(Proxies::default()).unwrap();
        clients
            .client_for(&url("http://manager:8001"))
            .await
            .unwrap();
        assert!(!clients.0.tls.initialized());
    }

    #[tokio::test]
    async fn certificates_are_loaded_for_https_and_for_an_https_proxy() {
        // Works on any machine: one without certificates has the built-in ones.
        let direct = HttpClients::new(Proxies::default()).unwrap();
        direct.client_for(&url("https://manager")).await.unwrap();
        assert!(direct.0.tls.initialized());

        let http = Some(url("https://proxy"));
        let proxied = HttpClients::new(Proxies {
            http,
            ..Proxies::default()
        })
        .unwrap();
        proxied.client_for(&url("http://manager")).await.unwrap();
        assert!(proxied.0.tls.initialized());
    }
}
