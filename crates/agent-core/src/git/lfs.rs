//! Large files that a repository keeps elsewhere (Git LFS).
//!
//! Nothing here fetches them: where the image has `git-lfs` set up, git itself does while it checks out, with the same
//! credentials. Where it hasn't, a checkout holds pointers, and whoever works on it has to know.

use std::path::Path;

use super::program::Programs;
use crate::confine::Confined;

/// What the person reads of a checkout with pointers.
pub(super) const MISSING: &str = "This repository keeps large files with Git LFS, and this image has no `git-lfs`: \
    such files are short pointers in the checkout.";
/// How much of `.gitattributes` is read, in bytes.
const MAX_ATTRIBUTES: u64 = 1 << 20;

/// Whether the checkout needs `git-lfs` and there is none. What the repository's root says of its files counts.
pub(super) fn is_missing(programs: &Programs, checkout: &Path) -> bool {
    let attributes = Confined::open(checkout)
        .and_then(|folder| folder.read(".gitattributes".as_ref(), MAX_ATTRIBUTES));
    let uses = attributes.is_ok_and(|text| {
        let text = String::from_utf8_lossy(&text);
        let mut words = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(str::split_whitespace);
        words.any(|word| word == "filter=lfs")
    });
    uses && programs.find("git-lfs").is_none()
}
