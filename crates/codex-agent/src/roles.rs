//! The members of a team as roles that Codex's sub-agents can take.
//!
//! Codex 0.169 takes roles from the thread's configuration, `agents.NAME = {description, config_file}`, and the file is
//! a configuration layer of its own: the member's prompt is its `developer_instructions`. The model is told the roles
//! with its tool `spawn_agent`. The files lie in the session's temporary folder, so nothing of them is left in the
//! working folder.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use agent_core::{AgentError, Member, Turn, workspace::create_private};
use serde_json::{Map, Value, json};

/// The folder of the files. Hidden, so that a tool that empties its temporary folder leaves it alone.
const FOLDER: &str = ".agents";
/// Names that mean something to Codex already.
const TAKEN: &[&str] = &["default", "enabled", "explorer", "worker"];

/// The roles of a turn.
#[derive(Default)]
pub(crate) struct Roles(Vec<Member>);

impl Roles {
    /// The team's members.
    pub(crate) fn of(turn: &Turn) -> Self {
        let mut members = turn.members();
        for member in &mut members {
            if TAKEN.contains(&member.name.as_str()) {
                member.name.push_str("-member");
            }
        }
        Self(members)
    }

    /// Writes the roles' files into the session's temporary folder and gives what names them in a thread's
    /// configuration; `None` without members.
    ///
    /// # Errors
    /// [`AgentError::Workspace`] naming the file that can't be written.
    pub(crate) fn write(&self, scratch: &Path) -> Result<Option<Value>, AgentError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let folder = scratch.join(FOLDER);
        let mut agents = Map::new();
        for member in &self.0 {
            let path = folder.join(format!("{}.toml", member.name));
            create_private(&folder)
                .and_then(|()| write(&path, &layer(member)))
                .map_err(|source| AgentError::Workspace {
                    message: format!("the role `{}` can't be written", path.display()),
                    source: Some(source),
                })?;
            let role = json!({ "description": member.description, "config_file": path });
            agents.insert(member.name.clone(), role);
        }
        Ok(Some(Value::Object(agents)))
    }

    /// What the leader is told of its team. Without it Codex spawns no sub-agent unless the person asks for one.
    pub(crate) fn instructions(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let members: String = self
            .0
            .iter()
            .map(|member| format!("\n- `{}`: {}", member.name, member.description))
            .collect();
        Some(format!(
            "You lead a team, and the user asks you to work with it: give each part of the work to the member whose \
             part it is. Call `spawn_agent` with the member's name as `agent_type`, tell it all that it needs to know, \
             wait for its report and build on it. The members:{members}"
        ))
    }

    /// What a thread has to be loaded anew for when it changes.
    pub(crate) fn hash(&self, hasher: &mut impl std::hash::Hasher) {
        std::hash::Hash::hash(&self.0, hasher);
    }
}

/// The configuration that a member adds to the leader's.
fn layer(member: &Member) -> String {
    let mut layer = format!(
        "name = {}\ndescription = {}\n",
        quoted(&member.name),
        quoted(&member.description)
    );
    if !member.prompt.trim().is_empty() {
        layer.push_str(&format!(
            "developer_instructions = {}\n",
            quoted(&member.prompt)
        ));
    }
    if let Some(model) = &member.model_id {
        layer.push_str(&format!("model = {}\n", quoted(model)));
    }
    layer
}

/// A text as a basic string of TOML: as in JSON, but for one more character that has to be escaped.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// Replaces the file, for its owner only.
fn write(path: &Path, content: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_a_string_of_toml() {
        assert_eq!(
            quoted("a \"b\"\\\n\t\u{1}\u{7f}é😀"),
            "\"a \\\"b\\\"\\\\\\n\\t\\u0001\\u007fé😀\""
        );
    }
}
