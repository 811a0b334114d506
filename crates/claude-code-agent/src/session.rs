//! A conversation in a running CLI, and how it is told what a turn changes.
//!
//! What a turn may change goes over the pipe, so that the process stays warm: the identity tokens that tools see and the
//! model configuration's key (by the key proxy), MCP servers with their headers (`mcp_set_servers`, which restarts only
//! those that changed, and answers when all are connected), the model, the permission mode. Nothing of it is in a file
//! or on the command line. Only what the CLI reads once, at its start, makes a new process.

use std::{collections::BTreeMap, time::Duration};

use agent_core::{NoticeKind, SessionId, Turn, scratch::Scratch};
use serde_json::{Map, Value};

use crate::{
    answer::{Approval, Standing},
    folder::Folder,
    key_proxy::{Lease, TurnPass},
    plan::Plan,
    process::{AskError, Cli},
    protocol::Control,
    tasks::Tasks,
    usage::Ledger,
};

/// How long a setting may take to be applied. It takes milliseconds.
const SETTING_LIMIT: Duration = Duration::from_secs(10);

/// A conversation in a running CLI.
pub(crate) struct Session {
    /// The process.
    pub(crate) cli: Cli,
    /// Its temporary folder.
    pub(crate) _scratch: Scratch,
    /// The conversation.
    pub(crate) id: SessionId,
    /// What it has used.
    pub(crate) ledger: Ledger,
    /// What runs in the background.
    pub(crate) tasks: Tasks,
    /// Holds its transcript; ours for as long as the process lives.
    pub(crate) _folder: Folder,
    /// What the process was started with; two equal ones need no restart.
    pub(crate) fingerprint: u64,
    /// Whether a prompt was ever given in it.
    pub(crate) used: bool,
    /// Whether the process may still say that it can't take up what an earlier one put off.
    pub(crate) resumed: bool,
    /// Its way to the model, if a key proxy stands between.
    pub(crate) lease: Option<Lease>,
    /// What it was told.
    pub(crate) told: Told,
}

/// What the process was told over the pipe.
#[derive(Default)]
pub(crate) struct Told {
    variables: BTreeMap<String, String>,
    servers: BTreeMap<String, Value>,
    model: Option<String>,
    mode: &'static str,
}

impl Told {
    /// What the command line says.
    pub(crate) fn at_start(model: Option<String>, mode: &'static str) -> Self {
        Self {
            model,
            mode,
            ..Self::default()
        }
    }
}

impl Session {
    /// Tells the process what this turn changes. Its MCP servers have `mcp_limit` to connect.
    ///
    /// # Errors
    /// [`AskError`] when it does not do as it is told.
    pub(crate) async fn tell(
        &mut self,
        turn: &Turn,
        plan: Plan,
        mcp_limit: Duration,
        notices: &mut Vec<(NoticeKind, String)>,
    ) -> Result<(), AskError> {
        self.cli.host.begin(Standing::of(turn));
        if let (Some(lease), Some(target)) = (&self.lease, plan.target) {
            lease.retarget(target);
        }
        self.variables(plan.variables).await?;
        self.model(turn.model.model_id.clone()).await?;
        // Claude may have begun to plan without being told to.
        let planned = Approval::of(turn) == Some(Approval::Approved);
        self.mode(plan.mode, planned).await?;
        if self.told.servers != plan.servers {
            self.servers(plan.servers, mcp_limit, notices).await?;
        }
        Ok(())
    }

    async fn variables(&mut self, variables: BTreeMap<String, String>) -> Result<(), AskError> {
        if self.told.variables == variables {
            return Ok(());
        }
        // One that is no longer there is emptied: it can't be taken away.
        let gone = self.told.variables.keys();
        let gone = gone.map(|name| (name.clone(), String::new()));
        let all = gone.chain(variables.clone()).collect();
        let control = Control::variables(all);
        self.cli.ask(&control, SETTING_LIMIT).await?;
        self.told.variables = variables;
        Ok(())
    }

    async fn model(&mut self, model: Option<String>) -> Result<(), AskError> {
        if self.told.model == model {
            return Ok(());
        }
        let control = Control::SetModel {
            model: model.clone(),
        };
        self.cli.ask(&control, SETTING_LIMIT).await?;
        self.told.model = model;
        Ok(())
    }

    async fn mode(&mut self, mode: &'static str, anyway: bool) -> Result<(), AskError> {
        if self.told.mode == mode && !anyway {
            return Ok(());
        }
        let control = Control::SetPermissionMode {
            mode: mode.to_owned(),
        };
        self.cli.ask(&control, SETTING_LIMIT).await?;
        self.told.mode = mode;
        Ok(())
    }

    /// Gives the process its MCP servers. One that fails, or takes too long, is missing and the person is told; it is no
    /// reason not to run the turn.
    async fn servers(
        &mut self,
        servers: BTreeMap<String, Value>,
        limit: Duration,
        notices: &mut Vec<(NoticeKind, String)>,
    ) -> Result<(), AskError> {
        let request = Control::McpSetServers {
            servers: servers.clone(),
        };
        match self.cli.ask(&request, limit).await {
            Ok(answer) => {
                self.told.servers = servers;
                let errors: Map<String, Value> =
                    answer["errors"].as_object().cloned().unwrap_or_default();
                for (name, why) in errors {
                    tracing::warn!(server = name, %why, "MCP server failed to start");
                    let text = format!(
                        "The MCP server `{name}` could not be started; its tools are missing in this turn."
                    );
                    notices.push((NoticeKind::Warning, text));
                }
                Ok(())
            }
            Err(AskError::Late { after, .. }) => {
                // What it has connected it keeps; that the list is not known to be applied has it sent again.
                self.told.servers = BTreeMap::new();
                tracing::warn!(?after, "MCP servers take too long to start");
                let text =
                    "Some MCP servers take long to start; their tools may be missing in this turn.";
                notices.push((NoticeKind::Warning, text.to_owned()));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Ends its process. Then its folder is free for another.
    pub(crate) async fn end(self) {
        self.cli.shutdown().await;
    }

    /// Lets its requests to the model pass for as long as the pass lives; `None` where no key proxy stands between.
    pub(crate) fn allow(&self) -> Option<TurnPass> {
        self.lease.as_ref().map(Lease::allow)
    }

    /// Whether the connection to the model's API broke in the middle of its last answer. The CLI itself can't always tell
    /// that from an answer that it can't read.
    pub(crate) fn broke_off(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::broke_off)
    }
}
