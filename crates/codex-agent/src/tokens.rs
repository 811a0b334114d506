//! How long the tokens of a turn are worth something.
//!
//! The platform's tokens are JSON web tokens that say when they expire. Whether one is genuine is for others to find out.

use std::time::{Duration, SystemTime};

use agent_core::Identity;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// What is read of a token.
#[derive(Deserialize)]
struct Claims {
    /// When it expires, in seconds since 1970.
    exp: Option<f64>,
}

/// When the first of the tokens that tools have expires; `None` if none says so.
pub(crate) fn valid_until(identity: &Identity) -> Option<SystemTime> {
    let tokens = [&identity.auth_token, &identity.skill_identity_token];
    tokens.into_iter().flatten().filter_map(expiry).min()
}

fn expiry(token: &SecretString) -> Option<SystemTime> {
    let payload = token.expose_secret().split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let seconds = Duration::try_from_secs_f64(claims.exp?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> Option<SecretString> {
        let payload = URL_SAFE_NO_PAD.encode(claims);
        Some(format!("eyJhbGciOiJIUzI1NiJ9.{payload}.c2ln").into())
    }

    fn until(auth: Option<SecretString>, skill: Option<SecretString>) -> Option<u64> {
        let identity = Identity {
            auth_token: auth,
            skill_identity_token: skill,
            ..Identity::default()
        };
        let until = valid_until(&identity)?;
        let since = until.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Some(since.as_secs())
    }

    #[test]
    fn the_token_that_expires_first_decides() {
        let early = || token(r#"{"exp": 1700000000, "type": "task_token"}"#);
        let late = || token(r#"{"exp": 1700086400.5}"#);
        assert_eq!(until(early(), late()), Some(1_700_000_000));
        assert_eq!(until(None, late()), Some(1_700_086_400));
    }

    #[test]
    fn a_token_that_does_not_say_so_never_expires() {
        for odd in [
            token("{}"),
            token(r#"{"exp": null}"#),
            token(r#"{"exp": -1}"#),
            token(r#"{"exp": 1e300}"#),
            token("[]"),
            Some("no.token".into()),
            Some("opaque".into()),
            None,
        ] {
            assert_eq!(until(odd, None), None);
        }
    }
}
