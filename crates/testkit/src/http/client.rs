//! One request, one connection, one answer: what a fake manager and tests need of HTTP.

use std::{io, time::Duration};

use bytes::Bytes;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, taken out of its chunks if it came in chunks.
    pub body: Bytes,
    /// Whether the body ended as announced; `false` when the connection broke inside it.
    pub whole: bool,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The first header of that name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// `POST`s JSON to an `http://host:port/path` address.
///
/// # Errors
/// If the address is none, nobody answers there, the answer is not HTTP, or `timeout` passes.
pub async fn post(url: &str, body: &Value, timeout: Duration) -> io::Result<Answer> {
    request("POST", url, &[], body.to_string().as_bytes(), timeout).await
}

/// `GET`s an `http://host:port/path` address.
///
/// # Errors
/// As [`post`].
pub async fn get(url: &str, timeout: Duration) -> io::Result<Answer> {
    request("GET", url, &[], b"", timeout).await
}

/// Sends any request with further header lines.
///
/// # Errors
/// As [`post`].
pub async fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout: Duration,
) -> io::Result<Answer> {
    let exchange = exchange(method, url, headers, body);
    tokio::time::timeout(timeout, exchange)
        .await
        .unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{method} {url}: no answer in {timeout:?}"),
            ))
        })
}

async fn exchange(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let (host, path) = split_url(url)?;
    let mut stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    if headers.iter().all(|(name, _)| *name != "content-type") {
        head.push_str("content-type: application/json\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut raw = Vec::new();
    // A connection that breaks inside the body still leaves an answer to look at.
    let broken = stream.read_to_end(&mut raw).await.err();
    match (parse(&raw), broken) {
        (Some(answer), _) => Ok(answer),
        (None, Some(error)) => Err(error),
        (None, None) => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "connection closed without an answer",
        )),
    }
}

fn split_url(url: &str) -> io::Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("not an http address: {url}"),
        )
    })?;
    let slash = rest.find('/').unwrap_or(rest.len());
    let path = &rest[slash..];
    Ok((&rest[..slash], if path.is_empty() { "/" } else { path }))
}

fn parse(raw: &[u8]) -> Option<Answer> {
    let end = find(raw, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&raw[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = &raw[end + 4..];
    let value = |name: &str| {
        headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    };
    let (body, whole) = if value("transfer-encoding") == Some("chunked") {
        unchunk(rest)
    } else {
        let announced = value("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(rest.len());
        (rest.to_vec(), rest.len() >= announced)
    };
    Some(Answer {
        status,
        headers,
        body: body.into(),
        whole,
    })
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = find(rest, b"\r\n") {
        let size = std::str::from_utf8(&rest[..line])
            .ok()
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let Some(size) = size else {
            return (body, false);
        };
        if size == 0 {
            return (body, true);
        }
        let start = line + 2;
        let end = (start + size).min(rest.len());
        body.extend_from_slice(&rest[start..end]);
        rest = rest.get(start + size + 2..).unwrap_or_default();
    }
    (body, false)
}

fn find(data: &[u8], needle: &[u8]) -> Option<usize> {
    data.windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_chunks_is_put_together() {
        let answer = parse(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        )
        .unwrap();
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.whole),
            (200, "abc", true)
        );
    }

    #[test]
    fn an_answer_cut_inside_a_chunk_is_not_whole() {
        let answer =
            parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n9\r\nc")
                .unwrap();
        assert_eq!((answer.text().as_str(), answer.whole), ("abc", false));
    }

    #[test]
    fn an_answer_shorter_than_announced_is_not_whole() {
        let answer = parse(b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nabc").unwrap();
        assert_eq!((answer.status, answer.whole), (404, false));
    }
}
