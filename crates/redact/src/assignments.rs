//! Values that are secret by the name they are assigned to. For logs only: in code they would be replaced too.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};

use crate::PLACEHOLDER;

/// `password=…`, `"api_key": "…"`, `Authorization: Bearer …`, `export GITHUB_TOKEN=…`, `postgres://user:…@host`.
static ASSIGNMENTS: LazyLock<Regex> = LazyLock::new(|| {
    let named = r#"(?i:token|secret|api[_-]?key|apikey|password|passwd|pwd|private[_-]?key)\\?["']?\s*[=:]\s*\\?["']?"#;
    let header = r#"(?i:authorization)\\?["']?\s*[=:]\s*\\?["']?(?i:(?:bearer|basic|token)\s+)?"#;
    let exported = r#"\b(?:export\s+|env\s+)(?P<variable>[A-Z][A-Z0-9_]*)=\\?["']?"#;
    let url = r#"\b[a-z][a-z0-9+.-]*://[^\s:/@"']*:"#;
    let value = r#"[^\s"'\\,;&@)}\]]+"#;
    Regex::new(&format!(
        r#"(?P<before>{header}|{named}|{exported})(?P<value>{value})|(?P<url>{url})(?P<word>[^\s/@"']+)@"#
    ))
    .expect("a valid pattern")
});

/// Parts of names of variables whose values are secret.
const SECRET: [&str; 14] = [
    "_TOKEN",
    "_KEY",
    "PASSWORD",
    "PASSWD",
    "_SECRET",
    "_AUTH",
    "CREDENTIAL",
    "DATABASE_URL",
    "DB_URL",
    "ANTHROPIC",
    "OPENAI",
    "OIDC_",
    "AES_IV",
    "ENCRYPTION",
];
/// Parts of names of variables whose values are not, whatever else the name has.
const OPEN: [&str; 9] = [
    "_HOST",
    "_PORT",
    "_ADDR",
    "SERVICE_",
    "KUBERNETES_",
    "_TCP_",
    "_UDP_",
    "PORT_",
    "BASE_URL",
];

/// `line` with [`PLACEHOLDER`] for values whose name says that they are secret. Borrowed if there were none.
///
/// The rules guess: use them for logs and never for what an agent says, where they would spoil code.
pub fn mask_assignments(line: &str) -> Cow<'_, str> {
    ASSIGNMENTS.replace_all(line, |found: &Captures<'_>| {
        let part = |name| found.name(name).map_or("", |part| part.as_str());
        match found.name("variable") {
            Some(variable) if !is_secret(variable.as_str()) => found[0].to_owned(),
            _ if found.name("url").is_some() => format!("{}{PLACEHOLDER}@", part("url")),
            _ => format!("{}{PLACEHOLDER}", part("before")),
        }
    })
}

fn is_secret(variable: &str) -> bool {
    let has = |parts: &[&str]| parts.iter().any(|part| variable.contains(part));
    has(&SECRET) && !has(&OPEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_names_are_masked() {
        for (line, clean) in [
            (
                "failed: password=abc, rest",
                "failed: password=[redacted], rest",
            ),
            (
                r#"{"api_key": "abc", "id": 1}"#,
                r#"{"api_key": "[redacted]", "id": 1}"#,
            ),
            (
                r#"body="{\"auth_token\":\"abc\"}""#,
                r#"body="{\"auth_token\":\"[redacted]\"}""#,
            ),
            (
                "Authorization: Bearer abc.def",
                "Authorization: Bearer [redacted]",
            ),
            (
                "run export GH_TOKEN=abc now",
                "run export GH_TOKEN=[redacted] now",
            ),
            (
                "at postgres://me:abc@db/x",
                "at postgres://me:[redacted]@db/x",
            ),
            (
                "https://oauth2:abc@git.example/x.git",
                "https://oauth2:[redacted]@git.example/x.git",
            ),
        ] {
            assert_eq!(mask_assignments(line), clean);
        }
    }

    #[test]
    fn other_values_stay() {
        for line in [
            "input_tokens=12 export PATH=/usr/bin export SERVICE_TOKEN_PORT=80",
            "https://host:8080/path?x=1 me@example.org",
            "a secret of the trade, a token ring",
        ] {
            assert_eq!(mask_assignments(line), line);
        }
    }
}
