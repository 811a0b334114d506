//! What git tracks although its folder's name says that it can be made again.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use git2::{Repository, RepositoryOpenFlags};

use crate::choice;

/// Paths below an archive's root.
#[derive(Debug, Default)]
pub(crate) struct Tracked(BTreeSet<PathBuf>);

impl Tracked {
    /// Adds what the repository in `folder`, which lies at `place` in the archive, tracks in spite of its name. A folder
    /// that is none, or can't be read, adds nothing.
    pub(crate) fn add_repository(&mut self, folder: &Path, place: &Path) {
        // Hooks, filters and configuration of a repository are never run by this.
        let flags = RepositoryOpenFlags::NO_SEARCH;
        let opened = Repository::open_ext(folder, flags, std::iter::empty::<&OsStr>());
        let index = opened.and_then(|repository| repository.index());
        let index = match index {
            Ok(index) => index,
            Err(error) => {
                tracing::debug!(folder = %folder.display(), %error, "no repository's index");
                return;
            }
        };
        for entry in index.iter() {
            let path = Path::new(OsStr::from_bytes(&entry.path));
            if needs_naming(path) {
                self.0.insert(place.join(path));
            }
        }
    }

    /// What is tracked below `folder`.
    pub(crate) fn below<'a>(&'a self, folder: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
        let from = self.0.range(folder.to_path_buf()..);
        from.take_while(move |path| path.starts_with(folder))
    }

    pub(crate) fn has(&self, file: &Path) -> bool {
        self.0.contains(file)
    }
}

/// Whether the path would be left out by its name.
fn needs_naming(path: &Path) -> bool {
    choice::is_ballast(path) || path.ancestors().skip(1).any(choice::is_made_again)
}
