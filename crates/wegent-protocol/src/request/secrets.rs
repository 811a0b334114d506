//! Finds the credentials in a request.
//!
//! By the names of the fields, over the whole body, so that a credential in a field that nothing here
//! reads is found too. In maps of headers and environment variables more names count: `KEY` is the name
//! of a credential there, and the name of anything elsewhere.

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde_json::Value;

/// Every credential in `body`, each once.
pub(super) fn credentials(body: &Value) -> Vec<SecretString> {
    let mut found = BTreeSet::new();
    walk(body, false, &mut found);
    found
        .into_iter()
        .map(|text| SecretString::from(text.to_owned()))
        .collect()
}

fn walk<'a>(value: &'a Value, loose: bool, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if names_credential(name, loose) => add(text, found),
                    Value::String(text) => found.extend(url_password(text)),
                    inner => walk(inner, is_map_of_values(name), found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, loose, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A placeholder is not the secret that will stand there, and `***` is what a masked one looks like.
fn add<'a>(text: &'a str, found: &mut BTreeSet<&'a str>) {
    let text = text.trim();
    if text.is_empty() || text.contains("${{") || text.bytes().all(|byte| byte == b'*') {
        return;
    }
    found.insert(text);
    // `Authorization: Bearer xyz`: the credential is `xyz`, which may occur without its scheme.
    if let Some((scheme, credential)) = text.split_once(' ')
        && ["bearer", "basic", "token", "digest"].contains(&scheme.to_ascii_lowercase().as_str())
    {
        add(credential, found);
    }
}

fn is_map_of_values(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("headers")
        || ["env", "envs", "environment", "auth", "server_auth"].contains(&name.as_str())
}

/// Whether a value under `name` is a credential. `loose` is for headers and environment variables.
pub(super) fn names_credential(name: &str, loose: bool) -> bool {
    const ALWAYS: [&str; 12] = [
        "token",
        "secret",
        "password",
        "passwd",
        "passphrase",
        "credential",
        "credentials",
        "authorization",
        "cookie",
        "apikey",
        "jwt",
        "pat",
    ];
    const KEYS: [&str; 6] = ["api", "private", "access", "secret", "auth", "signing"];
    const LOOSE: [&str; 4] = ["auth", "pwd", "pass", "keys"];

    let words = words(name);
    if loose {
        return words.iter().any(|word| {
            ALWAYS.iter().chain(&LOOSE).any(|known| word == known)
                || word.ends_with("key")
                || ["token", "secret", "passw"]
                    .iter()
                    .any(|part| word.contains(part))
        });
    }
    match words.as_slice() {
        [.., kind, last] if last == "key" => KEYS.contains(&kind.as_str()),
        [.., last] => ALWAYS.contains(&last.as_str()),
        [] => false,
    }
}

/// `apiKey`, `X-Api-Key` and `API_KEY` are all `api`, `key`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for letter in name.chars() {
        let boundary = !letter.is_alphanumeric() || (letter.is_uppercase() && after_lower);
        if boundary {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            words
                .last_mut()
                .expect("there is always a last word")
                .extend(letter.to_lowercase());
        }
        after_lower = letter.is_lowercase() || letter.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The password in `scheme://user:password@host`.
fn url_password(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    if !scheme
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
    {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user_info, _host) = authority.rsplit_once('@')?;
    let (_user, password) = user_info.split_once(':')?;
    (!password.is_empty() && !password.contains("${{")).then_some(password)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    fn found(body: &Value) -> Vec<String> {
        credentials(body)
            .iter()
            .map(|secret| secret.expose_secret().to_owned())
            .collect()
    }

    #[test]
    fn names_of_credentials_are_told_from_other_names() {
        for name in [
            "api_key",
            "apiKey",
            "auth_token",
            "git_token",
            "accessToken",
            "client_secret",
            "Authorization",
        ] {
            assert!(names_credential(name, false), "{name}");
        }
        for name in [
            "key",
            "keywords",
            "max_output_tokens",
            "token_type",
            "author",
            "user",
            "public_key",
            "skill_id",
        ] {
            assert!(!names_credential(name, false), "{name}");
        }
        for name in [
            "X-API-Key",
            "PRIVATE-TOKEN",
            "OPENAI_API_KEY",
            "GITHUB_PAT",
            "DB_PASSWORD",
            "Cookie",
            "authtoken",
            "KEY",
        ] {
            assert!(names_credential(name, true), "{name}");
        }
        for name in [
            "user",
            "wegent-agent-name",
            "X-Task",
            "PATH",
            "X-Author",
            "HOME",
            "PYTHON_KEYRING_BACKEND",
        ] {
            assert!(!names_credential(name, true), "{name}");
        }
    }

    #[test]
    fn credentials_are_found_anywhere_and_once() {
        let body = json!({
            "input": "the token is not here",
            "tools": [{"server_auth": {"Authorization": "Bearer aaaa"}, "env": {"KEY": "bbbb", "PORT": "8080"}}],
            "metadata": {
                "auth_token": "cccc",
                "user": {"git_token": "***"},
                "task_data": {"user_mcps": {"x": {"credentials": {"apiKey": "dddd"}, "key": "a name"}}},
                "git_url": "https://alice:eeee@git.example/x.git",
                "bot": [{"mcp_servers": [{"headers": {"Authorization": "Bearer ${{task_token}}"}}]}],
            },
            "model_config": {"api_key": "cccc", "default_headers": {"user": "admin", "x-key": "ffff"}},
        });
        assert_eq!(
            found(&body),
            [
                "Bearer aaaa",
                "aaaa",
                "bbbb",
                "cccc",
                "dddd",
                "eeee",
                "ffff"
            ]
        );
    }

    #[test]
    fn an_address_without_a_password_has_none() {
        for text in [
            "git@host:x.git",
            "https://host/a:b@c",
            "https://alice@host/",
            "say: http://",
            "https://a:${{x}}@h",
        ] {
            assert_eq!(url_password(text), None, "{text}");
        }
    }
}
