//! Recorded requests, and wrong ones.

use agent_core::{
    AgentKind, AnswerStatus, AnswerValue, ApiFormat, AttachmentState, McpTransport, PromptPart,
    SubtaskId, TaskId, Turn,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use wegent_protocol::{Dispatch, Refused, Work, decode};

use crate::support::{fixture, fixture_json};

const REQUESTS: [&str; 9] = [
    "codex",
    "codex-live-first",
    "codex-live-followup",
    "codex-live-new-container",
    "claudecode",
    "claudecode-live-first",
    "claudecode-live-followup",
    "claudecode-live-repository",
    "validation",
];

fn request(name: &str) -> Dispatch {
    decode(&fixture(&format!("requests/{name}.json")))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn decoded(body: &Value) -> Dispatch {
    decode(body.to_string().as_bytes()).unwrap()
}

fn turn(dispatch: Dispatch) -> Turn {
    match dispatch.work {
        Work::Turn(turn) => *turn,
        other => panic!("expected a turn, got {other:?}"),
    }
}

/// The smallest request that is one, with `change` applied.
fn smallest(change: impl FnOnce(&mut Value)) -> Value {
    let mut body = json!({
        "input": "hello",
        "metadata": {"task_id": 1, "subtask_id": 2, "bot": [{"name": "b", "shell_type": "Codex"}]},
    });
    change(&mut body);
    body
}

fn exposed(secret: &Option<SecretString>) -> Option<&str> {
    secret.as_ref().map(ExposeSecret::expose_secret)
}

#[test]
fn every_recorded_request_decodes() {
    for name in REQUESTS {
        let dispatch = request(name);
        let agent = dispatch.turn().map(|turn| turn.agent);
        let expected = match name.split('-').next() {
            Some("codex") => Some(AgentKind::Codex),
            Some("claudecode") => Some(AgentKind::ClaudeCode),
            _ => None,
        };
        assert_eq!(agent, expected, "{name}");
        assert!(dispatch.background, "{name}");
        assert!(dispatch.envelope.executor_name.is_some(), "{name}");
    }
}

#[test]
fn a_live_request_becomes_a_turn() {
    let dispatch = request("codex-live-first");
    assert_eq!(dispatch.key.to_string(), "1-2");
    assert_eq!(
        serde_json::to_value(&dispatch.envelope).unwrap(),
        json!({
            "message_id": 2,
            "executor_name": "wegent-task-admin-bea1c5e8068521b",
            "executor_namespace": "",
            "model": "gpt-5-codex",
            "bot_id": "54",
            "bot_name": "e2e-bot",
            "shell_type": "Codex",
        })
    );
    let turn = turn(dispatch);
    assert_eq!(turn.prompt.joined_text(), "Please answer. E2E-SAY:alpha");
    assert!(
        turn.instructions
            .as_deref()
            .unwrap()
            .contains("end-to-end check")
    );
    assert_eq!(turn.model.model_id.as_deref(), Some("gpt-5-codex"));
    assert_eq!(turn.model.family.as_deref(), Some("openai"));
    assert_eq!(exposed(&turn.model.api_key), Some("<key>"));
    assert_eq!(
        turn.model.base_url.as_deref(),
        Some("http://llm.example:8080/v1")
    );
    assert_eq!(turn.model.api_format, Some(ApiFormat::Responses));
    assert!(!turn.model.use_own_login);
    assert_eq!(turn.model.headers.len(), 3);
    assert_eq!(turn.model.headers["user"].expose_secret(), "admin");
    assert_eq!(turn.bot().id.as_deref(), Some("54"));
    assert_eq!(turn.bot().role.as_deref(), Some("leader"));
    assert_eq!(turn.git, None, "an empty git_url is no repository");
    assert_eq!(turn.skills.offered, ["subscription-manager"]);
    assert!(turn.skills.required.is_empty());
    let [of_skill] = turn.mcp_servers.as_slice() else {
        panic!("{:?}", turn.mcp_servers)
    };
    assert_eq!(of_skill.name, "subscription-manager_wegent-subscription");
    assert_eq!(of_skill.tool_timeout_seconds, Some(60.0));
    assert_eq!(turn.identity.user_name.as_deref(), Some("admin"));
    assert_eq!(exposed(&turn.identity.auth_token), Some("<jwt>"));
    assert!(!turn.new_session);
    assert_eq!(turn.variables.0["backend_url"], "http://backend:8000");
}

#[test]
fn a_picture_and_an_inherited_conversation_arrive() {
    let turn = turn(request("codex"));
    assert_eq!(
        turn.prompt.0,
        [
            PromptPart::Text("What is on this picture? Then fix the css.".into()),
            PromptPart::Image {
                url: "data:image/png;base64,iVBORw0KGgo=".into()
            },
        ]
    );
    let [inherited] = turn.inherited_sessions.as_slice() else {
        panic!("{:?}", turn.inherited_sessions)
    };
    assert_eq!(inherited.agent, AgentKind::Codex);
    assert_eq!(
        inherited.session.as_str(),
        "0198f1aa-1111-7abc-8def-001122334455"
    );
    assert_eq!(inherited.bot.as_deref(), Some("44"));
    assert_eq!(turn.model.context_window, Some(400_000));
    let [docs] = turn.mcp_servers.as_slice() else {
        panic!("{:?}", turn.mcp_servers)
    };
    let McpTransport::Http { url, headers } = &docs.transport else {
        panic!("{docs:?}")
    };
    assert_eq!(
        (docs.name.as_str(), url.as_str()),
        ("docs", "https://mcp.example.com/docs")
    );
    assert_eq!(headers["X-Task"].expose_secret(), "${{task_id}}");
    let git = turn.git.unwrap();
    assert_eq!(
        (git.url.as_str(), git.branch.as_deref()),
        ("https://gitlab.example.com/group/shop.git", Some("main"))
    );
}

#[test]
fn servers_of_the_bot_and_of_the_request_are_merged() {
    let turn = turn(request("claudecode"));
    let names: Vec<&str> = turn
        .mcp_servers
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "interactive_wegent-interactive-form-question",
            "tickets",
            "wegent-system"
        ]
    );
    assert_eq!(turn.mcp_servers[0].tool_timeout_seconds, Some(300.0));
    // An empty URL and `streamable-http` don't make it a server over HTTP: it has a command.
    let McpTransport::Stdio { command, args, env } = &turn.mcp_servers[1].transport else {
        panic!()
    };
    assert_eq!(
        (command.as_str(), args.join(" ").as_str()),
        ("npx", "-y tickets-mcp")
    );
    assert_eq!(env["TICKETS_TOKEN"].expose_secret(), "${{user.git_token}}");
    let McpTransport::Http { headers, .. } = &turn.mcp_servers[2].transport else {
        panic!()
    };
    assert_eq!(headers["Authorization"].expose_secret(), "Bearer eyJ0YXNr");
    assert_eq!(turn.skills.offered, ["code-review", "wegent-knowledge"]);
    assert_eq!(turn.skills.required, ["wegent-knowledge"]);
    assert_eq!(turn.attachments[0].id, 301);
    assert_eq!(turn.attachments[0].filename, "spec.pdf");
}

