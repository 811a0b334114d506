//! What is to be there before a turn.

use agent_core::{AttachmentState, SubtaskId, TaskId};
use serde_json::json;
use wegent_protocol::{decode_attachment_sync, decode_skill_sync};

use crate::support::{fixture, fixture_json};

#[test]
fn attachments_are_read_with_their_message_and_token() {
    let sync = decode_attachment_sync(&fixture("sync/attachments.json")).unwrap();
    assert_eq!((sync.task, sync.subtask), (TaskId(4711), SubtaskId(9902)));
    let [attachment] = &sync.attachments[..] else {
        panic!("{sync:?}")
    };
    assert_eq!(
        (attachment.id, attachment.filename.as_str()),
        (301, "spec.pdf")
    );
    assert_eq!(attachment.subtask, SubtaskId(9901));
    assert_eq!(attachment.state, AttachmentState::Wanted);
    let access = sync.access.unwrap();
    assert_eq!(access.backend_url.as_deref(), Some("http://backend:8000"));
    let mut body = fixture_json("sync/attachments.json");
    body["auth_token"] = json!(null);
    let sync = decode_attachment_sync(body.to_string().as_bytes()).unwrap();
    assert!(sync.access.is_none());
    body["attachments"][0]["id"] = json!(null);
    let error = decode_attachment_sync(body.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "attachments[0].id: missing");
}

#[test]
fn skills_are_read_from_the_bot_and_the_request() {
    let sync = decode_skill_sync(&fixture("sync/skills.json")).unwrap();
    assert_eq!(sync.skills.offered, ["code-review"]);
    assert_eq!(sync.skills.required, ["code-review"]);
    assert_eq!(sync.skills.known["code-review"].id, "812");
    assert!(sync.access.is_some());
    assert!(decode_skill_sync(b"[]").is_err());
}
