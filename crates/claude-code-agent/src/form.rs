//! A form that the model asks for by the platform's own tool.
//!
//! The CLI puts the call off and ends its turn. Then the call is made by us, and only once the platform has the call's
//! block: its server attaches the form to that block.

use agent_core::{
    AgentError, AgentEvent, ErrorClass, Form, McpServer, McpTransport, Question, ToolCallId,
    ToolEvent, ToolStatus,
    interaction::{FORM_DELIVERY_LIMIT, form_is_shown},
};
use http_client::{HttpClients, Settings};
use std::time::Duration;

use crate::{
    mcp::{self, McpError, ToolResult},
    protocol::DeferredTool,
    turn::Drive,
};

/// How long the call may take where the server says nothing else.
const CALL_LIMIT: Duration = Duration::from_secs(300);
/// What the person reads when the model can't make a form.
const WRONG: &str = "模型给出的表单格式不对";
/// What the person reads when the form can't be shown.
const NOT_SHOWN: &str = "交互式表单生成失败";
/// What the model reads when its form was wrong.
pub(crate) const CORRECTION: &str = "The arguments of interactive_form_question were not valid. Call it again with valid questions: each needs an id and a question text, and a choice needs options.";

/// What became of a form.
pub(crate) enum Shown {
    /// The person sees it.
    Yes(Question),
    /// The server did not take it; what it said.
    Wrong(String),
}

impl Drive<'_> {
    /// Shows the form, once its block has been delivered.
    ///
    /// # Errors
    /// [`AgentError`] when that is not possible.
    pub(crate) async fn show(&self, deferred: &DeferredTool) -> Result<Shown, AgentError> {
        let call = ToolCallId::new(deferred.id.clone()).map_err(|_| AgentError::Protocol {
            message: "claude put off a call without an id".to_owned(),
        })?;
        if let Err(error) = self.cx.events.delivered(FORM_DELIVERY_LIMIT).await {
            tracing::warn!(%error, "the form's block has not arrived yet");
        }
        match self.call(deferred).await {
            Ok(result) if is_shown(&result) => Ok(Shown::Yes(Question {
                call,
                form: Form::Tool {
                    name: deferred.name.clone(),
                    input: deferred.input.clone(),
                },
            })),
            Ok(result) => {
                let said: Vec<&str> = result.texts().collect();
                tracing::warn!(is_error = result.is_error, "the form was not taken");
                Ok(Shown::Wrong(said.join("\n")))
            }
            Err(error) => {
                tracing::error!(error = %agent_core::error_chain(&error), "the form can't be shown");
                self.unshown(call, NOT_SHOWN).await?;
                Err(failed(NOT_SHOWN))
            }
        }
    }

    /// Gives up on a form that the model does not get right: the turn's failure.
    pub(crate) async fn give_up(&self, deferred: &DeferredTool) -> AgentError {
        let call = ToolCallId::new(deferred.id.clone()).expect("a form that was shown has an id");
        match self.unshown(call, WRONG).await {
            Ok(()) => failed(WRONG),
            Err(error) => error,
        }
    }

    /// Ends the call's block.
    pub(crate) async fn unshown(&self, call: ToolCallId, output: &str) -> Result<(), AgentError> {
        let finished = ToolEvent::Finished {
            call,
            status: ToolStatus::Failed,
            output: output.to_owned(),
        };
        Ok(self.cx.events.emit(AgentEvent::Tool(finished)).await?)
    }

    async fn call(&self, deferred: &DeferredTool) -> Result<ToolResult, McpError> {
        let (server, tool) = find(&self.turn.mcp_servers, &deferred.name)
            .ok_or(McpError::Answer("the turn has no such server"))?;
        let McpTransport::Http { url, headers } = &server.transport else {
            return Err(McpError::Answer("the server is no http server"));
        };
        let seconds = server.tool_timeout_seconds;
        let limit = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let upstream = self.config.key_proxy.clone().unwrap_or_default();
        let clients = HttpClients::with_settings(Settings {
            proxies: upstream.proxies,
            ca_file: upstream.ca_file,
            ..Settings::default()
        })?;
        let server = mcp::Server { url, headers };
        let limit = limit.unwrap_or(CALL_LIMIT);
        mcp::call(&clients, &server, tool, &deferred.input, limit).await
    }
}

fn failed(message: &str) -> AgentError {
    AgentError::Provider {
        class: ErrorClass::Agent,
        message: message.to_owned(),
    }
}

fn is_shown(result: &ToolResult) -> bool {
    !result.is_error && result.texts().any(form_is_shown)
}

/// The server and the tool's own name in a name as the CLI makes it: `mcp__<server>__<tool>`, the server's name with `_`
/// for what is neither a letter, a digit nor a dash.
fn find<'a, 'n>(servers: &'a [McpServer], name: &'n str) -> Option<(&'a McpServer, &'n str)> {
    let rest = name.strip_prefix("mcp__")?;
    let plain = |name: &str| -> String {
        let keep = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        name.chars()
            .map(|c| if keep(c) { c } else { '_' })
            .collect()
    };
    let named = servers.iter().filter_map(|server| {
        let tool = rest
            .strip_prefix(&plain(&server.name))?
            .strip_prefix("__")?;
        Some((server, tool))
    });
    // The longest name of a server leaves the shortest of a tool.
    named.min_by_key(|(_, tool)| tool.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_server_is_found_by_the_name_that_the_cli_gives_its_tools() {
        let server = |name: &str| McpServer {
            name: name.to_owned(),
            transport: McpTransport::Http {
                url: "http://x".to_owned(),
                headers: BTreeMap::new(),
            },
            bearer_token_variable: None,
            tool_timeout_seconds: None,
            wants_oauth: false,
        };
        let servers = [server("forms"), server("forms__x"), server("my forms.1")];
        let found = |name| find(&servers, name).map(|(server, tool)| (server.name.as_str(), tool));
        assert_eq!(found("mcp__forms__ask"), Some(("forms", "ask")));
        assert_eq!(found("mcp__forms__x__ask"), Some(("forms__x", "ask")));
        assert_eq!(found("mcp__my_forms_1__ask"), Some(("my forms.1", "ask")));
        assert_eq!(found("mcp__other__ask"), None);
        assert_eq!(found("Bash"), None);
    }
}
