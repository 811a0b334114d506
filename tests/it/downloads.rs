//! Attachments and skills: from Wegent's backend to the model, through both CLIs.

use serde_json::{Value, json};
use testkit::{
    backend::{Trouble, skill_archive},
    model::Options,
};
use wegent_executor_tests::{AUTH_TOKEN, TurnBody, World};

const TASK: i64 = 1;
const TURN: i64 = 2;

/// A PNG of two by two pixels.
const DOT: &[u8] = b"\
    \x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x02\x00\x00\
    \x00\x02\x08\x02\x00\x00\x00\xfd\xd4\x9a\x73\x00\x00\x00\x11\x49\x44\x41\x54\x78\x9c\x63\
    \xf8\xcf\xc0\xc0\xf0\x1f\x8c\x80\x18\x00\x1d\xf0\x03\xfd\xd3\xd0\x7d\x26\x00\x00\x00\x00\
    \x49\x45\x4e\x44\xae\x42\x60\x82";

type Request = fn(&World, i64, i64, &str) -> TurnBody;

async fn codex(test: &str) -> Option<(World, Request)> {
    Some((World::build(test).await?, World::turn as Request))
}

async fn claude(test: &str) -> Option<(World, Request)> {
    let world = World::with_claude(test, Options::default(), |_| {}).await?;
    Some((world, World::claude_turn as Request))
}

/// Everything that the model was sent.
fn sent(world: &World) -> String {
    let requests = world.model.requests();
    let bodies = requests.iter().map(|request| request.body.to_string());
    bodies.collect()
}

async fn completes(world: &World, turn: &TurnBody) {
    let view = world.run(turn).await;
    assert!(view.completed(), "{view:#?}\n{}", world.executor.log());
}

/// A text, an image and a file that the backend has not.
fn attachments() -> Value {
    json!([
        {"id": 1, "original_filename": "notes.txt", "mime_type": "text/plain", "subtask_id": 9},
        {"id": 2, "original_filename": "dot.png", "mime_type": "image/png", "subtask_id": 9},
        {"id": 3, "original_filename": "gone.pdf", "mime_type": "application/pdf", "subtask_id": 9},
    ])
}

/// Runs a turn with attachments and gives what the model was sent.
async fn with_attachments((world, request): (World, Request)) -> String {
    let files = world.backend.files();
    files.keep_attachment(1, "the first line of the notes\n");
    files.keep_attachment(2, DOT);
    let turn = request(&world, TASK, TURN, "Read [attachment:1]. #script:text")
        .with("attachments", attachments());
    completes(&world, &turn).await;
    let folder = world.workspace(TASK).join("1:executor:attachments/9");
    let notes = folder.join("notes.txt");
    assert!(notes.is_file() && folder.join("dot.png").is_file());
    let sent = sent(&world);
    let told = format!("Read [Attachment downloaded to: {}].", notes.display());
    assert!(sent.contains(&told), "{sent}");
    assert!(sent.contains("- gone.pdf (Error: HTTP 404"), "{sent}");
    let asked = world.backend.files().asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.token.as_deref() == Some(AUTH_TOKEN))
    );
    sent
}

#[tokio::test]
async fn codex_is_shown_what_a_person_attached() {
    let Some(scene) = codex("codex_is_shown_what_a_person_attached").await else {
        return;
    };
    let sent = with_attachments(scene).await;
    assert!(sent.contains("the first line of the notes"), "{sent}");
    assert!(sent.contains("data:image/png;base64,"), "{sent}");
}

