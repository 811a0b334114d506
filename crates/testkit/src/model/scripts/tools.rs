//! Scripts that call tools.

use std::time::Duration;

use serde_json::{Value, json};

use super::offers::{
    SHELLS, code_mode, is_anthropic, is_offered, labels, not_offered, quote, run, use_tool,
};
use crate::model::{
    openai,
    reply::{Played, Reply},
};

const FINAL: Option<&str> = Some("final_answer");
const COMMENTARY: Option<&str> = Some("commentary");

/// The shell command that was asked for, or this one.
fn command(reply: &Reply, default: &str) -> String {
    reply.command.clone().unwrap_or_else(|| default.to_owned())
}

/// What the tool of this turn said, once it has.
fn output(reply: &Reply) -> Option<String> {
    reply.request.tool_output.clone()
}

pub(super) async fn shell(reply: &mut Reply) -> Played {
    reply.created().await?;
    match output(reply) {
        None => {
            let comment = ["I will run ".to_owned(), "a command.".to_owned()];
            reply.text(comment, Duration::ZERO, COMMENTARY).await?;
            let command = command(reply, "echo one; sleep 0.3; echo two; echo err >&2");
            run(reply, &command, json!({})).await?;
        }
        Some(output) => quote(reply, "The command said: ", &output, FINAL).await?,
    }
    reply.completed().await
}

pub(super) async fn background(reply: &mut Reply) -> Played {
    reply.created().await?;
    if output(reply).is_none() {
        let command = command(reply, "timeout 3 tail -f /dev/null; echo late");
        let extra = if is_anthropic(reply) {
            json!({"run_in_background": true})
        } else {
            json!({"yield_time_ms": 250})
        };
        run(reply, &command, extra).await?;
    } else {
        reply.say("It goes on in the background.", FINAL).await?;
    }
    reply.completed().await
}

pub(super) async fn commentary_tool_final(reply: &mut Reply) -> Played {
    reply.created().await?;
    if output(reply).is_none() {
        reply.say("I will look first.", COMMENTARY).await?;
        let command = command(reply, "echo looked");
        run(reply, &command, json!({})).await?;
    } else {
        reply.say("Everything is in order.", FINAL).await?;
    }
    reply.completed().await
}

pub(super) async fn mixed(reply: &mut Reply) -> Played {
    reply.created().await?;
    if output(reply).is_none() {
        reply.say("Let me think about that.", COMMENTARY).await?;
        reply
            .reasoning(&["**Planning**\n\nA command will tell."])
            .await?;
        let command = command(reply, "echo mixed");
        run(reply, &command, json!({})).await?;
    } else {
        reply.say("Now I know.", FINAL).await?;
    }
    reply.completed().await
}

pub(super) async fn shell_escalated(reply: &mut Reply) -> Played {
    reply.created().await?;
    match output(reply) {
        None => {
            let old = reply
                .request
                .find_tool(&SHELLS)
                .is_some_and(|tool| tool.old_escalation);
            let why = "the scripted model wants to write outside";
            let extra = if is_anthropic(reply) {
                json!({"dangerouslyDisableSandbox": true})
            } else if old {
                json!({"with_escalated_permissions": true, "justification": why})
            } else {
                json!({"sandbox_permissions": "require_escalated", "justification": why})
            };
            let command = command(reply, "echo escalated");
            run(reply, &command, extra).await?;
        }
        Some(output) => quote(reply, "The command said: ", &output, None).await?,
    }
    reply.completed().await
}

pub(super) async fn parallel(reply: &mut Reply) -> Played {
    reply.created().await?;
    if output(reply).is_none() {
        run(reply, "sleep 0.2; echo A", json!({})).await?;
        run(reply, "echo B", json!({})).await?;
    } else {
        reply.say("Both done.", None).await?;
    }
    reply.completed().await
}

pub(super) async fn endless(reply: &mut Reply) -> Played {
    reply.created().await?;
    let command = command(reply, "sleep 0.2; date +%s");
    run(reply, &command, json!({})).await?;
    reply.completed().await
}

