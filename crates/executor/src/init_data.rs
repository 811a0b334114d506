//! `init-data render`: what a Wegent is to know of this executor, as files for its backend's `init_data` folder.
//!
//! The backend reads that folder at its start, in alphabetical order, and creates what it doesn't have yet; it never
//! changes what is there. So a file is written once and never over another one.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Stands for the image in a template.
const IMAGE: &str = "{{image}}";

/// A file of the folder.
struct Template {
    path: &'static str,
    text: &'static str,
    mode: u32,
}

const TEMPLATES: [Template; 4] = [
    Template {
        path: "90-codex-shell.yaml",
        text: include_str!("../../../init_data/90-codex-shell.yaml"),
        mode: 0o644,
    },
    Template {
        path: "91-codex-example.yaml",
        text: include_str!("../../../init_data/91-codex-example.yaml"),
        mode: 0o644,
    },
    Template {
        path: "skills/executor_smoke/SKILL.md",
        text: include_str!("../../../init_data/skills/executor_smoke/SKILL.md"),
        mode: 0o644,
    },
    Template {
        path: "skills/executor_smoke/scripts/smoke.sh",
        text: include_str!("../../../init_data/skills/executor_smoke/scripts/smoke.sh"),
        mode: 0o755,
    },
];

/// A reference to an image, in the form that Wegent's backend asks for: `[registry[:port]/]path[:tag][@sha256:…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference(String);

/// A text is not an [`ImageReference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected [registry[:port]/]path[:tag][@sha256:…]")]
pub struct NotAnImage;

impl std::str::FromStr for ImageReference {
    type Err = NotAnImage;

    fn from_str(text: &str) -> Result<Self, NotAnImage> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        let digest_fits = digest.is_none_or(|d| d.strip_prefix("sha256:").is_some_and(is_hash));
        if digest_fits && is_name(name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnImage)
        }
    }
}

/// Whether this is `[registry[:port]/]path[:tag]`.
fn is_name(name: &str) -> bool {
    let segments: Vec<&str> = name.split('/').collect();
    let last = segments.len() - 1;
    segments.iter().enumerate().all(|(index, segment)| {
        let (word, after_colon) = match segment.split_once(':') {
            Some((word, after)) => (word, Some(after)),
            None => (*segment, None),
        };
        // A colon is a port's, in the registry, or the tag's, at the end.
        let colon_fits = after_colon.is_none_or(|after| match index {
            _ if index == last => is_word(after),
            0 => after.parse::<u16>().is_ok(),
            _ => false,
        });
        is_word(word) && colon_fits
    })
}

fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.bytes().all(allowed) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// A file can't be written.
#[derive(Debug, thiserror::Error)]
#[error("can't write {path}", path = path.display())]
pub struct InitDataError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Writes the files into `folder`, which is made if need be, and returns their paths.
///
/// # Errors
/// The first file that can't be written. One that exists is never replaced: then nothing is written at all.
pub fn render(image: &ImageReference, folder: &Path) -> Result<Vec<PathBuf>, InitDataError> {
    let paths = TEMPLATES.each_ref().map(|file| folder.join(file.path));
    for path in &paths {
        if path.symlink_metadata().is_ok() {
            return Err(InitDataError {
                path: path.clone(),
                source: io::ErrorKind::AlreadyExists.into(),
            });
        }
    }
    for (template, path) in TEMPLATES.iter().zip(&paths) {
        let text = template.text.replace(IMAGE, &image.0);
        write(path, &text, template.mode).map_err(|source| InitDataError {
            path: path.clone(),
            source,
        })?;
    }
    Ok(paths.to_vec())
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_may_have_a_registry_a_port_a_tag_and_a_digest() {
        let digest = format!("a/b:1@sha256:{}", "0".repeat(64));
        let good = [
            "a",
            "a:1",
            "a/b",
            "ghcr.io/a/b:1.2-x",
            "reg:5000/a/b:latest",
        ];
        for text in good.into_iter().chain([digest.as_str()]) {
            assert!(text.parse::<ImageReference>().is_ok(), "{text}");
        }
        let bad = [
            "",
            "a b",
            "a:",
            "/a",
            "a/",
            "a:b/c",
            "-a",
            "a\nb: c",
            "a@sha256:0",
            "a:1:2",
            "a/b:c/d",
        ];
        for text in bad {
            assert_eq!(text.parse::<ImageReference>(), Err(NotAnImage), "{text:?}");
        }
    }

    #[test]
    fn the_image_is_filled_in_and_nothing_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let image: ImageReference = "reg:5000/executor:1".parse().unwrap();
        let written = render(&image, folder.path()).unwrap();
        assert_eq!(written.len(), TEMPLATES.len());
        let shell = fs::read_to_string(&written[0]).unwrap();
        assert!(
            shell.contains("baseImage: reg:5000/executor:1\n"),
            "{shell}"
        );
        for path in &written {
            let text = fs::read_to_string(path).unwrap();
            assert!(!text.contains("{{"), "{}", path.display());
        }
        fs::remove_file(&written[0]).unwrap();
        let error = render(&image, folder.path()).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert!(!written[0].exists(), "nothing is written then");
    }
}