#[test]
fn an_attachment_says_where_it_belongs_and_how_far_it_has_come() {
    let body = smallest(|body| {
        body["metadata"]["user_subtask_id"] = json!("41");
        body["metadata"]["attachments"] = json!([
            {"id": 1, "original_filename": "a.txt", "mime_type": "text/plain", "file_size": 5, "subtask_id": 40},
            {"id": "2", "status": "success", "local_path": "/workspace/7/b", "error": null},
            {"id": 3, "status": "failed", "error": "HTTP 404"},
            {"id": 4, "status": "failed"},
        ]);
    });
    let attachments = turn(decoded(&body)).attachments;
    let first = &attachments[0];
    assert_eq!((first.subtask, first.size), (SubtaskId(40), Some(5)));
    assert_eq!(first.mime_type.as_deref(), Some("text/plain"));
    assert_eq!(attachments[1].subtask, SubtaskId(41));
    let states: Vec<_> = attachments.into_iter().map(|file| file.state).collect();
    assert_eq!(
        states,
        [
            AttachmentState::Wanted,
            AttachmentState::Local("/workspace/7/b".into()),
            AttachmentState::Failed("HTTP 404".to_owned()),
            AttachmentState::Failed("unknown error".to_owned()),
        ]
    );
}

#[test]
fn what_is_known_of_a_skill_comes_from_the_closest_reference() {
    let hash = format!("sha256:{}", "a".repeat(64));
    let body = smallest(|body| {
        let metadata = &mut body["metadata"];
        metadata["team_namespace"] = json!("team");
        metadata["skill_names"] = json!(["a", "b", "c", "d"]);
        metadata["required_skills"] = json!(["d"]);
        metadata["preload_skill_refs"] = json!({"a": {"skill_id": 1, "content_hash": hash}});
        metadata["skill_refs"] =
            json!({"a": {"skill_id": 2}, "b": {"skill_id": "3", "namespace": "n"}, "d": null});
        metadata["bot"][0]["skill_refs"] = json!({"b": {"skill_id": 4}});
        metadata["skill_configs"] =
            json!([{"name": "b", "skill_id": 5}, {"name": "c", "skill_id": 6}, {}]);
    });
    let skills = turn(decoded(&body)).skills;
    assert_eq!(skills.required, ["d"]);
    assert_eq!(skills.namespace.as_deref(), Some("team"));
    let ids: Vec<_> = skills
        .known
        .iter()
        .map(|(name, skill)| (name.as_str(), skill.id.as_str()))
        .collect();
    assert_eq!(ids, [("a", "1"), ("b", "3"), ("c", "6")]);
    assert_eq!(skills.known["a"].hash.as_ref().unwrap().to_string(), hash);
    assert_eq!(skills.known["b"].namespace.as_deref(), Some("n"));
}

