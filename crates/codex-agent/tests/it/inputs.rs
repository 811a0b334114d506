//! What a turn brings beside its text, as the real CLI passes it on: images, picked skills, a schema for the answer.

use std::{fs, path::PathBuf};

use agent_core::{Agent, ErrorClass, Outcome, Prompt, PromptPart, Turn};
use serde_json::{Value, json};
use testkit::{
    ModelServer,
    model::{Options, SeenRequest},
};

use crate::stage::{Stage, turn};

/// A PNG of two by two pixels.
const DOT: &[u8] = b"\
    \x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x02\x00\x00\
    \x00\x02\x08\x02\x00\x00\x00\xfd\xd4\x9a\x73\x00\x00\x00\x11\x49\x44\x41\x54\x78\x9c\x63\
    \xf8\xcf\xc0\xc0\xf0\x1f\x8c\x80\x18\x00\x1d\xf0\x03\xfd\xd3\xd0\x7d\x26\x00\x00\x00\x00\
    \x49\x45\x4e\x44\xae\x42\x60\x82";
/// The same as an address.
const DOT_URL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEUlEQVR4nGP4z8DA8B+MgBgAHfAD/dPQfSYAAAAASUVORK5CYII=";

async fn scene(test: &str) -> Option<(Stage, ModelServer)> {
    let codex = testkit::cli::require_codex(test)?;
    let model = ModelServer::start(Options::default()).await.unwrap();
    Some((Stage::new(&codex, |_| {}), model))
}

/// Runs a turn that completes, and gives what the model was asked first.
async fn asked(stage: &Stage, model: &ModelServer, turn: &Turn) -> SeenRequest {
    model.forget();
    let (_, result) = stage.run(turn).await;
    assert!(matches!(result, Ok(Outcome::Completed(_))), "{result:?}");
    model.requests().remove(0)
}

/// The addresses of all images in a request.
fn images(request: &SeenRequest) -> Vec<&str> {
    let items = request.body["input"].as_array().unwrap().iter();
    let parts = items
        .filter_map(|item| item["content"].as_array())
        .flatten();
    let images = parts.filter(|part| part["type"] == "input_image");
    images
        .filter_map(|part| part["image_url"].as_str())
        .collect()
}

#[tokio::test]
async fn images_reach_the_model_from_files_and_as_data() {
    let test = "images_reach_the_model_from_files_and_as_data";
    let Some((stage, model)) = scene(test).await else {
        return;
    };
    let file = stage.workspace.cwd.join("dot.png");
    fs::write(&file, DOT).unwrap();
    let mut turn = turn("", Some(model.base_url()));
    let image = |url: &str| PromptPart::Image { url: url.into() };
    turn.prompt = Prompt(vec![
        PromptPart::Text("Look. #script:text".into()),
        PromptPart::LocalImage { path: file },
        image(DOT_URL),
    ]);
    let request = asked(&stage, &model, &turn).await;
    assert_eq!(images(&request), [DOT_URL, DOT_URL]);
    // A file that has gone meanwhile costs the image, and the model is told.
    turn.prompt = Prompt(vec![
        PromptPart::Text("Look again. #script:text\n".into()),
        PromptPart::LocalImage {
            path: "/nowhere/gone.png".into(),
        },
    ]);
    turn.new_session = true;
    let request = asked(&stage, &model, &turn).await;
    assert!(images(&request).is_empty());
    assert!(
        request.body["input"]
            .to_string()
            .contains("/nowhere/gone.png")
    );
}

#[tokio::test]
async fn an_image_that_would_have_to_be_fetched_is_refused() {
    let test = "an_image_that_would_have_to_be_fetched_is_refused";
    let Some((stage, model)) = scene(test).await else {
        return;
    };
    let mut turn = turn("Look. #script:text", Some(model.base_url()));
    turn.prompt.0.push(PromptPart::Image {
        url: "https://images.example/far.png".into(),
    });
    let (_, result) = stage.run(&turn).await;
    let error = result.unwrap_err();
    assert_eq!(error.class(), ErrorClass::InvalidRequest, "{error}");
    assert!(error.to_string().contains("image_url"), "{error}");
    assert!(model.requests().is_empty());
}

/// Puts a skill where the agent looks for the task's.
fn keep_skill(stage: &Stage, turn: &Turn, name: &str, instructions: &str) -> PathBuf {
    let folder = stage
        .agent
        .skills_folder(turn.key.task, &stage.workspace.state)
        .path;
    let file = folder.join(name).join("SKILL.md");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let text =
        format!("---\nname: {name}\ndescription: Knows about animals\n---\n{instructions}\n");
    fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn the_instructions_of_a_picked_skill_are_in_the_conversation_at_once() {
    let test = "the_instructions_of_a_picked_skill_are_in_the_conversation_at_once";
    let Some((stage, model)) = scene(test).await else {
        return;
    };
    let mut turn = turn("Go. #script:text", Some(model.base_url()));
    keep_skill(&stage, &turn, "zebras", "Count the stripes.");
    keep_skill(&stage, &turn, "walruses", "Count the tusks.");
    let offered = ["zebras", "walruses", "missing"];
    turn.skills.offered = offered.map(str::to_owned).into();
    // What could not be had, and what is not the turn's, is no reason to fail.
    turn.skills.selected = ["zebras", "missing", "../zebras"].map(str::to_owned).into();
    let request = asked(&stage, &model, &turn).await;
    let input = request.body["input"].to_string();
    assert!(input.contains("Count the stripes."), "{input}");
    assert!(!input.contains("Count the tusks."), "{input}");
    assert_eq!(request.user_texts(), ["Go. #script:text"]);
}

#[tokio::test]
async fn an_answer_by_a_schema_is_asked_for_in_the_turn_that_wants_it() {
    let test = "an_answer_by_a_schema_is_asked_for_in_the_turn_that_wants_it";
    let Some((stage, model)) = scene(test).await else {
        return;
    };
    let schema = json!({
        "type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"],
        "additionalProperties": false,
    });
    let mut turn = turn("Go. #script:text", Some(model.base_url()));
    turn.options.output_schema = Some(schema.clone());
    let request = asked(&stage, &model, &turn).await;
    let format = &request.body["text"]["format"];
    assert_eq!(
        (&format["type"], &format["schema"]),
        (&json!("json_schema"), &schema),
        "{format}"
    );
    turn.options.output_schema = None;
    let request = asked(&stage, &model, &turn).await;
    assert_eq!(request.body["text"]["format"], Value::Null);
}
