//! What is known of the skills in a folder: `.wegent-skills.json` in it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    confine::Confined,
    downloads::{ContentHash, SkillId},
};

const FILE: &str = ".wegent-skills.json";

/// The skills that we put into a folder, by name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Manifest(pub(super) BTreeMap<String, Entry>);

/// Where a skill came from, and what it consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    skill_id: String,
    namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_hash: Option<String>,
    /// Its files, relative to its folder.
    #[serde(default)]
    files: Vec<PathBuf>,
}

impl Entry {
    pub(super) fn new(skill: &SkillId, hash: &ContentHash, files: Vec<PathBuf>) -> Self {
        Self {
            skill_id: skill.id.clone(),
            namespace: skill.namespace.clone(),
            content_hash: Some(hash.to_string()),
            files,
        }
    }

    /// Whether it is this skill, and all of it is still in `folder`.
    pub(super) fn holds(&self, skill: &SkillId, folder: &Path) -> bool {
        let whole = |file: &PathBuf| folder.join(file).is_file();
        self.skill_id == skill.id
            && self.namespace == skill.namespace
            && folder.join("SKILL.md").is_file()
            && self.files.iter().all(whole)
    }

    /// What its archive hashes to.
    pub(super) fn hash(&self) -> Option<ContentHash> {
        ContentHash::parse(self.content_hash.as_deref()?)
    }
}

impl Manifest {
    /// Reads the manifest of a folder. One that is missing or damaged knows nothing: everything is fetched anew.
    pub(super) fn read(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "list of skills can't be read");
                return Self::default();
            }
        };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "list of skills is damaged");
            Self::default()
        })
    }

    /// Writes the manifest, the whole or nothing.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let content = serde_json::to_vec_pretty(self)?;
        Confined::open(folder)?.replace(FILE.as_ref(), &content, 0o644)
    }
}
