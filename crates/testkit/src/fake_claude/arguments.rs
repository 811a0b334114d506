//! The command line, as far as the fake heeds it.

use std::{fs, os::unix::fs::MetadataExt as _};

use crate::roles;

/// What the arguments say about the conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) session: Option<String>,
    pub(super) resume: Option<String>,
    pub(super) model: Option<String>,
    pub(super) mode: Option<String>,
    /// Deltas are wanted.
    pub(super) partial: bool,
    /// The host decides about permissions.
    pub(super) asks: bool,
}

/// Why the process does not even begin.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Complaint {
    #[error("Error: {0} requires {1}")]
    Requires(&'static str, &'static str),
    #[error("Error: Invalid session ID. Must be a valid UUID.")]
    SessionId,
    #[error(
        "--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons"
    )]
    Root,
}

impl Arguments {
    pub(super) fn read(arguments: &[String]) -> Self {
        let skips = has(arguments, "--dangerously-skip-permissions");
        let mode = value(arguments, "--permission-mode");
        Self {
            session: value(arguments, "--session-id"),
            resume: value(arguments, "--resume"),
            model: value(arguments, "--model"),
            mode: mode.or_else(|| skips.then(|| "bypassPermissions".to_owned())),
            partial: has(arguments, "--include-partial-messages"),
            asks: value(arguments, "--permission-prompt-tool").as_deref() == Some("stdio"),
        }
    }
}

/// Whether the real CLI would begin with these arguments in this process.
pub(super) fn check(arguments: &[String]) -> Result<(), Complaint> {
    let streams = |flag: &str| value(arguments, flag).as_deref() == Some("stream-json");
    if !streams("--output-format") {
        return Err(Complaint::Requires(
            "the fake",
            "--output-format=stream-json",
        ));
    }
    if !streams("--input-format") {
        return Err(Complaint::Requires(
            "the fake",
            "--input-format=stream-json",
        ));
    }
    if !has(arguments, "--print") && !has(arguments, "-p") {
        return Err(Complaint::Requires(
            "--output-format=stream-json",
            "--print",
        ));
    }
    if !has(arguments, "--verbose") {
        let output = "When using --print, --output-format=stream-json";
        return Err(Complaint::Requires(output, "--verbose"));
    }
    let read = Arguments::read(arguments);
    if read.session.is_some_and(|session| !is_uuid(&session)) {
        return Err(Complaint::SessionId);
    }
    let sandboxed = roles::variable("IS_SANDBOX").is_some_and(|value| value == "1");
    if read.mode.as_deref() == Some("bypassPermissions") && !sandboxed && is_root() {
        return Err(Complaint::Root);
    }
    Ok(())
}

fn has(arguments: &[String], flag: &str) -> bool {
    arguments.iter().any(|argument| argument == flag)
}

/// A flag's value: the rest of its argument, or the next one.
fn value(arguments: &[String], flag: &str) -> Option<String> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.strip_prefix(flag) {
            Some("") => return rest.next().cloned(),
            Some(joined) if joined.starts_with('=') => return Some(joined[1..].to_owned()),
            _ => {}
        }
    }
    None
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12] && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The owner of a process's own folder in `/proc` is the process's user.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(arguments: &str) -> Vec<String> {
        arguments.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn values_may_be_joined_or_follow() {
        let arguments = given(
            "-p --resume=a --model b --include-partial-messages --permission-prompt-tool stdio",
        );
        let read = Arguments::read(&arguments);
        let (resume, model) = (read.resume.as_deref(), read.model.as_deref());
        assert_eq!(
            (resume, model, read.partial, read.asks),
            (Some("a"), Some("b"), true, true)
        );
    }

    #[test]
    fn what_the_cli_refuses_is_refused() {
        let streams = "--output-format stream-json --input-format=stream-json";
        let cases = [
            (format!("{streams} -p"), "requires --verbose"),
            (format!("{streams} --verbose"), "requires --print"),
            (
                format!("{streams} -p --verbose --session-id x"),
                "Invalid session ID",
            ),
            ("-p --verbose".to_owned(), "requires --output-format"),
        ];
        for (arguments, complaint) in cases {
            let said = check(&given(&arguments)).unwrap_err().to_string();
            assert!(said.contains(complaint), "{arguments}: {said}");
        }
    }
}
