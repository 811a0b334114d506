//! MCP servers: from a request's `tools` and its bots' `mcp_servers` into one list.

use std::collections::BTreeMap;

use agent_core::{McpServer, McpTransport};
use secrecy::SecretString;

use super::{lenient::SecretText, wire};

/// Merges `tools` over the bots' servers. Of servers with the same name the later one wins; headers and
/// a timeout that it lacks stay those of the earlier one. Servers without a name, and such as name neither
/// a command nor a URL, can't be used and are left out.
pub(super) fn servers<'a>(
    bots: impl Iterator<Item = &'a mut wire::Bot>,
    tools: Option<Vec<wire::Tool>>,
) -> Vec<McpServer> {
    let mut merged: Vec<McpServer> = Vec::new();
    let of_bots = bots
        .flat_map(|bot| [bot.mcp_servers.take(), bot.mcp_servers_camel.take()])
        .flatten()
        .flat_map(|servers| servers.0);
    let of_tools = tools
        .into_iter()
        .flatten()
        .filter(|tool| tool.kind.as_deref() == Some("mcp"))
        .map(from_tool);
    for server in of_bots.chain(of_tools).filter_map(convert) {
        match merged
            .iter_mut()
            .find(|earlier| earlier.name == server.name)
        {
            Some(earlier) => replace(earlier, server),
            None => merged.push(server),
        }
    }
    merged
}

/// `server_auth` holds HTTP headers.
fn from_tool(tool: wire::Tool) -> wire::McpServer {
    wire::McpServer {
        name: tool.server_label,
        url: tool.server_url,
        headers: tool.server_auth,
        command: tool.command,
        args: tool.args,
        env: tool.env,
        ..wire::McpServer::default()
    }
}

/// A command makes it a stdio server, whatever its `type` says: the platform sends `streamable-http`
/// with an empty URL for those.
fn convert(server: wire::McpServer) -> Option<McpServer> {
    let name = present(server.name)?;
    let transport = match (
        present(server.command),
        present(server.url).or(present(server.base_url)),
    ) {
        (Some(command), _) => McpTransport::Stdio {
            command,
            args: server.args.into_iter().flatten().map(|arg| arg.0).collect(),
            env: secret_map(server.env),
        },
        (None, Some(url)) => McpTransport::Http {
            url,
            headers: secret_map(server.headers),
        },
        (None, None) => return None,
    };
    let seconds = server
        .timeout_seconds
        .or(server.timeout_seconds_camel)
        .map(|seconds| seconds.0);
    // `timeout` below 1000 is meant as seconds, else as milliseconds.
    let timeout = server.timeout.map(|timeout| {
        if timeout.0 < 1000.0 {
            timeout.0
        } else {
            timeout.0 / 1000.0
        }
    });
    Some(McpServer {
        name,
        transport,
        tool_timeout_seconds: seconds.or(timeout).filter(|seconds| *seconds > 0.0),
    })
}

fn replace(earlier: &mut McpServer, mut later: McpServer) {
    if let (McpTransport::Http { headers, .. }, McpTransport::Http { headers: kept, .. }) =
        (&mut later.transport, &mut earlier.transport)
        && headers.is_empty()
    {
        *headers = std::mem::take(kept);
    }
    later.tool_timeout_seconds = later.tool_timeout_seconds.or(earlier.tool_timeout_seconds);
    *earlier = later;
}

/// A map of headers or variables; `null` is as good as absent.
pub(super) fn secret_map(
    map: Option<BTreeMap<String, Option<SecretText>>>,
) -> BTreeMap<String, SecretString> {
    map.into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name, value?.0)))
        .collect()
}

/// The text, unless it is blank.
pub(super) fn present(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}
