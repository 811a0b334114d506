//! What a preparation fetches from the platform. How that is asked for is the platform's own affair: whoever wires
//! things together implements [`Downloads`] over HTTP; tests implement it over nothing.

use std::fmt;

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};

use crate::Turn;

/// Fetches what a turn names.
///
/// Implementations send the turn's token ([`Identity::auth_token`](crate::Identity)) to the platform's own host and to
/// nobody else, a redirect included, and have deadlines of their own: for the answer, and for silence in a body.
pub trait Downloads: fmt::Debug + Send + Sync + 'static {
    /// The content of an attachment.
    fn attachment<'a>(
        &'a self,
        turn: &'a Turn,
        id: i64,
    ) -> BoxFuture<'a, Result<Download, DownloadError>>;
}

/// Something that is being downloaded.
pub struct Download {
    /// How long it is said to be, in bytes. Whoever reads counts for themselves.
    pub length: Option<u64>,
    /// The content as it comes. Its end is the content's end: one that breaks ends with an error.
    pub body: BoxStream<'static, Result<Bytes, DownloadError>>,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Why something could not be downloaded. The text is fit for the person: it holds neither token nor URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownloadError {
    /// There is no token, or no address to ask.
    #[error("nobody to ask: {0}")]
    NotConfigured(&'static str),
    /// The platform answered with something else than the content.
    #[error("HTTP {status}{}{body}", if .body.is_empty() { "" } else { "; body=" })]
    Status {
        /// The status.
        status: u16,
        /// The beginning of what it said, at most 200 characters.
        body: String,
    },
    /// The connection failed, or broke.
    #[error("{0}")]
    Connection(String),
    /// It took too long.
    #[error("timed out")]
    TimedOut,
}

impl DownloadError {
    /// Whether to try again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotConfigured(_) => false,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            Self::Connection(_) | Self::TimedOut => true,
        }
    }
}
