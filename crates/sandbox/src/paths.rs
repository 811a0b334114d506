//! Where paths of requests lie.

use std::path::{Path, PathBuf};

use crate::{Sandbox, answer::Refusal};

impl Sandbox {
    /// An absolute path as it is; a relative one in the named user's home, or where commands start.
    pub(crate) fn path(&self, asked: &str, user: Option<&str>) -> Result<PathBuf, Refusal> {
        if asked.is_empty() {
            return Err(Refusal::invalid("path: missing"));
        }
        if asked.contains('\0') {
            return Err(Refusal::invalid("path: it has a NUL character in it"));
        }
        let asked = match asked.strip_prefix("~/") {
            Some(inner) => Path::new(inner),
            None => Path::new(asked),
        };
        if asked.is_absolute() {
            return Ok(asked.to_path_buf());
        }
        Ok(match user.filter(|user| !user.is_empty()) {
            Some("root") => Path::new("/root").join(asked),
            Some(user) if !user.contains('/') && user != ".." && user != "." => {
                Path::new("/home").join(user).join(asked)
            }
            Some(_) => return Err(Refusal::invalid("username: not a user's name")),
            None => self.folder().join(asked),
        })
    }

    /// Where commands start unless they say it themselves.
    pub(crate) fn folder(&self) -> PathBuf {
        let homes = self.0.config.homes.iter().cloned();
        let mut folders = self.0.settings.workdir().into_iter().chain(homes);
        folders
            .find(|folder| folder.is_dir())
            .unwrap_or_else(|| PathBuf::from("/"))
    }
}
