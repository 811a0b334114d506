//! Tools as the request offers them: one script fits several CLIs and their versions.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::{
    anthropic,
    reply::{Played, Reply},
    request::{Tool, Wire},
};

/// How much of a tool's output a text quotes, in characters from the end.
const QUOTED: usize = 400;

pub(super) const SHELLS: [&str; 6] = [
    "exec_command",
    "shell_command",
    "shell",
    "container.exec",
    "local_shell",
    "Bash",
];

/// Calls whichever shell tool the request offers.
pub(super) async fn run(reply: &mut Reply, command: &str, extra: Value) -> Played {
    let Some(tool) = reply.request.find_tool(&SHELLS) else {
        let Some(code_mode) = code_mode(reply) else {
            return not_offered(reply, "shell").await;
        };
        let arguments = merged(json!({"cmd": command}), extra);
        let code = format!(
            "const r = await tools.exec_command({arguments});\ntext(r.output ?? JSON.stringify(r));\n"
        );
        return reply.call_freeform(&code_mode.name, &code).await;
    };
    let arguments = match tool.name.as_str() {
        "exec_command" => json!({"cmd": command}),
        "shell_command" => json!({"command": command}),
        "Bash" => json!({"command": command, "description": "Run a scripted command"}),
        _ => json!({"command": ["bash", "-lc", command]}),
    };
    reply
        .call(&tool.name, tool.namespace, &merged(arguments, extra))
        .await
}

/// Calls the tool of that name. One that has to be searched for is searched for first: the script is then asked again
/// as if nothing had been called.
pub(super) async fn use_tool(reply: &mut Reply, name: &str, arguments: &Value) -> Played {
    let request = &reply.request;
    let namespace = match request.find_tool(&[name]) {
        Some(tool) => tool.namespace,
        None if !request.searched && request.deferred.iter().any(|known| known == name) => {
            let query = json!({"query": format!("select:{name}"), "max_results": 5});
            return reply.call(anthropic::SEARCH, None, &query).await;
        }
        None => None,
    };
    reply.call(name, namespace, arguments).await
}

/// Whether a tool of that name can be called, if need be after a search.
pub(super) fn is_offered(reply: &Reply, name: &str) -> bool {
    let request = &reply.request;
    request.find_tool(&[name]).is_some() || request.deferred.iter().any(|known| known == name)
}

/// The tool that takes JavaScript, which newer models of OpenAI get in place of all others.
pub(super) fn code_mode(reply: &Reply) -> Option<Tool> {
    reply
        .request
        .find_tool(&["exec"])
        .filter(|tool| tool.freeform)
}

pub(super) fn merged(mut arguments: Value, extra: Value) -> Value {
    if let (Value::Object(arguments), Value::Object(extra)) = (&mut arguments, extra) {
        arguments.extend(extra);
    }
    arguments
}

/// Says what a tool said.
pub(super) async fn quote(
    reply: &mut Reply,
    before: &str,
    output: &str,
    phase: Option<&str>,
) -> Played {
    let skipped = output.chars().count().saturating_sub(QUOTED);
    let tail: String = output.chars().skip(skipped).collect();
    reply.say(&format!("{before}{tail}"), phase).await
}

/// Says that a script can't be played.
pub(super) async fn not_offered(reply: &mut Reply, what: &str) -> Played {
    let labels = labels(reply);
    let text = format!("(no {what} tool was offered: {labels:?})");
    reply.text([text], Duration::ZERO, None).await
}

/// Every tool offered, as a person reads them.
pub(super) fn labels(reply: &Reply) -> Vec<String> {
    reply.request.tools.iter().map(Tool::label).collect()
}

/// Whether the request comes from Claude Code.
pub(super) fn is_anthropic(reply: &Reply) -> bool {
    reply.wire() == Wire::Anthropic
}
