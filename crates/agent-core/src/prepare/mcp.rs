//! MCP servers as the agent is to reach them: placeholders resolved, tokens known to the redactor.

use std::collections::BTreeMap;

use redact::Secrets;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{StepCx, StepError};
use crate::{
    McpServer, McpTransport,
    environment::{ToolVariables, is_secret_name},
    substitute::substitute,
};

/// Resolves the servers' placeholders in `root`. A server that can't be reached by any agent is told of and left out.
pub(super) async fn resolve(
    cx: StepCx,
    servers: Vec<McpServer>,
    root: &Value,
    tools: &ToolVariables,
) -> Result<Vec<McpServer>, StepError> {
    let mut resolved = Vec::new();
    for mut server in servers {
        server.name = substitute(&server.name, root).into_owned();
        if let McpTransport::Other { kind } = &server.transport {
            cx.warn(unreachable(&server.name, kind)).await?;
            continue;
        }
        transport(&mut server.transport, root);
        bearer(&mut server, tools);
        if server.wants_oauth && !has_authorization(&server.transport) {
            cx.warn(needs_login(&server.name)).await?;
        }
        guard(&server.transport, &cx.secrets);
        resolved.push(server);
    }
    Ok(resolved)
}

/// What the person reads of a server that is left out because of the way in which it is reached.
pub fn unreachable(server: &str, kind: &str) -> String {
    format!(
        "The MCP server `{server}` is reached over `{kind}`, which this agent can't do; its tools are missing in this turn."
    )
}

/// What the person reads of a server that may turn the agent away.
fn needs_login(server: &str) -> String {
    format!(
        "The MCP server `{server}` is set up for a login by OAuth, which takes a person at a browser; it is asked without one."
    )
}

fn has_authorization(transport: &McpTransport) -> bool {
    let (McpTransport::Http { headers, .. } | McpTransport::Sse { headers, .. }) = transport else {
        return false;
    };
    headers
        .keys()
        .any(|name| name.eq_ignore_ascii_case("authorization"))
}

fn transport(transport: &mut McpTransport, root: &Value) {
    let resolve = |text: &mut String| *text = substitute(text, root).into_owned();
    let resolve_all = |values: &mut BTreeMap<String, SecretString>| {
        for value in values.values_mut() {
            *value = substitute(value.expose_secret(), root).into_owned().into();
        }
    };
    match transport {
        McpTransport::Stdio { command, args, env } => {
            resolve(command);
            args.iter_mut().for_each(resolve);
            resolve_all(env);
        }
        McpTransport::Http { url, headers } | McpTransport::Sse { url, headers } => {
            resolve(url);
            resolve_all(headers);
        }
        McpTransport::Other { .. } => {}
    }
}

/// A server may name the variable that holds its token. No agent's CLI has that variable itself, so the token is sent
/// as a header like any other.
fn bearer(server: &mut McpServer, tools: &ToolVariables) {
    let token = server
        .bearer_token_variable
        .take()
        .and_then(|name| tools.get(&name));
    let known = has_authorization(&server.transport);
    let (McpTransport::Http { headers, .. } | McpTransport::Sse { headers, .. }) =
        &mut server.transport
    else {
        return;
    };
    if let Some(token) = token
        && !known
    {
        let value = format!("Bearer {}", token.expose_secret());
        headers.insert("Authorization".to_owned(), value.into());
    }
}

/// Makes the redactor know what a server is reached with: where a placeholder stood, nobody could know it before.
fn guard(transport: &McpTransport, secrets: &Secrets) {
    match transport {
        McpTransport::Stdio { env, .. } => guard_values(env, secrets),
        McpTransport::Http { url, headers } | McpTransport::Sse { url, headers } => {
            guard_values(headers, secrets);
            for value in secrets_of_url(url) {
                secrets.add(value);
            }
        }
        McpTransport::Other { .. } => {}
    }
}