pub(super) async fn mcp(reply: &mut Reply) -> Played {
    reply.created().await?;
    if let Some(output) = output(reply) {
        quote(reply, "The MCP tool said: ", &output, None).await?;
        return reply.completed().await;
    }
    let is_mcp = |name: &str| name.starts_with("mcp__");
    let request = &reply.request;
    let offered = request.tools.iter().find(|tool| is_mcp(&tool.label()));
    let name = offered
        .map(|tool| &tool.name)
        .or_else(|| request.deferred.iter().find(|name| is_mcp(name)))
        .cloned();
    let given = reply
        .command
        .as_deref()
        .and_then(|command| serde_json::from_str(command).ok());
    match (name, code_mode(reply)) {
        (Some(name), _) => {
            let arguments: Value = given.unwrap_or_else(|| json!({"text": "ping"}));
            use_tool(reply, &name, &arguments).await?;
        }
        (None, Some(tool)) => {
            let code = command(reply, "text(JSON.stringify(Object.keys(tools)))");
            reply.call_freeform(&tool.name, &code).await?;
        }
        (None, None) => not_offered(reply, "MCP").await?,
    }
    reply.completed().await
}

pub(super) async fn form(reply: &mut Reply) -> Played {
    reply.created().await?;
    match output(reply) {
        Some(output) if !output.contains("Call it again") => {
            quote(reply, "The form said: ", &output, None).await?;
        }
        _ => {
            let name = if is_anthropic(reply) {
                "mcp__forms__interactive_form_question"
            } else {
                "interactive_form_question"
            };
            let given = reply.command.as_deref();
            let given = given.and_then(|given| serde_json::from_str(given).ok());
            let arguments: Value = given.unwrap_or_else(|| json!({}));
            use_tool(reply, name, &arguments).await?;
        }
    }
    reply.completed().await
}

pub(super) async fn plan(reply: &mut Reply) -> Played {
    reply.created().await?;
    if output(reply).is_some() {
        reply.say("The plan is noted.", None).await?;
        return reply.completed().await;
    }
    if !is_anthropic(reply) {
        let steps = json!({"explanation": "a scripted plan", "plan": [
            {"step": "look", "status": "completed"},
            {"step": "act", "status": "in_progress"},
            {"step": "tell", "status": "pending"},
        ]});
        reply.call("update_plan", None, &steps).await?;
    } else if is_offered(reply, "TodoWrite") {
        let steps = json!({"todos": [
            {"content": "look", "status": "completed", "activeForm": "looking"},
            {"content": "act", "status": "in_progress", "activeForm": "acting"},
            {"content": "tell", "status": "pending", "activeForm": "telling"},
        ]});
        use_tool(reply, "TodoWrite", &steps).await?;
    } else if is_offered(reply, "TaskCreate") {
        let step = json!({"subject": "look", "description": "Look at it first"});
        use_tool(reply, "TaskCreate", &step).await?;
    } else {
        not_offered(reply, "plan").await?;
    }
    reply.completed().await
}

pub(super) async fn exit_plan(reply: &mut Reply) -> Played {
    reply.created().await?;
    match output(reply) {
        None => {
            let plan = json!({"plan": "# Plan\n1. Look\n2. Act"});
            use_tool(reply, "ExitPlanMode", &plan).await?;
        }
        Some(output) => quote(reply, "The plan was answered: ", &output, None).await?,
    }
    reply.completed().await
}

pub(super) async fn ask(reply: &mut Reply) -> Played {
    reply.created().await?;
    if let Some(output) = output(reply) {
        quote(reply, "You said: ", &output, None).await?;
        return reply.completed().await;
    }
    let mut question = json!({
        "header": "Color", "question": "Which color?",
        "options": [
            {"label": "Red (Recommended)", "description": "warm"},
            {"label": "Blue", "description": "cold"},
        ],
    });
    if is_anthropic(reply) {
        question["multiSelect"] = json!(reply.command.as_deref() == Some("multi"));
        let questions = json!({"questions": [question]});
        use_tool(reply, "AskUserQuestion", &questions).await?;
    } else {
        question["id"] = json!("color");
        let questions = json!({"questions": [question]});
        reply.call("request_user_input", None, &questions).await?;
    }
    reply.completed().await
}

