//! An MCP server over HTTP with one tool, `echo`, which says back the text that it is given and remembers the headers
//! of every call.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

use crate::http::Server;

type Calls = Arc<Mutex<Vec<HeaderMap>>>;

/// The server. Dropping it closes it.
#[derive(Debug)]
pub struct McpEcho {
    server: Server,
    calls: Calls,
}

impl McpEcho {
    /// Listens on any free port.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start() -> io::Result<Self> {
        let calls = Calls::default();
        let router = Router::new()
            .route("/mcp", post(answer))
            .with_state(Arc::clone(&calls));
        let server = Server::start(0, router).await?;
        Ok(Self { server, calls })
    }

    /// Its `host:port`.
    pub fn authority(&self) -> String {
        self.server.address().to_string()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.authority())
    }

    /// The value of a header in every call of the tool, in their order; `None` where it was missing.
    pub fn headers(&self, name: &str) -> Vec<Option<String>> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let values = calls.iter().map(|headers| headers.get(name));
        values
            .map(|value| Some(value?.to_str().ok()?.to_owned()))
            .collect()
    }
}

async fn answer(State(calls): State<Calls>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some(id) = request.get("id") else {
        return StatusCode::ACCEPTED.into_response();
    };
    let params = &request["params"];
    let result = match request["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "echo", "version": "1"},
        }),
        Some("tools/list") => json!({"tools": [{
            "name": "echo",
            "description": "Says the text back",
            "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        }]}),
        Some("tools/call") => {
            let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.push(headers);
            json!({"content": [{"type": "text", "text": params["arguments"]["text"]}]})
        }
        _ => json!({}),
    };
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
    ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}
