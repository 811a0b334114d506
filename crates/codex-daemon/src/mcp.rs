//! An MCP server on standard input and output, so that Claude, or any other client, can call Codex by itself.

mod tools;
mod work;

use std::{ffi::OsString, sync::Arc};

use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt as _,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
};
use supervisor::ChildEnv;
use tokio::task::spawn_blocking;

use crate::{
    client::{Client, ClientError, Connect},
    config::{Config, ProcessEnvironment},
    exit,
    protocol::Target,
    start::{self, StartError},
};
use tools::Call;

/// Why the server ended other than by its client's wish.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// The client doesn't begin as MCP has it.
    #[error("the client does not speak MCP")]
    Begin(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server's own task failed.
    #[error("the MCP server failed")]
    Task(#[source] tokio::task::JoinError),
    /// The current folder is gone.
    #[error("the current folder is gone")]
    Folder(#[source] std::io::Error),
}

/// Serves until the client closes its end.
///
/// # Errors
/// [`McpError`].
pub async fn serve(
    config: &Config,
    environment: &ProcessEnvironment,
    flags: Vec<OsString>,
) -> Result<u8, McpError> {
    let folder = match environment.path(crate::config::FOLDER_VARIABLE) {
        Some(folder) => folder,
        None => std::env::current_dir().map_err(McpError::Folder)?,
    };
    let server = Server {
        door: Arc::new(Door {
            config: config.clone(),
            env: environment.for_children().collect(),
            flags,
        }),
        home: Target::of_folder(folder),
    };
    let running = server
        .serve(rmcp::transport::stdio())
        .await
        .map_err(|error| McpError::Begin(Box::new(error)))?;
    running.waiting().await.map_err(McpError::Task)?;
    Ok(exit::SUCCESS)
}

/// The way to the daemon; starts it if need be.
struct Door {
    config: Config,
    env: ChildEnv,
    flags: Vec<OsString>,
}

impl Door {
    async fn open(self: &Arc<Self>) -> Result<Client, ClientError> {
        match Client::connect(&self.config.socket).await {
            Err(error) if error.is_gone() => {}
            other => return other,
        }
        let door = Arc::clone(self);
        let start = move || {
            let own = "/proc/self/exe".as_ref();
            let wait = start::WAIT;
            start::by_command(
                own,
                &door.flags,
                door.env.clone(),
                &door.config.state_dir,
                wait,
            )
        };
        match spawn_blocking(start).await {
            Ok(Ok(())) => Client::connect(&self.config.socket).await,
            Ok(Err(error)) => Err(ClientError::Start(Box::new(error))),
            Err(error) => {
                let error = StartError::Spawn(std::io::Error::other(error));
                Err(ClientError::Start(Box::new(error)))
            }
        }
    }
}

impl Connect for Arc<Door> {
    async fn connect(&mut self) -> Result<Client, ClientError> {
        self.open().await
    }
}

/// What the client talks to.
struct Server {
    door: Arc<Door>,
    /// The session of the folder the server was started in.
    home: Target,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let own = Implementation::new("codex-daemon", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(own)
            .with_instructions(tools::INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let call = Call::parse(
            &request.name,
            request.arguments.unwrap_or_default(),
            &self.home,
        )
        .map_err(|error| ErrorData::invalid_params(error.to_string(), None))?;
        let result = match work::done(&self.door, call, &context).await {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_string())]),
        };
        Ok(result.into())
    }
}