#[tokio::test]
async fn claude_code_is_shown_what_a_person_attached() {
    let Some(scene) = claude("claude_code_is_shown_what_a_person_attached").await else {
        return;
    };
    let sent = with_attachments(scene).await;
    assert!(sent.contains("<attachment>"), "{sent}");
    assert!(sent.contains(r#""media_type":"image/png""#), "{sent}");
}

/// The request with these skills, whose ids are 1, 2, …
fn with_skills(turn: TurnBody, names: &[&str]) -> TurnBody {
    let refs = (1..).zip(names);
    let refs = refs.map(|(id, name)| ((*name).to_owned(), json!({"skill_id": id})));
    let refs: serde_json::Map<_, _> = refs.collect();
    turn.with("skill_names", json!(names))
        .with("skill_refs", Value::Object(refs))
        .with_bot("skills", json!([]))
        .with_bot("skill_refs", json!({}))
}

fn keep_skill(world: &World, id: &str, name: &str, description: &str) {
    let text = format!("---\nname: {name}\ndescription: {description}\n---\nDo it.\n");
    let archive = skill_archive(name, &[("SKILL.md", 0o644, &text)]);
    world.backend.files().keep_skill(id, name, archive);
}

/// A skill is offered to the model, and only that one; another one in the next turn, when the agent runs already.
async fn discovers_a_skill(world: &World, request: Request) {
    keep_skill(world, "1", "first-skill", "Knows about zebras");
    keep_skill(world, "2", "second-skill", "Knows about walruses");
    let turn = request(world, TASK, TURN, "Hello. #script:text");
    completes(world, &with_skills(turn, &["first-skill"])).await;
    let first = sent(world);
    assert!(first.contains("Knows about zebras"), "{first}");
    assert!(!first.contains("Knows about walruses"), "{first}");
    let turn = request(world, TASK, TURN + 1, "Again. #script:text");
    completes(world, &with_skills(turn, &["first-skill", "second-skill"])).await;
    let all = sent(world);
    assert!(all.contains("Knows about walruses"), "{all}");
}

/// A skill's script runs, with its executable bit, and what it says and how it ends is shown.
async fn runs_a_skills_script((world, request): (World, Request)) {
    let script = "#!/bin/sh\nfor line in one two; do echo $line; done\npwd > result.txt\nexit 3\n";
    let files = [
        (
            "SKILL.md",
            0o644,
            "---\nname: smoke\ndescription: Smokes\n---\nRun it.\n",
        ),
        ("bin/run.sh", 0o755, script),
    ];
    let archive = skill_archive("smoke", &files);
    world.backend.files().keep_skill("1", "smoke", archive);
    let command = "Run. #script:shell\n#cmd:\"$SKILLS_DIR/smoke/bin/run.sh\"";
    let turn = with_skills(request(&world, TASK, TURN, command), &["smoke"]);
    let view = world.run(&turn).await;
    let tool = view.tools().next().unwrap_or_else(|| panic!("{view:#?}"));
    let output = format!("{:?}", tool.output);
    assert!(output.contains("one\\ntwo"), "{output}");
    assert_eq!(tool.status, "error", "{tool:#?}");
    let result = std::fs::read_to_string(world.workspace(TASK).join("result.txt")).unwrap();
    assert_eq!(result.trim_end(), world.workspace(TASK).to_str().unwrap());
}

#[tokio::test]
async fn codex_runs_a_skills_script() {
    if let Some(scene) = codex("codex_runs_a_skills_script").await {
        runs_a_skills_script(scene).await;
    }
}

#[tokio::test]
async fn claude_code_runs_a_skills_script() {
    if let Some(scene) = claude("claude_code_runs_a_skills_script").await {
        runs_a_skills_script(scene).await;
    }
}

#[tokio::test]
async fn codex_has_the_instructions_of_a_picked_skill_at_once() {
    let test = "codex_has_the_instructions_of_a_picked_skill_at_once";
    let Some((world, request)) = codex(test).await else {
        return;
    };
    keep_skill(&world, "1", "first-skill", "Knows about zebras");
    let turn = request(&world, TASK, TURN, "Hello. #script:text")
        .with("user_selected_skills", json!(["first-skill"]));
    completes(&world, &with_skills(turn, &["first-skill"])).await;
    let sent = sent(&world);
    assert!(sent.contains("Do it."), "{sent}");
}

#[tokio::test]
async fn codex_discovers_a_skill_and_one_that_comes_with_the_next_turn() {
    let test = "codex_discovers_a_skill_and_one_that_comes_with_the_next_turn";
    if let Some((world, request)) = codex(test).await {
        discovers_a_skill(&world, request).await;
    }
}

#[tokio::test]
async fn claude_code_discovers_a_skill_and_one_that_comes_with_the_next_turn() {
    let test = "claude_code_discovers_a_skill_and_one_that_comes_with_the_next_turn";
    if let Some((world, request)) = claude(test).await {
        discovers_a_skill(&world, request).await;
    }
}

#[tokio::test]
async fn an_optional_skill_that_fails_is_told_of_without_token_and_address() {
    let test = "an_optional_skill_that_fails_is_told_of_without_token_and_address";
    let Some((world, request)) = codex(test).await else {
        return;
    };
    world.backend.files().trouble(Trouble::Status(403));
    let turn = request(&world, TASK, TURN, "Hello. #script:text");
    let view = world.run(&with_skills(turn, &["first-skill"])).await;
    assert!(view.completed(), "{view:#?}");
    let told = "Skills missing in this turn: `first-skill` (download failed: HTTP 403";
    assert!(view.text.contains(told), "{}", view.text);
    assert!(!view.text.contains(&world.backend.url()), "{}", view.text);
    assert!(!world.executor.log().contains(AUTH_TOKEN));
}

/// Nothing of it is outside of the skills' folder, and the turn goes on with the other one.
async fn survives_a_hostile_skill((world, request): (World, Request)) {
    let files = [("SKILL.md", 0o644, "x"), ("../../../escaped", 0o644, "x")];
    let archive = skill_archive("second-skill", &files);
    keep_skill(&world, "1", "first-skill", "Knows about zebras");
    world
        .backend
        .files()
        .keep_skill("2", "second-skill", archive);
    let turn = request(&world, TASK, TURN, "Hello. #script:text");
    let view = world
        .run(&with_skills(turn, &["first-skill", "second-skill"]))
        .await;
    assert!(view.completed(), "{view:#?}");
    assert!(
        view.text.contains("`second-skill` (its archive is refused"),
        "{}",
        view.text
    );
    assert!(
        view.text.contains("../../../escaped"),
        "the member is named: {}",
        view.text
    );
    assert!(sent(&world).contains("Knows about zebras"));
    for folder in world.workspace(TASK).ancestors().take(4) {
        assert!(!folder.join("escaped").exists(), "{}", folder.display());
    }
}

#[tokio::test]
async fn codex_survives_a_hostile_skill() {
    if let Some(scene) = codex("codex_survives_a_hostile_skill").await {
        survives_a_hostile_skill(scene).await;
    }
}

#[tokio::test]
async fn claude_code_survives_a_hostile_skill() {
    if let Some(scene) = claude("claude_code_survives_a_hostile_skill").await {
        survives_a_hostile_skill(scene).await;
    }
}

/// A required skill that can't be had ends the turn before the model is asked.
#[tokio::test]
async fn a_required_skill_that_fails_ends_the_turn() {
    let Some((world, request)) = codex("a_required_skill_that_fails_ends_the_turn").await else {
        return;
    };
    let turn = request(&world, TASK, TURN, "Hello. #script:text");
    let turn = with_skills(turn, &["first-skill"]).with("required_skills", json!(["first-skill"]));
    let view = world.run(&turn).await;
    let ended = format!("{:?}", view.terminal);
    let told = "skills: required Skill deployment failed: first-skill (download failed: HTTP 404";
    assert!(ended.contains(told), "{ended}");
    assert!(world.model.requests().is_empty());
}
