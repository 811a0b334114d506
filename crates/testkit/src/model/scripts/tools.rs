//! Scripts that call tools.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::{
    reply::{Played, Reply, Stop},
    request::Tool,
};

const FINAL: Option<&str> = Some("final_answer");
const COMMENTARY: Option<&str> = Some("commentary");

/// How much of a tool's output a text quotes, in characters from the end.
const QUOTED: usize = 400;

pub(super) async fn shell(reply: &mut Reply) -> Played {
    reply.created().await?;
    match reply.request.tool_output() {
        None => {
            let comment = ["I will run ".to_owned(), "a command.".to_owned()];
            reply.text(comment, Duration::ZERO, COMMENTARY).await?;
            let command = reply
                .command
                .clone()
                .unwrap_or_else(|| "echo one; sleep 0.3; echo two; echo err >&2".into());
            run(reply, &command, json!({})).await?;
        }
        Some(output) => quote(reply, "The command said: ", &output, FINAL).await?,
    }
    reply.completed().await
}

pub(super) async fn commentary_tool_final(reply: &mut Reply) -> Played {
    reply.created().await?;
    if reply.request.tool_output().is_none() {
        reply.say("I will look first.", COMMENTARY).await?;
        let command = reply
            .command
            .clone()
            .unwrap_or_else(|| "echo looked".into());
        run(reply, &command, json!({})).await?;
    } else {
        reply.say("Everything is in order.", FINAL).await?;
    }
    reply.completed().await
}

pub(super) async fn mixed(reply: &mut Reply) -> Played {
    reply.created().await?;
    if reply.request.tool_output().is_none() {
        reply.say("Let me think about that.", COMMENTARY).await?;
        reply
            .reasoning(&["**Planning**\n\nA command will tell."])
            .await?;
        let command = reply.command.clone().unwrap_or_else(|| "echo mixed".into());
        run(reply, &command, json!({})).await?;
    } else {
        reply.say("Now I know.", FINAL).await?;
    }
    reply.completed().await
}

pub(super) async fn shell_escalated(reply: &mut Reply) -> Played {
    reply.created().await?;
    match reply.request.tool_output() {
        None => {
            let old = reply
                .request
                .find_tool(&SHELLS)
                .is_some_and(|tool| tool.old_escalation);
            let why = "the scripted model wants to write outside";
            let extra = if old {
                json!({"with_escalated_permissions": true, "justification": why})
            } else {
                json!({"sandbox_permissions": "require_escalated", "justification": why})
            };
            let command = reply
                .command
                .clone()
                .unwrap_or_else(|| "echo escalated".into());
            run(reply, &command, extra).await?;
        }
        Some(output) => quote(reply, "The command said: ", &output, None).await?,
    }
    reply.completed().await
}

pub(super) async fn parallel(reply: &mut Reply) -> Played {
    reply.created().await?;
    if reply.request.tool_output().is_none() {
        run(reply, "sleep 0.2; echo A", json!({})).await?;
        run(reply, "echo B", json!({})).await?;
    } else {
        reply.say("Both done.", None).await?;
    }
    reply.completed().await
}

pub(super) async fn endless(reply: &mut Reply) -> Played {
    reply.created().await?;
    let command = reply
        .command
        .clone()
        .unwrap_or_else(|| "sleep 0.2; date +%s".into());
    run(reply, &command, json!({})).await?;
    reply.completed().await
}

pub(super) async fn patch(reply: &mut Reply) -> Played {
    reply.created().await?;
    if reply.request.tool_output().is_none() {
        let patch = "*** Begin Patch\n*** Add File: hello_model.txt\n+hello\n+from the model \u{2728}\n*** End Patch\n";
        apply_patch(reply, patch).await?;
    } else {
        reply.say("The file is written.", None).await?;
    }
    reply.completed().await
}

