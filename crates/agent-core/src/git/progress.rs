//! How far git is, from what it says on its stderr with `--progress`.

/// The phases worth telling, in git's words.
const PHASES: &[&str] = &[
    "Counting objects",
    "Compressing objects",
    "Receiving objects",
    "Resolving deltas",
    "Updating files",
    "Filtering content",
];

/// The last progress that `stderr` tells of, as a person reads it: `receiving objects 43 %, 12.00 MiB | 3.00 MiB/s`.
///
/// ```
/// use agent_core::git::progress;
///
/// let stderr = "Cloning into 'x'...\nReceiving objects:   1% (1/100)\rReceiving objects:  43% (43/100), 2 MiB | 1 MiB/s\r";
/// assert_eq!(progress(stderr).unwrap(), "receiving objects 43 %, 2 MiB | 1 MiB/s");
/// assert_eq!(progress("fatal: no"), None);
/// ```
pub fn progress(stderr: &str) -> Option<String> {
    stderr.rsplit(['\r', '\n']).find_map(told)
}

fn told(line: &str) -> Option<String> {
    let line = line.trim();
    let line = line.strip_prefix("remote: ").unwrap_or(line);
    let (phase, rest) = line.split_once(':')?;
    let phase = PHASES.iter().find(|known| **known == phase)?;
    let (percent, rest) = rest.trim_start().split_once('%')?;
    let percent: u8 = percent.parse().ok().filter(|percent| *percent <= 100)?;
    let speed = rest
        .split_once("), ")
        .map(|(_, speed)| speed.trim_end_matches("done.").trim_end_matches([',', ' ']))
        .filter(|speed| !speed.is_empty())
        .map_or(String::new(), |speed| format!(", {speed}"));
    Some(format!("{} {percent} %{speed}", phase.to_lowercase()))
}

/// What of git's stderr says why it failed: no progress, no politeness, at most 500 characters.
pub(super) fn complaint(stderr: &str) -> String {
    let lines = stderr.split(['\r', '\n']).map(str::trim).filter(|line| {
        !line.is_empty() && told(line).is_none() && !line.starts_with("Cloning into")
    });
    let text = lines.collect::<Vec<_>>().join("; ");
    match text.char_indices().rev().nth(499) {
        Some((at, _)) => format!("…{}", &text[at..]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_phase_counts() {
        for (stderr, expected) in [
            (
                "remote: Counting objects:  10% (1/10)\r",
                "counting objects 10 %",
            ),
            (
                "Receiving objects: 100% (9/9), done.\nResolving deltas:   0% (0/3)\r",
                "resolving deltas 0 %",
            ),
            (
                "Receiving objects: 100% (9/9), 1.00 MiB | 2.00 MiB/s, done.\n",
                "receiving objects 100 %, 1.00 MiB | 2.00 MiB/s",
            ),
            (
                "Updating files:  50% (1/2)\rUpdating fi",
                "updating files 50 %",
            ),
        ] {
            assert_eq!(progress(stderr).as_deref(), Some(expected));
        }
        assert_eq!(progress("remote: Receiving objects: 999% (1/1)\r"), None);
    }

    #[test]
    fn a_complaint_is_short_and_to_the_point() {
        let stderr = "Cloning into '/x'...\nReceiving objects:  10% (1/10)\rremote: HTTP Basic: Access denied\nfatal: no\n";
        assert_eq!(
            complaint(stderr),
            "remote: HTTP Basic: Access denied; fatal: no"
        );
        assert_eq!(complaint(&"é".repeat(600)).chars().count(), 501);
    }
}
