//! Which versions of Codex can be driven.

use agent_core::{AgentError, program::missing};

/// The oldest whose app-server is known to speak the protocol.
const OLDEST: (u32, u32, u32) = (0, 77, 0);

/// Refuses a Codex that is too old. One that doesn't tell its version in numbers is let pass: its own builds may be so.
///
/// # Errors
/// [`AgentError::Spawn`] naming the version, and the one that is needed.
pub fn check(version: Option<&str>) -> Result<(), AgentError> {
    match version.and_then(|text| Some((text, parse(text)?))) {
        Some((text, numbers)) if numbers < OLDEST => Err(missing(
            format!("codex {text}"),
            "it is too old: 0.77.0 or newer is needed (0.169.0 is what this executor is tested with)",
        )),
        _ => Ok(()),
    }
}

/// The numbers of `0.169.0` and `0.170.0-alpha.1`. `0.0.0` is what Codex's own development builds say.
fn parse(text: &str) -> Option<(u32, u32, u32)> {
    let plain = text.split(['-', '+']).next()?;
    let mut numbers = plain.split('.').map(str::parse);
    let mut next = || numbers.next()?.ok();
    let numbers = (next()?, next()?, next()?);
    (numbers != (0, 0, 0)).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_that_are_known_to_be_too_old_are_refused() {
        for version in [
            "0.77.0",
            "0.169.0",
            "0.170.0-alpha.1",
            "1.0.0",
            "0.0.0",
            "odd",
            "",
        ] {
            assert!(check(Some(version)).is_ok(), "{version}");
        }
        assert!(check(None).is_ok());
        for version in ["0.76.9", "0.5.0-beta"] {
            let error = check(Some(version)).unwrap_err().chain();
            assert!(
                error.contains(version) && error.contains("0.77.0"),
                "{error}"
            );
        }
    }
}