#[test]
fn a_server_of_the_request_keeps_what_it_lacks_from_the_bots() {
    let body = smallest(|body| {
        body["metadata"]["bot"][0]["mcp_servers"] = json!({
            "mcpServers": {
                "docs": {"type": "http", "base_url": "http://old", "headers": {"X-A": 1}, "timeout": 60_000},
                "nameless-transport": {"type": "http"},
                "plain": {"url": "http://plain", "timeoutSeconds": "5", "timeout": 7},
            },
        });
        body["tools"] = json!([
            {"type": "mcp", "server_label": "docs", "server_url": "http://new"},
            {"type": "function", "name": "ignored"},
            {"type": "mcp", "server_url": "http://without-a-name"},
        ]);
    });
    let servers = turn(decoded(&body)).mcp_servers;
    assert_eq!(servers.len(), 2);
    let McpTransport::Http { url, headers } = &servers[0].transport else {
        panic!()
    };
    assert_eq!(
        (url.as_str(), headers["X-A"].expose_secret()),
        ("http://new", "1")
    );
    assert_eq!(servers[0].tool_timeout_seconds, Some(60.0));
    assert_eq!(servers[1].tool_timeout_seconds, Some(5.0));
}

#[test]
fn the_innermost_servers_count_and_camel_case_goes_first() {
    let server = |name: &str| json!({name: {"url": "http://x"}});
    for (of_bot, expected) in [
        (json!({"mcp_servers": server("plain")}), "plain"),
        (
            json!({"mcp_servers": server("snake"), "mcpServers": server("camel")}),
            "camel",
        ),
        (
            json!({"mcp_servers": {"mcpServers": server("inner")}, "mcpServers": server("outer")}),
            "inner",
        ),
        (
            json!({"mcpServers": {"mcp_servers": server("a"), "mcpServers": server("b"), "c": {"url": "x"}}}),
            "b",
        ),
        (
            json!({"mcpServers": {"mcpServers": {}}, "mcp_servers": server("not-empty")}),
            "not-empty",
        ),
        (
            json!({"mcpServers": {"mcpServers": {"mcp_servers": server("deep")}}}),
            "deep",
        ),
    ] {
        let body = smallest(|body| {
            for (key, value) in of_bot.as_object().unwrap() {
                body["metadata"]["bot"][0][key] = value.clone();
            }
        });
        let servers = turn(decoded(&body)).mcp_servers;
        let names: Vec<_> = servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, [expected], "{of_bot}");
    }
}

