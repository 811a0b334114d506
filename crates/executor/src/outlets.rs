//! Where a turn's messages go.

use std::{sync::Arc, time::Duration};

use http_client::HttpClients;

use crate::{
    config::HttpUrl,
    courier::{HttpTransport, NoTransport, Transport},
};

/// Finds the transport of a turn's messages. What belongs to a turn travels with it: its callback URL is in its
/// journal, so that a restart with another configuration still delivers it where it belongs.
#[derive(Clone)]
pub enum Outlets {
    /// To callback endpoints over HTTP.
    Http {
        /// What connects.
        clients: HttpClients,
        /// The endpoint of turns that name none.
        callback_url: Option<HttpUrl>,
        /// How long one request may take.
        timeout: Duration,
    },
    /// All to the same reader, such as a terminal.
    Fixed(Arc<dyn Transport>),
}

impl Outlets {
    /// Where a new turn's callbacks go. The executor's own configuration goes before what the request says: the
    /// manager already took that into account when it started the container.
    pub fn callback_url(&self, requested: Option<&str>) -> Option<String> {
        match self {
            Self::Http {
                callback_url: Some(url),
                ..
            } => Some(url.as_url().to_string()),
            Self::Http {
                callback_url: None, ..
            } => requested.map(str::to_owned),
            Self::Fixed(_) => None,
        }
    }

    /// The transport to a turn's callback URL. Without one, messages are dropped silently, as Wegent has it.
    pub fn transport(&self, callback_url: Option<&str>) -> Arc<dyn Transport> {
        let (clients, timeout) = match self {
            Self::Fixed(transport) => return Arc::clone(transport),
            Self::Http {
                clients, timeout, ..
            } => (clients, *timeout),
        };
        match callback_url.map(HttpUrl::parse) {
            None => Arc::new(NoTransport),
            Some(Ok(url)) => Arc::new(HttpTransport::new(clients.clone(), url, timeout)),
            Some(Err(error)) => {
                tracing::error!(%error, "the turn's callback URL can't be used; its callbacks are dropped");
                Arc::new(NoTransport)
            }
        }
    }
}