pub(super) async fn subagent(reply: &mut Reply, late: bool) -> Played {
    reply.created().await?;
    let prompt = command(reply, "Say hello. #script:text").replace("\\n", "\n");
    if let Some(output) = output(reply) {
        // Codex's tool only starts the sub-agent; another one waits for it.
        match (waiting(&output), late) {
            (Some(arguments), false) => use_tool(reply, "wait_agent", &arguments).await?,
            _ => reply.say("The sub-agent is done.", None).await?,
        }
        return reply.completed().await;
    }
    match reply.request.find_tool(&["Agent", "Task", "spawn_agent"]) {
        None => not_offered(reply, "sub-agent").await?,
        Some(tool) => {
            let arguments = if is_anthropic(reply) {
                json!({
                    "description": "A scripted errand", "subagent_type": "general-purpose", "prompt": prompt,
                    "run_in_background": late,
                })
            } else {
                json!({"message": prompt, "task_name": "errand"})
            };
            reply.call(&tool.name, tool.namespace, &arguments).await?;
        }
    }
    reply.completed().await
}

/// The arguments with which Codex's `wait_agent` waits for the sub-agent that this output names, if it names one.
fn waiting(output: &str) -> Option<Value> {
    let output: Value = serde_json::from_str(output).ok()?;
    let patience = 60_000;
    match output.get("agent_id") {
        Some(agent) => Some(json!({"targets": [agent], "timeout_ms": patience})),
        None => output
            .get("task_name")
            .map(|_| json!({"timeout_ms": patience})),
    }
}

pub(super) async fn bad_tool_json(reply: &mut Reply) -> Played {
    reply.created().await?;
    match output(reply) {
        None => match reply.request.find_tool(&SHELLS) {
            None => not_offered(reply, "shell").await?,
            Some(tool) => {
                let half = r#"{"command": "echo hi", "descr"#;
                reply.call_raw(&tool.name, tool.namespace, half).await?;
            }
        },
        Some(output) => quote(reply, "The tool said: ", &output, None).await?,
    }
    reply.completed().await
}

pub(super) async fn unknown_tool(reply: &mut Reply) -> Played {
    reply.created().await?;
    match output(reply) {
        None => reply.call("no_such_tool", None, &json!({"a": 1})).await?,
        Some(output) => quote(reply, "The tool said: ", &output, None).await?,
    }
    reply.completed().await
}

pub(super) async fn tool(reply: &mut Reply) -> Played {
    reply.created().await?;
    match output(reply) {
        None => {
            let command = command(reply, "nothing {}");
            let (name, arguments) = command.split_once(' ').unwrap_or((&command, "{}"));
            let offered = reply.request.find_tool(&[name]);
            if offered.is_some_and(|tool| tool.freeform) {
                reply.call_freeform(name, arguments).await?;
            } else {
                let arguments: Value =
                    serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
                use_tool(reply, name, &arguments).await?;
            }
        }
        Some(output) => quote(reply, "The tool said: ", &output, None).await?,
    }
    reply.completed().await
}

pub(super) async fn calls(reply: &mut Reply) -> Played {
    reply.created().await?;
    match output(reply) {
        None => {
            let command = command(reply, "[]");
            let calls: Vec<(String, Value)> = serde_json::from_str(&command).unwrap_or_default();
            for (name, arguments) in calls {
                use_tool(reply, &name, &arguments).await?;
            }
        }
        Some(output) => quote(reply, "The tools said: ", &output, None).await?,
    }
    reply.completed().await
}

pub(super) async fn tools_list(reply: &mut Reply) -> Played {
    reply.created().await?;
    let labels = json!(labels(reply)).to_string();
    reply.text([labels], Duration::ZERO, None).await?;
    reply.completed().await
}

pub(super) async fn web_search(reply: &mut Reply) -> Played {
    reply.created().await?;
    if is_anthropic(reply) {
        not_offered(reply, "hosted search").await?;
        return reply.completed().await;
    }
    let action = json!({"type": "search", "query": "scripted weather"});
    let id = reply
        .said_call("web_search", None, &action.to_string())
        .replace("call_", "ws_");
    let opened = json!({"id": id, "type": "web_search_call", "status": "in_progress"});
    let fields = json!({"output_index": 0, "item": opened});
    openai::event(reply, "response.output_item.added", fields).await?;
    let done =
        json!({"id": id, "type": "web_search_call", "status": "completed", "action": action});
    openai::done(reply, done).await?;
    reply.say("It is sunny in the script.", None).await?;
    reply.completed().await
}
