//! Numbers out of a request's address.

use std::str::FromStr;

use super::answer::Refusal;

/// An id out of the query; blank counts as not given.
pub(super) fn id(name: &str, text: Option<String>) -> Result<Option<i64>, Refusal> {
    number(&format!("query parameter `{name}`"), "an integer", text)
}

/// A count out of the query; blank counts as not given.
pub(super) fn count<T: FromStr>(name: &str, text: Option<String>) -> Result<Option<T>, Refusal> {
    let expected = "a number from 0 on";
    number(&format!("query parameter `{name}`"), expected, text)
}

/// An id out of the path.
pub(super) fn id_in_path(name: &str, text: String) -> Result<i64, Refusal> {
    let place = format!("{name} in the path");
    let id = number(&place, "an integer", Some(text))?;
    id.ok_or_else(|| Refusal::bad_request(format!("{place}: missing")))
}

fn number<T: FromStr>(
    place: &str,
    expected: &str,
    text: Option<String>,
) -> Result<Option<T>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let number = text
        .parse()
        .map_err(|_| Refusal::bad_request(format!("{place}: expected {expected}, got {text:?}")))?;
    Ok(Some(number))
}
