//! The backend's answers as bytes, and as reasons that hold neither token nor URL.

use std::time::Duration;

use agent_core::downloads::{Body, DownloadError};
use bytes::Bytes;
use futures::{StreamExt, stream};
use reqwest::{Response, header};
use secrecy::{ExposeSecret, SecretString};
use wegent_protocol::backend;

/// How long an answer may pause.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// The largest answer that is held in memory.
const LARGEST_LIST: usize = 1 << 20;
/// How much of a refusal is told, in characters.
const LONGEST_REASON: usize = 200;

/// An answer's bytes, as they come.
pub(super) fn body(response: Response) -> Body {
    let etag = response.headers().get(header::ETAG);
    let hash = etag
        .and_then(|etag| etag.to_str().ok())
        .and_then(backend::hash_of_etag);
    let length = response.content_length();
    let chunks = stream::unfold(Some(response), |response| async {
        let mut response = response?;
        match chunk(&mut response).await {
            Ok(None) => None,
            Ok(Some(chunk)) => Some((Ok(chunk), Some(response))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Body {
        length,
        hash,
        chunks: chunks.boxed(),
    }
}

/// All of a small answer.
pub(super) async fn small(mut response: Response) -> Result<Vec<u8>, DownloadError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(&mut response).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LARGEST_LIST {
            let limit = LARGEST_LIST as u64;
            return Err(DownloadError::TooLarge { limit });
        }
    }
    Ok(bytes)
}

async fn chunk(response: &mut Response) -> Result<Option<Bytes>, DownloadError> {
    tokio::time::timeout(SILENCE_LIMIT, response.chunk())
        .await
        .map_err(|_| DownloadError::Network("the answer stopped coming".into()))?
        .map_err(broken)
}

/// What a refusal says, without the token and in one line.
pub(super) async fn refusal(mut response: Response, token: &SecretString) -> DownloadError {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let mut bytes = Vec::new();
    // Room for a token that the cut would otherwise go through.
    let enough = LONGEST_REASON * 4 + token.expose_secret().len();
    while bytes.len() < enough
        && let Ok(Some(chunk)) = chunk(&mut response).await
    {
        bytes.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = match token.expose_secret() {
        "" => text.into_owned(),
        token => text.replace(token, "***"),
    };
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    DownloadError::Refused {
        status,
        body: one_line.chars().take(LONGEST_REASON).collect(),
        retry_after,
    }
}

/// A connection that broke. Without the URL: it may hold credentials.
pub(super) fn broken(error: reqwest::Error) -> DownloadError {
    DownloadError::Network(Box::new(error.without_url()))
}
