//! A scripted model over HTTP and server-sent events: OpenAI's Responses API as far as Codex needs it, and
//! Anthropic's Messages API as far as Claude Code does.
//!
//! One server speaks both; the path of a request says which. The scripts are the same for both: what a script says is
//! written once, and its form on the wire, the tools that it finds and the errors that it gives are the provider's.
//!
//! Which [`Script`] answers a request, first match wins:
//!
//! 1. the marker `#script:NAME` in the last user text of the request (`#cmd:…`, the rest of its line,
//!    is the script's argument);
//! 2. the header `x-model-script: NAME`;
//! 3. the server's default, [`Options::script`].
//!
//! A script in which something goes wrong does so every time; with `#cmd:times=N` only for the first N requests of the
//! turn, and then it says that it has recovered.
//!
//! Scripts with a tool answer with the call while the last item of the request's input is not a tool's
//! output, and with a final text once it is. The tool's name and the form of its arguments are taken from
//! the tools that the request offers, so one script fits several versions of the CLI.
//!
//! The server remembers every request and what the model said in answer to it, so that a test can
//! compare what a person would see with what was said: [`ModelServer::spoken`].
//!
//! ```
//! # async fn example() -> std::io::Result<()> {
//! use testkit::model::{ModelServer, Options, Script};
//! let model = ModelServer::start(Options { script: Script::Echo, ..Options::default() }).await?;
//! // … point a CLI at model.base_url() and run a turn …
//! assert_eq!(model.spoken().final_text(), Some("echo: hello"));
//! # Ok(())
//! # }
//! ```

mod anthropic;
mod ledger;
mod openai;
mod reply;
mod request;
mod routes;
mod script;
mod scripts;
mod spoken;

use std::{io, sync::Arc, time::Duration};

use ledger::Ledger;
pub use ledger::{Ending, SeenRequest};
pub use script::{Script, UnknownScript};
pub use spoken::{Said, Spoken, ToolCall};

use crate::http::Server;

/// How the scripted model behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port on 127.0.0.1; 0 picks a free one.
    pub port: u16,
    /// The script for requests that name none.
    pub script: Script,
    /// The argument for requests that give none: a shell command, `NAME {json}` for [`Script::Tool`], ….
    pub command: Option<String>,
    /// The pause between ordinary deltas.
    pub delta_delay: Duration,
    /// The pause between the deltas of [`Script::Slow`]; ten times that is what [`Script::SlowStart`] waits.
    pub slow_delay: Duration,
    /// How many deltas [`Script::Slow`] sends.
    pub slow_count: u32,
    /// The size of the text of [`Script::Huge`] and [`Script::OneBig`], in bytes.
    pub huge_bytes: usize,
    /// The size of one delta of [`Script::Huge`], in bytes.
    pub huge_chunk: usize,
    /// The size of the pieces in which [`Script::Unicode`] is written, in bytes; not a divisor of anything.
    pub split_bytes: usize,
    /// More header lines for the answers that stream.
    pub headers: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            script: Script::Text,
            command: None,
            delta_delay: Duration::ZERO,
            slow_delay: Duration::from_millis(200),
            slow_count: 300,
            huge_bytes: 5 * 1024 * 1024,
            huge_chunk: 4096,
            split_bytes: 7,
            headers: Vec::new(),
        }
    }
}

/// The running server. Dropping it closes its connections.
#[derive(Debug)]
pub struct ModelServer {
    server: Server,
    ledger: Arc<Ledger>,
}

impl ModelServer {
    /// Starts the server.
    ///
    /// # Errors
    /// If the port is taken.
    pub async fn start(options: Options) -> io::Result<Self> {
        let ledger = Arc::new(Ledger::new(options.script));
        let port = options.port;
        let server = Server::start(port, routes::router(options, Arc::clone(&ledger))).await?;
        Ok(Self { server, ledger })
    }

    /// What an OpenAI provider's `base_url` is to be: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.server.address())
    }

    /// What `ANTHROPIC_BASE_URL` is to be: `http://127.0.0.1:PORT`.
    pub fn anthropic_url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Every request seen so far, in order of arrival. Header values are whole: don't print them.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.ledger.requests()
    }

    /// What the model said in all answers so far, the CLI's own errands left out.
    pub fn spoken(&self) -> Spoken {
        Spoken::in_requests(&self.requests())
    }

    /// Changes the script for requests that name none.
    pub fn set_script(&self, script: Script) {
        self.ledger.set_script(script);
    }

    /// Forgets the requests, and which of the "once" scripts have had their once.
    pub fn forget(&self) {
        self.ledger.forget();
    }

    /// Waits until the requests seen so far satisfy `condition`; `false` if `timeout` passes before.
    pub async fn wait_for(
        &self,
        timeout: Duration,
        condition: impl Fn(&[SeenRequest]) -> bool,
    ) -> bool {
        let mut changes = self.ledger.changes();
        let wait = async {
            while !condition(&self.requests()) {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(timeout, wait).await.is_ok()
    }
}
