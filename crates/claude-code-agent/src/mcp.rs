//! One call of a tool on an MCP server over Streamable HTTP (protocol 2025-06-18), as a client of our own.
//!
//! Three requests: `initialize`, `notifications/initialized`, `tools/call`. A server answers with JSON or with a stream of
//! events, and may want its session's id repeated. The server's headers hold tokens: no error shows one, nor the URL's
//! query, nor what a server said.

use std::{collections::BTreeMap, error::Error as StdError, time::Duration};

use http_client::{ClientError, HttpClients, HttpUrl, NotAnHttpUrl};
use reqwest::{Client, Response, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

const PROTOCOL: &str = "2025-06-18";
const SESSION: &str = "mcp-session-id";
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;
/// How often a server may send us elsewhere within itself. A missing slash at the end is what it does it for.
const REDIRECTS: usize = 2;

/// What a tool returned.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ToolResult {
    /// What it said.
    content: Vec<Content>,
    /// Whether it failed.
    #[serde(rename = "isError")]
    pub(crate) is_error: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Content {
    text: String,
}

impl ToolResult {
    /// Its text parts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.content.iter().map(|part| part.text.as_str())
    }
}

/// The call could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum McpError {
    /// The server's address is none.
    #[error("the MCP server's url can't be used")]
    Url(#[from] NotAnHttpUrl),
    /// There is no client for it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A header can't be sent.
    #[error("header `{0}` of the MCP server can't be sent")]
    Header(String),
    /// The connection failed or broke.
    #[error("the MCP server can't be reached")]
    Network(#[source] Box<dyn StdError + Send + Sync>),
    /// It answered with a failure.
    #[error("the MCP server answers with HTTP {0}")]
    Status(StatusCode),
    /// It took too long.
    #[error("the MCP server did not answer within {0:?}")]
    Late(Duration),
    /// It answered with something else.
    #[error("the MCP server's answer is not of the protocol: {0}")]
    Answer(&'static str),
    /// It refused the call.
    #[error("the MCP server refused the call (code {0})")]
    Refused(i64),
}

/// Where the server is, and what it is told with every request.
pub(crate) struct Server<'a> {
    /// Its address.
    pub(crate) url: &'a str,
    /// Its headers.
    pub(crate) headers: &'a BTreeMap<String, SecretString>,
}

/// Calls a tool. The whole takes no longer than `limit`.
///
/// # Errors
/// [`McpError`].
pub(crate) async fn call(
    clients: &HttpClients,
    server: &Server<'_>,
    tool: &str,
    arguments: &Value,
    limit: Duration,
) -> Result<ToolResult, McpError> {
    let done = async {
        let mut connection = Connection::open(clients, server).await?;
        connection.handshake().await?;
        let params = json!({"name": tool, "arguments": arguments});
        let result = connection.ask(2, "tools/call", params).await?;
        serde_json::from_value(result).map_err(|_| McpError::Answer("no tool result"))
    };
    tokio::time::timeout(limit, done)
        .await
        .unwrap_or(Err(McpError::Late(limit)))
}

struct Connection {
    client: Client,
    url: reqwest::Url,
    headers: header::HeaderMap,
}

/// A JSON-RPC answer.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    code: i64,
}

impl Connection {
    async fn open(clients: &HttpClients, server: &Server<'_>) -> Result<Self, McpError> {
        let url = HttpUrl::parse(server.url)?;
        let mut headers = header::HeaderMap::new();
        for (name, value) in server.headers {
            let bad = || McpError::Header(name.clone());
            let key = header::HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
            let mut value =
                header::HeaderValue::try_from(value.expose_secret()).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        let accept = header::HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, accept);
        Ok(Self {
            client: clients.client_for(&url).await?,
            url: url.as_url().clone(),
            headers,
        })
    }

    async fn handshake(&mut self) -> Result<(), McpError> {
        let params = json!({
            "protocolVersion": PROTOCOL,
            "capabilities": {},
            "clientInfo": {"name": "wegent-executor", "version": env!("CARGO_PKG_VERSION")},
        });
        let result = self.ask(1, "initialize", params).await?;
        let agreed = result["protocolVersion"].as_str().unwrap_or(PROTOCOL);
        let agreed = header::HeaderValue::try_from(agreed)
            .map_err(|_| McpError::Answer("an odd protocol version"))?;
        self.headers.insert("mcp-protocol-version", agreed);
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        self.post(&ready).await.map(|_| ())
    }

    /// Makes a request and waits for its answer.
    async fn ask(&mut self, id: u64, method: &str, params: Value) -> Result<Value, McpError> {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let response = self.post(&request).await?;
        if let Some(session) = response.headers().get(SESSION) {
            self.headers.insert(SESSION, session.clone());
        }
        let answer = answer(response, id).await?;
        match (answer.result, answer.error) {
            (_, Some(failure)) => Err(McpError::Refused(failure.code)),
            (Some(result), None) => Ok(result),
            (None, None) => Err(McpError::Answer("neither a result nor an error")),
        }
    }

    async fn post(&mut self, message: &Value) -> Result<Response, McpError> {
        for _ in 0..=REDIRECTS {
            let request = self.client.post(self.url.clone());
            let sent = request.headers(self.headers.clone()).json(message).send();
            let response = sent.await.map_err(network)?;
            match response.status() {
                status if status.is_success() => return Ok(response),
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                    self.url = self.redirected(&response)?;
                }
                status => return Err(McpError::Status(status)),
            }
        }
        Err(McpError::Answer("too many redirects"))
    }

    /// Only within the same server: the headers are for nobody else.
    fn redirected(&self, response: &Response) -> Result<reqwest::Url, McpError> {
        let location = response.headers().get(header::LOCATION);
        let target = location
            .and_then(|location| location.to_str().ok())
            .and_then(|location| self.url.join(location).ok())
            .filter(|target| target.origin() == self.url.origin());
        target.ok_or(McpError::Status(response.status()))
    }
}

fn network(error: reqwest::Error) -> McpError {
    McpError::Network(Box::new(error.without_url()))
}

/// The answer to the request with this id, out of JSON or out of a stream of events.
async fn answer(mut response: Response, id: u64) -> Result<Answer, McpError> {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let streams =
        content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(network)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(McpError::Answer("too long"));
        }
        if streams && let Some(answer) = in_events(&body, id) {
            return Ok(answer);
        }
    }
    if streams {
        return Err(McpError::Answer("the stream ended without the answer"));
    }
    serde_json::from_slice(&body).map_err(|_| McpError::Answer("no JSON"))
}

/// The answer among the events that are complete so far.
fn in_events(body: &[u8], id: u64) -> Option<Answer> {
    let text = String::from_utf8_lossy(body).replace("\r\n", "\n");
    let (complete, _) = text.rsplit_once("\n\n")?;
    complete.split("\n\n").find_map(|event| {
        let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
        let data: Vec<&str> = lines
            .map(|data| data.strip_prefix(' ').unwrap_or(data))
            .collect();
        let answer: Answer = serde_json::from_str(&data.join("\n")).ok()?;
        (answer.id == id).then_some(answer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_among_events() {
        let stream = b": ping\n\nevent: message\r\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\r\n\r\ndata: {\"id\":2,\ndata: \"result\":{}}\n\ndata: {";
        assert!(in_events(stream, 2).is_some_and(|answer| answer.result.is_some()));
        assert!(in_events(stream, 3).is_none());
        let unfinished = &stream[..stream.len() - 10];
        assert!(in_events(unfinished, 2).is_none());
    }
}