pub(super) async fn edit(reply: &mut Reply) -> Played {
    reply.created().await?;
    if reply.request.tool_output().is_none() {
        let command = reply.command.clone().unwrap_or_default();
        match edit_patch(&command) {
            Some((path, patch)) => {
                reply
                    .say(&format!("I will change {path}."), COMMENTARY)
                    .await?;
                apply_patch(reply, &patch).await?;
            }
            None => {
                reply
                    .say("(no edit was asked for: #cmd:PATH|OLD|NEW)", FINAL)
                    .await?
            }
        }
    } else {
        reply.say("The file is changed.", FINAL).await?;
    }
    reply.completed().await
}

/// `PATH|OLD|NEW` as a patch; `\n` in OLD and NEW stands for a line break, and both are whole lines.
fn edit_patch(command: &str) -> Option<(&str, String)> {
    let mut fields = command.splitn(3, '|');
    let (path, old, new) = (fields.next()?.trim(), fields.next()?, fields.next()?);
    let lines = |text: &str, sign: char| -> String {
        text.replace("\\n", "\n")
            .lines()
            .map(|line| format!("{sign}{line}\n"))
            .collect()
    };
    let change = if old.is_empty() {
        format!("*** Add File: {path}\n{}", lines(new, '+'))
    } else {
        format!(
            "*** Update File: {path}\n@@\n{}{}",
            lines(old, '-'),
            lines(new, '+')
        )
    };
    Some((path, format!("*** Begin Patch\n{change}*** End Patch\n")))
}

pub(super) async fn mcp(reply: &mut Reply) -> Played {
    reply.created().await?;
    if let Some(output) = reply.request.tool_output() {
        quote(reply, "The MCP tool said: ", &output, None).await?;
        return reply.completed().await;
    }
    let tools = reply.request.tools();
    let offered = tools
        .iter()
        .find(|tool| tool.label().starts_with("mcp__"))
        .cloned();
    match offered {
        Some(tool) => {
            let given = reply
                .command
                .as_deref()
                .and_then(|command| serde_json::from_str(command).ok());
            let arguments: Value = given.unwrap_or_else(|| json!({"text": "ping"}));
            reply.call(&tool.name, tool.namespace, &arguments).await?;
        }
        None => match code_mode(reply) {
            Some(tool) => {
                let code = reply
                    .command
                    .clone()
                    .unwrap_or_else(|| "text(JSON.stringify(Object.keys(tools)))".into());
                reply.call_freeform(&tool.name, &code).await?;
            }
            None => not_offered(reply, "MCP").await?,
        },
    }
    reply.completed().await
}

pub(super) async fn plan(reply: &mut Reply) -> Played {
    reply.created().await?;
    if reply.request.tool_output().is_none() {
        let steps = json!({"explanation": "a scripted plan", "plan": [
            {"step": "look", "status": "completed"},
            {"step": "act", "status": "in_progress"},
            {"step": "tell", "status": "pending"},
        ]});
        reply.call("update_plan", None, &steps).await?;
    } else {
        reply.say("The plan is noted.", None).await?;
    }
    reply.completed().await
}

pub(super) async fn ask(reply: &mut Reply) -> Played {
    reply.created().await?;
    match reply.request.tool_output() {
        None => {
            let questions = json!({"questions": [{
                "id": "color", "header": "Color", "question": "Which color?",
                "options": [
                    {"label": "Red (Recommended)", "description": "warm"},
                    {"label": "Blue", "description": "cold"},
                ],
            }]});
            reply.call("request_user_input", None, &questions).await?;
        }
        Some(output) => quote(reply, "You said: ", &output, None).await?,
    }
    reply.completed().await
}

pub(super) async fn tool(reply: &mut Reply) -> Played {
    reply.created().await?;
    match reply.request.tool_output() {
        None => {
            let command = reply.command.clone().unwrap_or_else(|| "nothing {}".into());
            let (name, arguments) = command.split_once(' ').unwrap_or((&command, "{}"));
            let offered = reply.request.find_tool(&[name]);
            if offered.as_ref().is_some_and(|tool| tool.freeform) {
                reply.call_freeform(name, arguments).await?;
            } else {
                let arguments: Value =
                    serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
                reply
                    .call(name, offered.and_then(|tool| tool.namespace), &arguments)
                    .await?;
            }
        }
        Some(output) => quote(reply, "The tool said: ", &output, None).await?,
    }
    reply.completed().await
}

