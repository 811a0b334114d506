//! Time stamps that can be compared between the processes of one machine.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch (`CLOCK_REALTIME`), as the fake CLI writes them into its deltas
/// and the fake backend notes them for arriving callbacks.
pub fn now_micros() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

const MARK: char = '@';
const DIGITS: usize = 16;

/// The present time as a mark to be put into a text: `@` and 16 digits.
pub fn stamp() -> String {
    format!("{MARK}{:0DIGITS$}", now_micros())
}

/// The marks of a text in their order.
pub fn stamps_in(text: &str) -> Vec<u64> {
    text.split(MARK)
        .skip(1)
        .filter_map(|rest| {
            rest.get(..DIGITS)
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_again() {
        let text = format!("a {}.. b@x {}", stamp(), stamp());
        let stamps = stamps_in(&text);
        assert_eq!(stamps.len(), 2);
        assert!(stamps[0] <= stamps[1] && stamps[1] <= now_micros());
    }
}