fn guard_values(values: &BTreeMap<String, SecretString>, secrets: &Secrets) {
    for (name, value) in values {
        if !is_credential(name) {
            continue;
        }
        secrets.add(value.clone());
        // `Bearer xyz`: the credential may occur without its scheme.
        if let Some((_, credential)) = value.expose_secret().split_once(' ') {
            secrets.add(credential);
        }
    }
}

fn is_credential(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    is_secret_name(name) || lower.contains("auth") || lower.contains("cookie")
}

/// The password in a URL, and the values in its query whose names say that they are secrets.
fn secrets_of_url(url: &str) -> Vec<&str> {
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    let authority = rest
        .split_once("://")
        .map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let password = authority
        .rsplit_once('@')
        .and_then(|(user, _)| user.split_once(':'))
        .map(|(_, password)| password);
    let query = query.split('#').next().unwrap_or_default();
    let values = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| is_credential(name))
        .map(|(_, value)| value);
    password.into_iter().chain(values).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretString> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)))
            .collect()
    }

    #[test]
    fn every_text_of_a_server_is_resolved_and_its_tokens_are_guarded() {
        let root = json!({"host": "mcp.example", "task_token": "token-of-the-task", "n": 7});
        let secrets = Secrets::new();
        let mut http = McpTransport::Http {
            url: "https://u:pass-word@${{host}}/x?api_key=k-${{n}}-long&page=12345678".into(),
            headers: values(&[
                ("Authorization", "Bearer ${{task_token}}"),
                ("X-Page", "number-${{n}}"),
            ]),
        };
        transport(&mut http, &root);
        guard(&http, &secrets);
        let McpTransport::Http { url, headers } = &http else {
            unreachable!()
        };
        assert_eq!(
            url,
            "https://u:pass-word@mcp.example/x?api_key=k-7-long&page=12345678"
        );
        assert_eq!(
            headers["Authorization"].expose_secret(),
            "Bearer token-of-the-task"
        );
        let shown = "token-of-the-task pass-word k-7-long 12345678 number-7";
        assert_eq!(
            secrets.redact_str(shown),
            "[redacted] [redacted] [redacted] 12345678 number-7"
        );

        let mut stdio = McpTransport::Stdio {
            command: "${{host}}".into(),
            args: vec!["--n=${{n}}".into()],
            env: values(&[("MY_TOKEN", "${{task_token}}2"), ("PLAIN", "${{n}}")]),
        };
        transport(&mut stdio, &root);
        guard(&stdio, &secrets);
        let McpTransport::Stdio { command, args, env } = &stdio else {
            unreachable!()
        };
        assert_eq!(
            (command.as_str(), args[0].as_str()),
            ("mcp.example", "--n=7")
        );
        assert_eq!(env["PLAIN"].expose_secret(), "7");
        assert_eq!(secrets.redact_str("token-of-the-task2"), "[redacted]");
    }

    #[test]
    fn a_token_that_a_server_names_by_its_variable_is_sent_unless_it_has_one() {
        let tools = values(&[("AUTH_TOKEN", "abc-def")]);
        let server = |headers| McpServer {
            name: "s".into(),
            transport: McpTransport::Http {
                url: "http://x".into(),
                headers,
            },
            bearer_token_variable: Some("AUTH_TOKEN".into()),
            tool_timeout_seconds: None,
            wants_oauth: false,
        };
        let sent = |mut server: McpServer| {
            bearer(&mut server, &tools);
            match server.transport {
                McpTransport::Http { headers, .. } => headers.into_iter().next().unwrap(),
                other => panic!("{other:?}"),
            }
        };
        let (name, value) = sent(server(BTreeMap::new()));
        assert_eq!(
            (name.as_str(), value.expose_secret()),
            ("Authorization", "Bearer abc-def")
        );
        let (_, value) = sent(server(values(&[("authorization", "own")])));
        assert_eq!(value.expose_secret(), "own");
    }
}
