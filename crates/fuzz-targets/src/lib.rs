//! One function per place where bytes come in that somebody else has written. Each takes any bytes and panics if a
//! promise is broken.
//!
//! The fuzzer calls them (`fuzz/`), and a test with what the fuzzer has found worth keeping (`fuzz/corpus`): both run the
//! very same code.
#![warn(missing_docs)]

mod app_server;
#[cfg(feature = "agents")]
mod archive;
#[cfg(feature = "agents")]
mod claude;
mod journal_file;
mod redactor;
#[cfg(feature = "agents")]
mod requests;

/// A target: its name, which is that of its folder in the corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[
    ("app_server_lines", app_server::lines),
    ("journal_reader", journal_file::reader),
    ("redactor", redactor::redactor),
    #[cfg(feature = "agents")]
    ("claude_lines", claude::lines),
    #[cfg(feature = "agents")]
    ("request", requests::request),
    #[cfg(feature = "agents")]
    ("skill_archive", archive::skill),
    #[cfg(feature = "agents")]
    ("substitution", requests::substitution),
];

/// Runs a target by its name.
///
/// # Panics
/// If there is none of that name, or it broke a promise.
pub fn run(name: &str, data: &[u8]) {
    let target = ALL.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("no target `{name}`"));
    target(data);
}
