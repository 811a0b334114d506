//! A fake of Wegent's MCP server for interactive forms, over Streamable HTTP.
//!
//! It takes a form whose questions all have an id and a text, and refuses another as Wegent's does: with words in a tool's
//! result. It wants a bearer token and its session's id, answers the call with a stream of events, and everything else
//! with JSON. What it was asked is kept with its time, to be compared with the callbacks'.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

use crate::{clock, http::Server};

/// The fake.
#[derive(Debug)]
pub struct FormServer {
    server: Server,
    state: Arc<Kept>,
}

/// One call of the form tool.
#[derive(Clone, Debug)]
pub struct FormCall {
    /// When it arrived, see [`clock::now_micros`].
    pub at: u64,
    /// Its arguments; opaque.
    pub arguments: Value,
    /// Whether the form was taken.
    pub taken: bool,
}

#[derive(Debug)]
struct Kept {
    token: String,
    /// Calls of the tool get no answer.
    hangs: AtomicBool,
    calls: Mutex<Vec<FormCall>>,
}

/// The tool's name.
const TOOL: &str = "interactive_form_question";
const SESSION: &str = "the-session";
const SHOWN: &str =
    r#"{"__deferred_user_input__": true, "success": true, "status": "waiting_for_user_response"}"#;

impl FormServer {
    /// Starts the fake on a free port. Requests must bear `token`.
    ///
    /// # Errors
    /// If it can't listen.
    pub async fn start(token: &str) -> io::Result<Self> {
        let state = Arc::new(Kept {
            token: format!("Bearer {token}"),
            hangs: AtomicBool::new(false),
            calls: Mutex::default(),
        });
        let router = Router::new()
            .route("/mcp", post(serve))
            .with_state(Arc::clone(&state));
        let server = Server::start(0, router).await?;
        Ok(Self { server, state })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.server.address())
    }

    /// The calls of the form tool, in order.
    pub fn calls(&self) -> Vec<FormCall> {
        self.state.calls.lock().expect("not poisoned").clone()
    }

    /// Takes calls of the form tool from now on, and never answers them.
    pub fn hang(&self) {
        self.state.hangs.store(true, Ordering::Release);
    }

    /// Goes away.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

async fn serve(State(state): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
    if !is(header::AUTHORIZATION.as_str(), &state.token) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let method = request["method"].as_str().unwrap_or_default();
    if method != "initialize" && method != "server/discover" && !is("mcp-session-id", SESSION) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let Some(id) = request.get("id") else {
        return StatusCode::ACCEPTED.into_response();
    };
    let result = match method {
        "initialize" => json!({
            "protocolVersion": request["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "forms", "version": "1"},
        }),
        "tools/list" => json!({"tools": [{
            "name": TOOL,
            "description": "Asks the user",
            "inputSchema": {"type": "object", "properties": {"questions": {"type": "array"}}},
        }]}),
        "tools/call" => {
            let answer = called(&state, id, &request["params"]["arguments"]);
            if state.hangs.load(Ordering::Acquire) {
                std::future::pending::<()>().await;
            }
            return answer;
        }
        _ => {
            let error = json!({"code": -32601, "message": "unknown method"});
            return plain(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
    };
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
    plain(&answer)
}

fn plain(answer: &Value) -> Response {
    let json = (header::CONTENT_TYPE.as_str(), "application/json");
    ([json, ("mcp-session-id", SESSION)], answer.to_string()).into_response()
}

fn called(state: &Kept, id: &Value, arguments: &Value) -> Response {
    let whole = |question: &Value| question["id"].is_string() && question["question"].is_string();
    let questions = arguments["questions"].as_array();
    let taken = questions.is_some_and(|all| !all.is_empty() && all.iter().all(whole));
    state.calls.lock().expect("not poisoned").push(FormCall {
        at: clock::now_micros(),
        arguments: arguments.clone(),
        taken,
    });
    let text = if taken {
        SHOWN
    } else {
        "a question lacks its id"
    };
    let result = json!({"content": [{"type": "text", "text": text}], "isError": !taken});
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
    let events = format!(": hello\n\nevent: message\ndata: {answer}\n\n");
    ([(header::CONTENT_TYPE, "text/event-stream")], events).into_response()
}