pub(super) async fn tools_list(reply: &mut Reply) -> Played {
    reply.created().await?;
    let labels: Vec<String> = reply.request.tools().iter().map(Tool::label).collect();
    reply
        .text([json!(labels).to_string()], Duration::ZERO, None)
        .await?;
    reply.completed().await
}

pub(super) async fn web_search(reply: &mut Reply) -> Played {
    reply.created().await?;
    let action = json!({"type": "search", "query": "scripted weather"});
    let id = reply
        .said_call("web_search", None, &action.to_string())
        .replace("call_", "ws_");
    let opened = json!({"id": id, "type": "web_search_call", "status": "in_progress"});
    reply
        .event(
            "response.output_item.added",
            json!({"output_index": 0, "item": opened}),
        )
        .await?;
    reply
        .done(json!({"id": id, "type": "web_search_call", "status": "completed", "action": action}))
        .await?;
    reply.say("It is sunny in the script.", None).await?;
    reply.completed().await
}

const SHELLS: [&str; 5] = [
    "exec_command",
    "shell_command",
    "shell",
    "container.exec",
    "local_shell",
];

/// Calls whichever shell tool the request offers.
async fn run(reply: &mut Reply, command: &str, extra: Value) -> Played {
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
        _ => json!({"command": ["bash", "-lc", command]}),
    };
    reply
        .call(&tool.name, tool.namespace, &merged(arguments, extra))
        .await
}

/// Applies a patch with whichever tool the request offers for it.
async fn apply_patch(reply: &mut Reply, patch: &str) -> Played {
    match reply.request.find_tool(&["apply_patch"]) {
        Some(tool) if tool.freeform => reply.call_freeform(&tool.name, patch).await,
        Some(tool) => {
            reply
                .call(&tool.name, tool.namespace, &json!({"input": patch}))
                .await
        }
        None => match code_mode(reply) {
            Some(tool) => {
                let code = format!(
                    "const r = await tools.apply_patch({});\ntext(JSON.stringify(r));\n",
                    json!(patch)
                );
                reply.call_freeform(&tool.name, &code).await
            }
            None => {
                run(
                    reply,
                    &format!("apply_patch <<'EOF'\n{patch}EOF\n"),
                    json!({}),
                )
                .await
            }
        },
    }
}

/// The tool that takes JavaScript, which newer models get in place of all others.
fn code_mode(reply: &Reply) -> Option<Tool> {
    reply
        .request
        .find_tool(&["exec"])
        .filter(|tool| tool.freeform)
}

fn merged(mut arguments: Value, extra: Value) -> Value {
    if let (Value::Object(arguments), Value::Object(extra)) = (&mut arguments, extra) {
        arguments.extend(extra);
    }
    arguments
}

async fn quote(
    reply: &mut Reply,
    before: &str,
    output: &str,
    phase: Option<&str>,
) -> Result<(), Stop> {
    let skipped = output.chars().count().saturating_sub(QUOTED);
    let tail: String = output.chars().skip(skipped).collect();
    reply.say(&format!("{before}{tail}"), phase).await
}

async fn not_offered(reply: &mut Reply, what: &str) -> Played {
    let labels: Vec<String> = reply.request.tools().iter().map(Tool::label).collect();
    reply
        .text(
            [format!("(no {what} tool was offered: {labels:?})")],
            Duration::ZERO,
            None,
        )
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_becomes_a_patch_of_whole_lines() {
        let (path, patch) = edit_patch("src/a.txt|one|uno\\nunas").unwrap();
        assert_eq!(path, "src/a.txt");
        assert_eq!(
            patch,
            "*** Begin Patch\n*** Update File: src/a.txt\n@@\n-one\n+uno\n+unas\n*** End Patch\n"
        );
        let (_, patch) = edit_patch("b||new").unwrap();
        assert_eq!(
            patch,
            "*** Begin Patch\n*** Add File: b\n+new\n*** End Patch\n"
        );
        assert_eq!(edit_patch("b|new"), None);
    }
}
