//! How clients are set up.

use std::{path::PathBuf, time::Duration};

use crate::HttpUrl;

/// Proxies of our own requests. Loopback is always reached directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` URLs.
    pub http: Option<HttpUrl>,
    /// For `https` URLs.
    pub https: Option<HttpUrl>,
    /// Hosts that are reached directly, as a comma-separated list of domains, addresses and networks.
    pub exempt: Option<String>,
}

/// What a pair of clients is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The operator's proxies.
    pub proxies: Proxies,
    /// Certificates in PEM that are trusted too. Read when TLS is first needed.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take to come up, TLS included.
    pub connect_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_idle: Duration,
    /// The `user-agent` of requests that have none; `None` sends none.
    pub user_agent: Option<&'static str>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            proxies: Proxies::default(),
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            // Below the 5 s after which uvicorn, Wegent's server, closes its side: a request on a connection
            // that is just being closed fails for nothing.
            keep_idle: Duration::from_secs(4),
            user_agent: Some(concat!("wegent-executor/", env!("CARGO_PKG_VERSION"))),
        }
    }
}
