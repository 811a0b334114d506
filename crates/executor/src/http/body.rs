//! Request bodies: read as a stream under a limit, decoded off the runtime when they are big.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{StatusCode, header, request::Parts},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::answer::Refusal;

/// Reserved for a body before its first byte is here. More only as it comes, whatever its head promises.
const FIRST_RESERVE: usize = 1 << 20;

/// Bodies above this are decoded on a thread of their own: they take longer than a runtime's thread should
/// be busy.
const DECODE_INLINE: usize = 1 << 20;

/// How long the rest of a body that is too large is read to no use. Clients read our answer only after they
/// have sent everything; closing earlier would look like a broken connection to them.
const DISCARD: Duration = Duration::from_secs(5);

/// How long a small body may stall.
const STALL: Duration = Duration::from_secs(30);
/// How long all of a small body may take.
const WHOLE: Duration = Duration::from_secs(120);

/// What a body may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    /// Its size in bytes.
    pub(super) size: usize,
    /// How long it may stall.
    pub(super) stall: Duration,
    /// How long all of it may take.
    pub(super) whole: Duration,
}

/// Reads a small body, from whoever is quick.
pub(super) async fn small(request: Request, size: usize) -> Result<Vec<u8>, Refusal> {
    let (head, body) = request.into_parts();
    let limits = BodyLimits {
        size,
        stall: STALL,
        whole: WHOLE,
    };
    read(&head, body, limits).await
}

/// The same as JSON.
pub(super) async fn json<T: DeserializeOwned>(request: Request, size: usize) -> Result<T, Refusal> {
    let body = small(request, size).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad_request(format!("request body: {error}")))
}

/// Reads a whole body.
pub(super) async fn read(
    head: &Parts,
    mut body: Body,
    limits: BodyLimits,
) -> Result<Vec<u8>, Refusal> {
    let promised = body.size_hint().lower();
    if promised > limits.size as u64 {
        // A client that waits for `100 Continue` hasn't begun to send.
        if !head.headers.contains_key(header::EXPECT) {
            discard(body).await;
        }
        return Err(too_large(limits.size));
    }
    let bytes = Vec::with_capacity(FIRST_RESERVE.min(promised as usize));
    match timeout(limits.whole, collect(&mut body, bytes, limits)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => {
            discard(body).await;
            Err(too_large(limits.size))
        }
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => {
            let whole = limits.whole;
            let detail = format!("request body: not all of it came within {whole:?}");
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

/// All of a body; `None` if that is too much.
async fn collect(
    body: &mut Body,
    mut bytes: Vec<u8>,
    limits: BodyLimits,
) -> Result<Option<Vec<u8>>, Refusal> {
    while let Some(chunk) = next_chunk(body, limits.stall).await? {
        if bytes.len() + chunk.len() > limits.size {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

async fn next_chunk(body: &mut Body, stall: Duration) -> Result<Option<Bytes>, Refusal> {
    loop {
        let frame = match timeout(stall, body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(Refusal::bad_request(format!("request body: {error}")));
            }
            Err(_) => {
                let detail = "request body: nothing came for too long";
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, detail));
            }
        };
        // Trailers mean nothing to us.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

async fn discard(mut body: Body) {
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = timeout(DISCARD, rest).await;
}

fn too_large(limit: usize) -> Refusal {
    let detail = format!("request body: larger than {} MiB", limit >> 20);
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// Applies `decode` to a body.
pub(super) async fn decoded<T: Send + 'static>(
    body: Vec<u8>,
    decode: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<T, Refusal> {
    if body.len() <= DECODE_INLINE {
        return Ok(decode(&body));
    }
    let decoded = tokio::task::spawn_blocking(move || decode(&body)).await;
    decoded.map_err(|_| Refusal::internal())
}
