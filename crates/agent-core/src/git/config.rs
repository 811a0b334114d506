//! Configuration for git that goes by its environment: `GIT_CONFIG_COUNT`, `GIT_CONFIG_KEY_<n>`, `GIT_CONFIG_VALUE_<n>`.
//!
//! It goes before every file, is in no file, and ends with the process. It holds no secrets.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use super::Origin;
use crate::environment::Environment;

/// Entries, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct GitConfig(Vec<(OsString, OsString)>);

impl GitConfig {
    /// What the image already brings in this way.
    pub(super) fn of_image(image: &Environment) -> Self {
        let get = |name: String| image.get(OsStr::new(&name)).cloned();
        let count = get("GIT_CONFIG_COUNT".to_owned())
            .and_then(|count| count.to_str()?.parse::<u32>().ok())
            .unwrap_or_default();
        let entries = (0..count).map_while(|n| {
            Some((
                get(format!("GIT_CONFIG_KEY_{n}"))?,
                get(format!("GIT_CONFIG_VALUE_{n}"))?,
            ))
        });
        Self(entries.collect())
    }

    /// Adds an entry, which goes before earlier ones.
    pub(super) fn set(&mut self, key: impl Into<OsString>, value: impl Into<OsString>) {
        self.0.push((key.into(), value.into()));
    }

    /// For this origin the executor is asked, and no helper that the image brings.
    pub(super) fn ask_at(&mut self, origin: &Origin, helper: &Path, socket: &Path) {
        let key = format!("credential.{origin}.helper");
        self.set(&key, "");
        let mut command = OsString::from("!");
        command.push(quoted(helper));
        command.push(" git-credential ");
        command.push(quoted(socket));
        self.set(key, command);
    }

    /// As variables.
    pub(super) fn variables(self) -> Vec<(OsString, OsString)> {
        let count = self.0.len().to_string();
        let mut variables = vec![("GIT_CONFIG_COUNT".into(), count.into())];
        for (n, (key, value)) in self.0.into_iter().enumerate() {
            variables.push((format!("GIT_CONFIG_KEY_{n}").into(), key));
            variables.push((format!("GIT_CONFIG_VALUE_{n}").into(), value));
        }
        variables
    }
}

/// For a shell.
pub(super) fn quoted(path: &Path) -> OsString {
    let text = path.to_string_lossy().replace('\'', r"'\''");
    format!("'{text}'").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_comes_after_the_images() {
        let image: Environment = [
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "a.b"),
            ("GIT_CONFIG_VALUE_0", "c"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let mut config = GitConfig::of_image(&image);
        config.set("d.e", "f");
        let variables = config.variables();
        let text: Vec<_> = variables
            .iter()
            .map(|(n, v)| format!("{}={}", n.display(), v.display()))
            .collect();
        assert_eq!(
            text,
            [
                "GIT_CONFIG_COUNT=2",
                "GIT_CONFIG_KEY_0=a.b",
                "GIT_CONFIG_VALUE_0=c",
                "GIT_CONFIG_KEY_1=d.e",
                "GIT_CONFIG_VALUE_1=f",
            ]
        );
    }

    #[test]
    fn a_helpers_path_may_be_anything() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
