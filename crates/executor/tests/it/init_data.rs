//! What `init-data render` writes is what the backends of Wegent take, today's and that of January 2026.
//!
//! The types here are those backends' schemas as far as these documents use them, written down from running ones. Both
//! take a field that they don't know in silence, so a misspelt one would be lost: here it's an error.

use std::{collections::BTreeMap, fs, path::Path};

use executor::init_data::render;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields)]
enum Document {
    Shell(Resource<ShellSpec>),
    Model(Resource<ModelSpec>),
    Ghost(Resource<GhostSpec>),
    Bot(Resource<BotSpec>),
    Team(Resource<TeamSpec>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resource<S> {
    api_version: String,
    metadata: Metadata,
    spec: S,
    status: Status,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
    namespace: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    state: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ShellSpec {
    shell_type: String,
    support_model: Vec<String>,
    base_image: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ModelSpec {
    model_config: ModelConfig,
    protocol: String,
    api_format: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelConfig {
    env: ModelEnv,
}

/// `model` is the provider's word, by which a shell's `supportModel` chooses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they are there is what counts")]
struct ModelEnv {
    model: String,
    model_id: String,
    base_url: String,
    api_key: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GhostSpec {
    system_prompt: String,
    mcp_servers: BTreeMap<String, serde_yaml_ng::Value>,
    skills: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BotSpec {
    ghost_ref: Reference,
    shell_ref: Reference,
    model_ref: Reference,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    name: String,
    namespace: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they are there is what counts")]
struct TeamSpec {
    description: String,
    members: Vec<Member>,
    #[serde(rename = "collaborationModel")]
    collaboration_model: Mode,
    bind_mode: Vec<BindMode>,
    workflow: Workflow,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they are there is what counts")]
struct Member {
    role: String,
    #[serde(rename = "botRef")]
    bot_ref: Reference,
    prompt: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they are there is what counts")]
struct Workflow {
    mode: Mode,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Solo,
    Pipeline,
    Route,
    Coordinate,
    Collaborate,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BindMode {
    Chat,
    Code,
}

fn documents(folder: &Path, file: &str) -> Vec<Document> {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| {
            Document::deserialize(document).unwrap_or_else(|error| panic!("{file}: {error}"))
        })
        .collect()
}

fn rendered() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    render(&"reg:5000/executor:1".parse().unwrap(), folder.path()).unwrap();
    folder
}

fn sound<S>(resource: &Resource<S>) -> &Resource<S> {
    assert_eq!(resource.api_version, "agent.wecode.io/v1");
    assert_eq!(resource.metadata.namespace, "default");
    assert_eq!(resource.status.state, "Available");
    resource
}

#[test]
fn the_shell_is_one_that_a_container_runs() {
    let folder = rendered();
    let documents = documents(folder.path(), "90-codex-shell.yaml");
    let [Document::Shell(shell)] = &documents[..] else {
        panic!("{documents:?}");
    };
    let Resource { metadata, spec, .. } = sound(shell);
    assert_eq!(
        metadata.labels,
        BTreeMap::from([("type".to_owned(), "local_engine".to_owned())])
    );
    // Compared by case where images are validated.
    assert_eq!(
        (metadata.name.as_str(), spec.shell_type.as_str()),
        ("Codex", "Codex")
    );
    assert_eq!(spec.support_model, ["openai"]);
    assert_eq!(spec.base_image, "reg:5000/executor:1");
}

#[test]
fn the_example_hangs_together_and_its_model_is_one_for_the_shell() {
    let folder = rendered();
    let documents = documents(folder.path(), "91-codex-example.yaml");
    let [
        Document::Model(model),
        Document::Ghost(ghost),
        Document::Bot(bot),
        Document::Team(team),
    ] = &documents[..]
    else {
        panic!("{documents:?}");
    };
    let (model, ghost, bot, team) = (sound(model), sound(ghost), sound(bot), sound(team));
    assert_eq!(
        (model.spec.protocol.as_str(), model.spec.api_format.as_str()),
        ("openai", "responses")
    );
    assert_eq!(model.spec.model_config.env.model, "openai");
    let [member] = &team.spec.members[..] else {
        panic!("{team:?}");
    };
    for (reference, name) in [
        (&bot.spec.ghost_ref, ghost.metadata.name.as_str()),
        (&bot.spec.model_ref, &model.metadata.name),
        (&bot.spec.shell_ref, "Codex"),
        (&member.bot_ref, &bot.metadata.name),
    ] {
        assert_eq!(
            (reference.name.as_str(), reference.namespace.as_str()),
            (name, "default")
        );
    }
    assert!(!ghost.spec.system_prompt.is_empty() && ghost.spec.mcp_servers.is_empty());
    for skill in &ghost.spec.skills {
        assert!(
            folder
                .path()
                .join("skills")
                .join(skill)
                .join("SKILL.md")
                .is_file(),
            "{skill}"
        );
    }
}

/// The front matter of a `SKILL.md`, as the backend reads it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "that they are there is what counts")]
struct FrontMatter {
    description: String,
    display_name: String,
    version: String,
    author: String,
    tags: Vec<String>,
    bind_shells: Vec<String>,
}

#[test]
fn the_smoke_skill_is_for_both_shells_and_its_script_is_there() {
    let folder = rendered();
    let skill = folder.path().join("skills/executor_smoke");
    let text = fs::read_to_string(skill.join("SKILL.md")).unwrap();
    let front = text
        .strip_prefix("---\n")
        .and_then(|text| text.split_once("\n---\n"));
    let front: FrontMatter = serde_yaml_ng::from_str(front.unwrap().0).unwrap();
    assert_eq!(front.bind_shells, ["Codex", "ClaudeCode"]);
    assert!(text.contains("scripts/smoke.sh") && skill.join("scripts/smoke.sh").is_file());
}
