//! MCP servers: from a request's `tools` and its bots' `mcp_servers` into one list.

use std::collections::BTreeMap;

use agent_core::{McpServer, McpTransport};
use secrecy::SecretString;

use super::{lenient::SecretText, wire};

/// The servers of a request's parts, in rising priority: the bots', the skills', the request's `tools`. Of servers with
/// the same name the later one wins; headers and a timeout that it lacks stay those of the earlier one. Servers without
/// a name, and such as name neither a command nor a URL, can't be used and are left out.
pub(super) fn servers<'a>(
    bots: impl Iterator<Item = &'a mut wire::Bot>,
    skills: Vec<wire::SkillConfig>,
    tools: Option<Vec<wire::Tool>>,
) -> Vec<McpServer> {
    let mut merged: Vec<McpServer> = Vec::new();
    let of_bots = bots.flat_map(|bot| {
        unwrapped(wire::McpServers {
            own: Vec::new(),
            wrapped_camel: bot.mcp_servers_camel.take().map(Box::new),
            wrapped_snake: bot.mcp_servers.take().map(Box::new),
        })
    });
    let of_skills = skills.into_iter().flat_map(of_skill);
    let of_tools = tools
        .into_iter()
        .flatten()
        .filter(|tool| tool.kind.as_deref() == Some("mcp"))
        .map(from_tool);
    let all = of_bots.chain(of_skills).chain(of_tools);
    for server in all.filter_map(convert) {
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

/// The innermost servers that there are; of two wrappings side by side `mcpServers` goes first.
fn unwrapped(servers: wire::McpServers) -> Vec<wire::McpServer> {
    let wrapped = [servers.wrapped_camel, servers.wrapped_snake];
    let mut inner = wrapped
        .into_iter()
        .flatten()
        .map(|servers| (depth(&servers), *servers))
        .filter(|(depth, _)| *depth > 0)
        .collect::<Vec<_>>();
    // Stable: of two that are as deep the first one stays first.
    inner.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
    match inner.into_iter().next() {
        Some((_, servers)) => unwrapped(servers),
        None => servers.own,
    }
}

/// How deep the innermost servers lie: 0 if there are none at all.
fn depth(servers: &wire::McpServers) -> usize {
    let wrapped = [&servers.wrapped_camel, &servers.wrapped_snake];
    let inner = wrapped.into_iter().flatten().map(|inner| depth(inner));
    match inner.max() {
        Some(deepest) if deepest > 0 => deepest + 1,
        _ => usize::from(!servers.own.is_empty()),
    }
}

/// The servers that a skill brings along, called as the platform calls them where it merges them itself.
fn of_skill(skill: wire::SkillConfig) -> Vec<wire::McpServer> {
    let Some(skill_name) = present(skill.name) else {
        return Vec::new();
    };
    let mut servers = skill.mcp_servers.map(unwrapped).unwrap_or_default();
    for server in &mut servers {
        server.name = present(server.name.take()).map(|name| {
            if name == skill_name {
                name
            } else {
                format!("{skill_name}_{name}")
            }
        });
    }
    servers
}

/// `server_auth` holds HTTP headers.
fn from_tool(tool: wire::Tool) -> wire::McpServer {
    wire::McpServer {
        name: tool.server_label,
        kind: tool.server_type,
        url: tool.server_url,
        auth: tool.server_auth,
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
    let mut headers = secret_map(server.headers);
    headers.extend(secret_map(server.auth));
    let transport = match (
        present(server.command),
        present(server.url).or(present(server.base_url)),
    ) {
        (Some(command), _) => McpTransport::Stdio {
            command,
            args: server.args.into_iter().flatten().map(|arg| arg.0).collect(),
            env: secret_map(server.env),
        },
        (None, Some(url)) => over_the_network(server.kind, url, headers),
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
        bearer_token_variable: present(server.bearer_token_env_var),
        tool_timeout_seconds: seconds.or(timeout).filter(|seconds| *seconds > 0.0),
        wants_oauth: present(server.oauth_client_id).is_some()
            || present(server.oauth_resource).is_some(),
    })
}

/// By its type. With an address and no type, or with one that says how a program is started, it can only be HTTP.
fn over_the_network(
    kind: Option<String>,
    url: String,
    headers: BTreeMap<String, SecretString>,
) -> McpTransport {
    let kind = kind.unwrap_or_default();
    let plain: String = kind
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    match plain.as_str() {
        "" | "http" | "streamablehttp" | "stdio" => McpTransport::Http { url, headers },
        "sse" => McpTransport::Sse { url, headers },
        _ => McpTransport::Other { kind },
    }
}

fn replace(earlier: &mut McpServer, mut later: McpServer) {
    if let (Some(headers), Some(kept)) = (
        headers_of(&mut later.transport),
        headers_of(&mut earlier.transport),
    ) && headers.is_empty()
    {
        *headers = std::mem::take(kept);
    }
    later.tool_timeout_seconds = later.tool_timeout_seconds.or(earlier.tool_timeout_seconds);
    *earlier = later;
}

fn headers_of(transport: &mut McpTransport) -> Option<&mut BTreeMap<String, SecretString>> {
    match transport {
        McpTransport::Http { headers, .. } | McpTransport::Sse { headers, .. } => Some(headers),
        McpTransport::Stdio { .. } | McpTransport::Other { .. } => None,
    }
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
