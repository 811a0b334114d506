//! `git http-backend` as a CGI program (RFC 3875).

use std::{io, path::Path, process::Stdio};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{StatusCode, header},
    response::Response,
};
use futures::stream;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdout, Command},
};

/// The largest push.
const LARGEST: usize = 256 << 20;

/// Answers one request; the body ends without its end after `stall_after` bytes.
pub(super) async fn answer(
    root: &Path,
    request: Request,
    stall_after: Option<usize>,
) -> io::Result<Response> {
    let (head, body) = request.into_parts();
    let field = |name| {
        head.headers
            .get(name)
            .and_then(|value: &header::HeaderValue| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a web server starts its CGI programs"
    )]
    let mut command = Command::new("git");
    let mut child = command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        // So that pushes are taken.
        .env("REMOTE_USER", "somebody")
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", head.method.as_str())
        .env("CONTENT_TYPE", field(header::CONTENT_TYPE))
        .env("HTTP_CONTENT_ENCODING", field(header::CONTENT_ENCODING))
        .env(
            "GIT_PROTOCOL",
            field(header::HeaderName::from_static("git-protocol")),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let body = to_bytes(body, LARGEST).await.map_err(io::Error::other)?;
    let missing = || io::Error::other("a pipe is missing");
    let mut stdin = child.stdin.take().ok_or_else(missing)?;
    // The backend reads a request to its end before it answers.
    stdin.write_all(&body).await?;
    drop(stdin);
    let mut stdout = BufReader::new(child.stdout.take().ok_or_else(missing)?);
    let mut response = Response::builder();
    let mut line = String::new();
    while stdout.read_line(&mut line).await? > 0 && !line.trim().is_empty() {
        if let Some((name, value)) = line.trim().split_once(": ") {
            response = if name.eq_ignore_ascii_case("status") {
                let code = value
                    .split(' ')
                    .next()
                    .and_then(|code| code.parse().ok())
                    .unwrap_or(500);
                response
                    .status(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            } else {
                response.header(name, value)
            };
        }
        line.clear();
    }
    // A stall is for packs; what is said before is needed to come that far.
    let pack = head.uri.path().ends_with("/git-upload-pack")
        && body.windows(4).any(|word| word == b"done");
    let left = stall_after.filter(|_| pack).unwrap_or(usize::MAX);
    response
        .body(Body::from_stream(stream::unfold(
            (stdout, child, left),
            next,
        )))
        .map_err(io::Error::other)
}

type Rest = (BufReader<ChildStdout>, Child, usize);

async fn next((mut stdout, child, left): Rest) -> Option<(io::Result<Bytes>, Rest)> {
    if left == 0 {
        std::future::pending::<()>().await;
    }
    let mut buffer = vec![0; left.min(32 << 10)];
    match stdout.read(&mut buffer).await {
        Ok(0) => None,
        Ok(length) => {
            buffer.truncate(length);
            Some((Ok(buffer.into()), (stdout, child, left - length)))
        }
        Err(error) => Some((Err(error), (stdout, child, left))),
    }
}