#[test]
fn servers_nested_without_end_are_an_error_and_no_crash() {
    let deep = format!(
        "{}{{}}{}",
        r#"{"mcpServers":"#.repeat(5000),
        "}".repeat(5000)
    );
    let body = format!(r#"{{"metadata":{{"bot":{{"mcp_servers":{deep}}}}}}}"#);
    let error = wegent_protocol::decode(body.as_bytes()).err().unwrap();
    assert!(error.to_string().contains("recursion limit"), "{error}");
}

#[test]
fn skills_bring_servers_for_codex_and_not_for_claude_code() {
    let names = |shell: &str| {
        let body = smallest(|body| {
            body["metadata"]["bot"][0]["shell_type"] = json!(shell);
            body["metadata"]["skill_configs"] = json!([
                {"name": "forms", "mcpServers": {"forms": {"url": "http://a"}, "ask": {"command": "b"}}},
                {"name": "none"}, {"mcpServers": {"nameless": {"url": "http://c"}}},
            ]);
        });
        let servers = turn(decoded(&body)).mcp_servers.into_iter();
        servers.map(|server| server.name).collect::<Vec<_>>()
    };
    assert_eq!(names("Codex"), ["forms_ask", "forms"]);
    assert_eq!(names("ClaudeCode"), [""; 0]);
}

#[test]
fn other_bots_lend_servers_and_skills_only_in_coordinate_mode() {
    let body = |mode: &str| {
        smallest(|body| {
            body["metadata"]["mode"] = json!(mode);
            body["metadata"]["bot"] = json!([
                {"shell_type": "CodeX", "skills": ["a"], "system_prompt": "first"},
                {"shell_type": "CodeX", "skills": ["b"], "mcp_servers": [{"name": "m", "command": "x"}]},
            ]);
        })
    };
    let solo = turn(decoded(&body("solo")));
    assert_eq!(
        (
            solo.skills.offered.len(),
            solo.mcp_servers.len(),
            solo.bots.len()
        ),
        (1, 0, 2)
    );
    assert_eq!(solo.instructions.as_deref(), Some("first"));
    let coordinate = turn(decoded(&body("coordinate")));
    assert_eq!(
        (
            coordinate.skills.offered.len(),
            coordinate.mcp_servers.len()
        ),
        (2, 1)
    );
}

#[test]
fn a_validation_needs_no_shell() {
    let dispatch = request("validation");
    let Work::Validation(asked) = &dispatch.work else {
        panic!("{dispatch:?}")
    };
    assert_eq!(asked.agent, AgentKind::ClaudeCode);
    assert_eq!(asked.shell_type, "ClaudeCode");
    assert_eq!(asked.image, "registry.example.com/py312:1");
    let other = |change: &dyn Fn(&mut Value)| {
        let mut body = fixture_json("requests/validation.json");
        change(&mut body["metadata"]["validation_params"]);
        decoded(&body).work
    };
    let unknown = other(&|params| params["shell_type"] = json!("Agno"));
    assert!(matches!(unknown, Work::UnknownAgent(_)), "{unknown:?}");
    let missing = other(&|params| params["shell_type"] = Value::Null);
    assert!(
        matches!(missing, Work::Refused(Refused::NoShell)),
        "{missing:?}"
    );
    assert_eq!(
        dispatch.envelope.validation_id.as_deref(),
        Some("6f9b4e7a-8f52-4e0e-9f0f-0d8b1b7c2a11")
    );
    assert_eq!(
        dispatch.callback_url.as_deref(),
        Some("http://executor_manager:8001/executor-manager/callback")
    );
}

#[test]
fn a_shell_that_nobody_runs_is_accepted_to_be_refused_by_an_event() {
    for (shell, message) in [
        (json!("Agno"), "unsupported agent kind `Agno`"),
        (json!(" dify "), "unsupported agent kind `dify`"),
        (Value::Null, "unsupported agent kind ``"),
    ] {
        let dispatch = decoded(&smallest(|body| {
            body["metadata"]["bot"][0]["shell_type"] = shell
        }));
        let Work::UnknownAgent(unknown) = dispatch.work else {
            panic!("{:?}", dispatch.work)
        };
        assert_eq!(unknown.to_string(), message);
    }
}

#[test]
fn ids_and_scalars_come_in_either_form() {
    let dispatch = decoded(&smallest(|body| {
        body["metadata"]["task_id"] = json!("12");
        body["metadata"]["bot"] = json!({"id": "bot-7", "shell_type": "CODEX", "cwd": "/srv/x"});
        body["model_config"] = json!({
            "context_window": "1000",
            "reasoning": "high",
            "web_search": true,
            "default_headers": null,
            "protocol": "openai-responses",
            "runtime_config": {"codex": {"use_user_config": true}},
        });
    }));
    assert_eq!(dispatch.key.to_string(), "12-2");
    assert!(!dispatch.background);
    let turn = turn(dispatch);
    assert_eq!(turn.bot().id.as_deref(), Some("bot-7"));
    assert_eq!(turn.bot().cwd.as_deref(), Some("/srv/x".as_ref()));
    assert_eq!(turn.model.context_window, Some(1000));
    assert_eq!(turn.model.reasoning_effort.as_deref(), Some("high"));
    assert_eq!(turn.model.web_search.as_deref(), Some("live"));
    assert_eq!(turn.model.api_format, Some(ApiFormat::Responses));
    assert!(turn.model.use_own_login);
}

#[test]
fn structured_reasoning_has_effort_and_summary() {
    let turn = turn(decoded(&smallest(|body| {
        body["model_config"] =
            json!({"reasoning": {"effort": "low", "summary": "auto", "more": [1]}});
    })));
    assert_eq!(turn.model.reasoning_effort.as_deref(), Some("low"));
    assert_eq!(turn.model.reasoning_summary.as_deref(), Some("auto"));
}

#[test]
fn of_messages_the_last_one_of_the_user_is_the_prompt() {
    let turn = turn(decoded(&smallest(|body| {
        body["input"] = json!([
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "yes?"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "second"}]},
            {"role": "assistant", "content": "…"},
        ]);
    })));
    assert_eq!(turn.prompt.joined_text(), "second");
}

