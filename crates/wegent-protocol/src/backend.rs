//! What the backend offers to an executor: which resources there are, and how its answers are read.
//!
//! All of it wants `Authorization: Bearer <the task's auth_token>`.

use agent_core::{
    TaskId,
    downloads::{ContentHash, SkillId},
};
use serde::Deserialize;

use crate::request::Text;

/// A resource below the backend's base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The segments of its path, not encoded.
    pub path: Vec<String>,
    /// Its query, not encoded.
    pub query: Vec<(&'static str, String)>,
}

impl Resource {
    fn new(path: &[&str]) -> Self {
        Self {
            path: path.iter().copied().map(str::to_owned).collect(),
            query: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.query.push((name, value.to_owned()));
        self
    }

    /// Tells the backend on whose behalf it is. Tasks without a record there have no positive id.
    fn for_task(self, task: TaskId) -> Self {
        if task.0 > 0 {
            self.with("task_id", &task.to_string())
        } else {
            self
        }
    }
}

/// The bytes of an attachment.
///
/// ```
/// let resource = wegent_protocol::backend::attachment(7);
/// assert_eq!(resource.path.join("/"), "api/attachments/7/executor-download");
/// ```
pub fn attachment(id: i64) -> Resource {
    Resource::new(&["api", "attachments", &id.to_string(), "executor-download"])
}

/// The skills of a name; [`found_skill`] reads the answer.
pub fn skills_named(name: &str, namespace: &str, task: TaskId) -> Resource {
    Resource::new(&["api", "v1", "kinds", "skills"])
        .with("name", name)
        .with("namespace", namespace)
        .for_task(task)
}

/// A skill's archive. The answer's `ETag` is [its hash](hash_of_etag), and the condition of the next request.
pub fn skill_archive(skill: &SkillId, task: TaskId) -> Resource {
    Resource::new(&["api", "v1", "kinds", "skills", &skill.id, "download"])
        .with("namespace", &skill.namespace)
        .for_task(task)
}

/// The first skill of an answer, which lies in `namespace` if it doesn't say another one.
///
/// # Errors
/// If it is not the JSON that the backend promises.
pub fn found_skill(body: &[u8], namespace: &str) -> Result<Option<SkillId>, serde_json::Error> {
    let list: List = serde_json::from_slice(body)?;
    Ok(list.items.into_iter().next().map(|item| SkillId {
        id: item.metadata.labels.id.0,
        namespace: item
            .metadata
            .namespace
            .unwrap_or_else(|| namespace.to_owned()),
    }))
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: ItemMetadata,
}

#[derive(Deserialize)]
struct ItemMetadata {
    labels: Labels,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct Labels {
    id: Text,
}

/// The hash that an `ETag` names: `"sha256:<digits>"`, possibly weak.
///
/// ```
/// # use wegent_protocol::backend::{condition, hash_of_etag};
/// let etag = format!("\"sha256:{}\"", "ab".repeat(32));
/// let hash = hash_of_etag(&etag).unwrap();
/// assert_eq!(condition(&hash), etag);
/// assert!(hash_of_etag("\"7\"").is_none());
/// ```
pub fn hash_of_etag(etag: &str) -> Option<ContentHash> {
    let etag = etag.trim();
    ContentHash::parse(etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"'))
}

/// The value of `If-None-Match`.
pub fn condition(hash: &ContentHash) -> String {
    format!("\"{hash}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_skill_found_counts() {
        let body = br#"{"items":[{"kind":"Skill","metadata":{"name":"a","namespace":"team","labels":{"id":"4"}}},
                                 {"metadata":{"labels":{"id":5}}}]}"#;
        let skill = found_skill(body, "default").unwrap().unwrap();
        assert_eq!((skill.id.as_str(), skill.namespace.as_str()), ("4", "team"));
        let bare = br#"{"items":[{"metadata":{"labels":{"id":5}}}]}"#;
        let skill = found_skill(bare, "default").unwrap().unwrap();
        assert_eq!(
            (skill.id.as_str(), skill.namespace.as_str()),
            ("5", "default")
        );
        assert_eq!(found_skill(br#"{"items":[]}"#, "default").unwrap(), None);
        assert!(found_skill(b"<html>", "default").is_err());
    }

    #[test]
    fn a_task_without_a_record_is_not_named() {
        let skill = SkillId {
            id: "4".to_owned(),
            namespace: "team".to_owned(),
        };
        let named = skill_archive(&skill, TaskId(7));
        assert_eq!(
            named.query,
            [
                ("namespace", "team".to_owned()),
                ("task_id", "7".to_owned())
            ]
        );
        assert_eq!(skill_archive(&skill, TaskId(0)).query.len(), 1);
    }
}
