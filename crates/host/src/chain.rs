//! Errors in words, causes included.

use std::error::Error;

/// The error with its causes, as one line: `can't do this: because of that: no such file`.
///
/// ```
/// let error = std::io::Error::other("no such file");
/// assert_eq!(host::error_chain(&error), "no such file");
/// ```
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