#[test]
fn what_the_person_filled_in_arrives() {
    let answered = |answer: Value| {
        let body = smallest(|body| body["metadata"]["interactive_form_answer"] = answer);
        turn(decoded(&body)).answer
    };
    let answer = answered(json!({
        "type": "interactive_form_question", "tool_use_id": "toolu_1", "task_id": 1, "subtask_id": "9",
        "answers": {"where": "here", "langs": ["en", "fr"], "count": 3, "empty": null},
        "success": true, "status": "answered",
    }))
    .unwrap();
    assert_eq!(answer.call.as_str(), "toolu_1");
    assert_eq!(
        (answer.task, answer.subtask),
        (Some(TaskId(1)), Some(SubtaskId(9)))
    );
    assert_eq!(answer.status, AnswerStatus::Answered);
    let ids: Vec<&str> = answer.answers.keys().map(String::as_str).collect();
    assert_eq!(ids, ["count", "langs", "where"]);
    assert_eq!(answer.answers["count"], AnswerValue::One("3".into()));
    assert_eq!(answer.chosen("langs"), ["en", "fr"]);
    assert!(answer.chosen("empty").is_empty());

    let cancelled = answered(json!({
        "tool_use_id": "toolu_1", "answers": {"where": "x"}, "status": "cancelled", "message": "do it yourself",
    }))
    .unwrap();
    assert_eq!(cancelled.status, AnswerStatus::Cancelled);
    assert_eq!(cancelled.kind, "interactive_form_question");
    assert_eq!(cancelled.message.as_deref(), Some("do it yourself"));
    assert!(cancelled.chosen("where").is_empty());

    let unsuccessful = answered(json!({"tool_use_id": "t", "success": false})).unwrap();
    assert_eq!(unsuccessful.status, AnswerStatus::Cancelled);
    assert_eq!(answered(Value::Null), None);
}

