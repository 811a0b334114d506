//! One request, from its head to the head of its answer.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Limited};
use http_client::HttpClients;
use hyper::{
    Method, Request, Response,
    body::Incoming,
    header::{self, HeaderMap},
    http::request,
};
use tracing::{debug, warn};

use super::{
    admission::{Admitted, admit},
    answer::{Body, Refusal, own},
    headers,
    lease::{Grant, Leases},
    relay::Relay,
    target::Target,
    upload::Upload,
};

/// The longest error answer that is passed on. Anthropic's have a few hundred bytes.
const MAX_ERROR_BODY: usize = 1 << 20;

/// How long the body of an error answer may take.
const ERROR_BODY_TIME: Duration = Duration::from_secs(10);

/// Answers a request: passes it on, or says why not.
pub(super) async fn serve(
    leases: &Leases,
    clients: &HttpClients,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let upload = Upload::new(body);
    match pass_on(leases, clients, head, &upload).await {
        Ok(response) => response,
        Err(refusal) => {
            match &refusal {
                Refusal::Unreachable { .. } if !upload.is_broken() => warn!("{refusal}"),
                _ => debug!("refused: {refusal}"),
            }
            upload.drain().await;
            refusal.into_response()
        }
    }
}

async fn pass_on(
    leases: &Leases,
    clients: &HttpClients,
    head: request::Parts,
    upload: &Upload,
) -> Result<Response<Body>, Refusal> {
    let Admitted { grant, path } = admit(leases, &head)?;
    let target = grant.target();
    let asked = head.method == Method::POST;
    let sent = tokio::select! {
        // Its token is worth nothing any more.
        () = grant.ended.cancelled() => return Err(Refusal::Token),
        sent = send(clients, &target, path, head, upload) => sent?,
    };
    grant.breaks_off(false);
    if sent.status().is_client_error() || sent.status().is_server_error() {
        let response = read_error(sent, &target).await?;
        upload.drain().await;
        return Ok(response);
    }
    Ok(relayed(sent, &target, &grant, asked))
}

async fn send(
    clients: &HttpClients,
    target: &Target,
    path: &[&str],
    head: request::Parts,
    upload: &Upload,
) -> Result<reqwest::Response, Refusal> {
    let unreachable = |error: &(dyn Error + 'static)| Refusal::Unreachable {
        origin: target.origin(),
        cause: root(error).to_string(),
    };
    let client = clients.client_for(target.base()).await;
    client
        .map_err(|error| unreachable(&error))?
        // Takes credentials off the URL, so it has to come before the headers.
        .request(head.method, target.url(path, head.uri.query()))
        .headers(headers::for_api(head.headers, target))
        .body(reqwest::Body::wrap(upload.clone()))
        .send()
        .await
        .map_err(|error| unreachable(&error))
}

/// What went wrong first. What lies around it may quote URLs.
fn root<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

fn relayed(
    sent: reqwest::Response,
    target: &Target,
    grant: &Arc<Grant>,
    asked: bool,
) -> Response<Body> {
    let status = sent.status();
    let (parts, body) = hyper::http::Response::<reqwest::Body>::from(sent).into_parts();
    let mut response = Response::new(Either::Left(Relay::new(body, grant, asked)));
    *response.status_mut() = status;
    *response.headers_mut() = parts.headers;
    headers::for_cli(response.headers_mut(), target);
    response
}

/// Reads an error answer, so that it can be passed on without what the API repeats of our headers.
async fn read_error(sent: reqwest::Response, target: &Target) -> Result<Response<Body>, Refusal> {
    let status = sent.status();
    let unreadable = |why| Refusal::Unreadable { status, why };
    let mut headers = sent.headers().clone();
    if is_encoded(&headers) {
        return Err(unreadable("is compressed"));
    }
    let body = Limited::new(reqwest::Body::from(sent), MAX_ERROR_BODY).collect();
    let body: Bytes = match tokio::time::timeout(ERROR_BODY_TIME, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Err(unreadable("broke off or is too long")),
        Err(_) => return Err(unreadable("did not come to an end")),
    };
    let text = String::from_utf8_lossy(&body);
    let mut response = own(target.secrets.redact_str(&text).into_owned());
    headers::for_cli(&mut headers, target);
    headers.remove(header::CONTENT_LENGTH);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
