//! Attachments and skills that are fetched before their turn.

use std::fs;

use serde_json::{Value, json};
use testkit::backend::skill_archive;
use wegent_executor_tests::AUTH_TOKEN;

use super::{post, refusal, without_agents};

const ATTACHMENTS: &str =
    include_str!("../../../crates/wegent-protocol/fixtures/sync/attachments.json");
const SKILLS: &str = include_str!("../../../crates/wegent-protocol/fixtures/sync/skills.json");

#[tokio::test]
async fn attachments_are_fetched_ahead_and_a_missing_one_is_no_failure() {
    let world = without_agents(|_| {}).await;
    world.backend.files().keep_attachment(301, "a document");
    let mut body: Value = serde_json::from_str(ATTACHMENTS).unwrap();
    body["auth_token"] = json!(AUTH_TOKEN);
    let gone = json!({"id": 302, "original_filename": "gone.txt"});
    body["attachments"].as_array_mut().unwrap().push(gone);
    let answer = post(&world, "/v1/attachments/sync", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = answer.json();
    let path = world
        .workspace(4711)
        .join("4711:executor:attachments/9901/spec.pdf");
    assert_eq!(fs::read_to_string(&path).unwrap(), "a document");
    assert_eq!(
        told["attachments"][0],
        json!({"id": 301, "status": "success", "original_filename": "spec.pdf", "local_path": path,
               "mime_type": "application/pdf", "file_size": 10, "subtask_id": 9901})
    );
    let failed = &told["attachments"][1];
    assert_eq!(
        (&failed["id"], &failed["status"]),
        (&json!(302), &json!("failed"))
    );
    assert!(
        failed["error"].as_str().unwrap().contains("404"),
        "{failed}"
    );
    assert_eq!(
        (&told["success_count"], &told["failed_count"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&told["task_id"], &told["subtask_id"]),
        (&json!(4711), &json!(9902))
    );
}

#[tokio::test]
async fn skills_are_deployed_into_the_users_folder_and_a_required_one_must_be_there() {
    let world = without_agents(|_| {}).await;
    let mut body: Value = serde_json::from_str(SKILLS).unwrap();
    body["auth_token"] = json!(AUTH_TOKEN);
    let refused = post(&world, "/v1/skills/sync", &body).await;
    let (status, detail) = refusal(&refused);
    assert_eq!(status, 422);
    assert!(detail.contains("code-review"), "{detail}");
    let archive = skill_archive("code-review", &[("SKILL.md", 0o644, "# Review")]);
    world
        .backend
        .files()
        .keep_skill("812", "code-review", archive);
    let answer = post(&world, "/v1/skills/sync", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let folder = world.root.path().join("home/.claude/skills");
    assert!(folder.join("code-review/SKILL.md").is_file());
    assert_eq!(
        answer.json(),
        json!({"success": true, "skill_count": 1, "success_count": 1, "success_skills": ["code-review"],
               "failed_skills": [], "failed_skill_reasons": {}, "required_skills": ["code-review"],
               "skills_dir": folder})
    );
}