#[test]
fn the_schema_of_the_answer_and_picked_skills_are_the_turns() {
    let schema = json!({"type": "object", "properties": {}});
    let asked = turn(decoded(&smallest(|body| {
        body["text"] =
            json!({"format": {"type": "json_schema", "name": "answer", "schema": schema}});
        body["metadata"]["user_selected_skills"] = json!(["review", " "]);
    })));
    assert_eq!(asked.options.output_schema, Some(schema));
    assert_eq!(asked.skills.selected, ["review"]);
    for plain in [json!(null), json!({}), json!({"format": {"type": "text"}})] {
        let asked = turn(decoded(&smallest(|body| body["text"] = plain)));
        assert_eq!(asked.options.output_schema, None);
    }
}

#[test]
fn wrong_answers_are_refused_by_the_path_of_the_field() {
    let field = "metadata.interactive_form_answer";
    for (answer, expected) in [
        (
            json!("yes"),
            format!("{field}: expected an object, got a string"),
        ),
        (json!({}), format!("{field}.tool_use_id: missing")),
        (
            json!({"tool_use_id": " "}),
            format!("{field}.tool_use_id: missing"),
        ),
        (
            json!({"tool_use_id": 7}),
            format!("{field}.tool_use_id: expected a string, got a number"),
        ),
        (
            json!({"tool_use_id": "t", "answers": ["a"]}),
            format!("{field}.answers: expected an object, got an array"),
        ),
        (
            json!({"tool_use_id": "t", "answers": {"a": {"b": 1}}}),
            format!(
                "{field}.answers.a: expected a string, a number, a boolean or an array of them, got an object"
            ),
        ),
        (
            json!({"tool_use_id": "t", "status": "maybe"}),
            format!("{field}.status: expected `answered` or `cancelled`"),
        ),
    ] {
        let body = smallest(|body| body["metadata"]["interactive_form_answer"] = answer);
        let error = decode(body.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn wrong_requests_are_refused_by_the_path_of_the_field() {
    let format = |format: Value| smallest(|body| body["text"] = json!({ "format": format }));
    let cases: [(Value, &str); 22] = [
        (
            format(json!({"type": "json_object"})),
            "text.format.type: expected `text` or `json_schema`, got \"json_object\"",
        ),
        (
            format(json!({"type": "json_schema"})),
            "text.format.schema: missing",
        ),
        (
            format(json!({"type": "json_schema", "schema": "string"})),
            "text.format.schema: expected an object, got a string",
        ),
        (json!([1]), "body is not an object but an array"),
        (json!({}), "metadata: missing"),
        (
            json!({"metadata": "x"}),
            "metadata: expected an object, got a string",
        ),
        (
            json!({"metadata": {"subtask_id": 1}}),
            "metadata.task_id: missing",
        ),
        (
            json!({"metadata": {"task_id": 1, "subtask_id": null}}),
            "metadata.subtask_id: missing",
        ),
        (
            json!({"metadata": {"task_id": "abc"}}),
            "metadata.task_id: expected an integer or a string of digits, got \"abc\"",
        ),
        (
            json!({"metadata": {"task_id": ""}}),
            "metadata.task_id: expected an integer or a string of digits, got \"\"",
        ),
        (
            json!({"metadata": {"task_id": 1.5}}),
            "metadata.task_id: expected an integer or a string of digits, got 1.5",
        ),
        (
            json!({"metadata": {"task_id": 1, "subtask_id": [2]}}),
            "metadata.subtask_id: expected an integer or a string of digits, got an array",
        ),
        (
            json!({"input": "x", "metadata": {"task_id": 1, "subtask_id": 2}}),
            "metadata.bot: missing",
        ),
        (
            json!({"input": "x", "metadata": {"task_id": 1, "subtask_id": 2, "bot": []}}),
            "metadata.bot: empty",
        ),
        (
            smallest(|body| {
                body["metadata"]["bot"] = json!([{"shell_type": "Codex", "skills": ["a", 5]}])
            }),
            "metadata.bot[0].skills[1]: expected a string, got a number",
        ),
        (
            smallest(|body| body["input"] = Value::Null),
            "input: missing",
        ),
        (smallest(|body| body["input"] = json!([])), "input: empty"),
        (
            smallest(|body| {
                body["input"] =
                    json!([{"type": "input_text", "text": "a"}, {"type": "input_audio"}])
            }),
            "input[1].type: expected `input_text` or `input_image`, got \"input_audio\"",
        ),
        (
            smallest(|body| body["input"] = json!([{"role": "system", "content": "x"}])),
            "input: has no message with the role `user`",
        ),
        (
            smallest(|body| {
                body["model_config"] = json!({"default_headers": "Authorization: sk-secret"})
            }),
            "model_config.default_headers: expected an object, got a string",
        ),
        (
            smallest(|body| body["tools"] = json!([{"type": "mcp", "args": [["sk-secret"]]}])),
            "tools[0].args[0]: expected a string, a number or a boolean, got an array",
        ),
        (
            smallest(|body| body["metadata"]["attachments"] = json!([{"original_filename": "x"}])),
            "metadata.attachments[0].id: missing",
        ),
    ];
    for (body, message) in cases {
        let refused = decode(body.to_string().as_bytes()).expect_err(message);
        assert_eq!(refused.to_string(), message);
    }
    assert_eq!(
        decode(b"{\"a\":\n nope}").unwrap_err().to_string(),
        "body is not JSON: expected ident at line 2 column 3"
    );
    assert!(decode(&[0xff, 0xfe]).is_err());
}

#[test]
fn the_secrets_of_a_request_are_named() {
    let dispatch = request("claudecode");
    let mut secrets: Vec<&str> = dispatch
        .secrets()
        .map(ExposeSecret::expose_secret)
        .collect();
    secrets.sort_unstable();
    assert_eq!(
        secrets,
        [
            "Bearer eyJ0YXNr",
            "FcOsMvQ5iPbrbd92nF4lJXezlFfHKEGK50OvgjVTY48=",
            "eyJ0YXNr",
            "eyJhbGciOiJIUzI1NiJ9.eyJ0YXNrX2lkIjo0NzExfQ.sig",
            "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjo3fQ.sig",
            "sk-plain",
            "stored-or-plain-key",
        ]
    );
    let printed = format!("{dispatch:?}");
    for secret in secrets {
        assert!(!printed.contains(secret), "{secret} is in {printed}");
    }
}

#[test]
fn a_repeat_has_the_same_fingerprint_and_a_retry_has_another() {
    let first = request("codex-live-first").fingerprint;
    let mut body = fixture_json("requests/codex-live-first.json");
    body["metadata"]["executor_name"] = json!("another-container");
    body["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("executor_namespace");
    assert_eq!(decoded(&body).fingerprint, first);
    body["metadata"]["auth_token"] = json!("renewed");
    assert_ne!(decoded(&body).fingerprint, first);
    assert_ne!(request("codex-live-followup").fingerprint, first);
}
