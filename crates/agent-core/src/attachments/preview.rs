//! The beginning of a text file, for an agent that is shown it at once.

use std::{fs::File, io::Read};

/// How many lines are shown at most.
const LINES: usize = 10;
/// How many bytes are shown at most.
const BYTES: usize = 4 << 10;

/// The first lines of a text file; `None` if it is not text, empty, or can't be read.
pub(super) fn preview(file: File) -> Option<String> {
    let mut bytes = Vec::with_capacity(BYTES);
    file.take(BYTES as u64).read_to_end(&mut bytes).ok()?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        // The limit may lie in the middle of a letter.
        Err(error) if error.error_len().is_none() && bytes.len() == BYTES => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() || text.contains('\0') {
        return None;
    }
    let lines: Vec<&str> = text.lines().take(LINES).collect();
    Some(lines.join("\n"))
}

/// `text` between fences that it does not contain.
pub(super) fn fenced(text: &str) -> String {
    let longest = text
        .split(|letter| letter != '`')
        .map(str::len)
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{text}\n{fence}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of(bytes: &[u8]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, bytes).unwrap();
        preview(File::open(&path).unwrap())
    }

    #[test]
    fn ten_lines_or_four_kibibytes_are_shown_whichever_is_less() {
        let many: String = (0..100).map(|line| format!("line {line}\n")).collect();
        let shown = of(many.as_bytes()).unwrap();
        assert_eq!(shown.lines().count(), 10);
        assert!(shown.ends_with("line 9"));
        let long = of(&b"x".repeat(100_000)).unwrap();
        assert_eq!(long.len(), 4096);
    }

    #[test]
    fn the_limit_does_not_cut_a_letter_in_two() {
        let shown = of(format!("x{}", "文".repeat(3000)).as_bytes()).unwrap();
        assert!(shown.len() <= 4096 && shown.ends_with('文'));
    }

    #[test]
    fn what_is_not_text_is_not_shown() {
        assert_eq!(of(b"PK\x03\x04\0\0"), None);
        assert_eq!(of(b"\xff\xfe latin \xe4"), None);
        assert_eq!(of(b" \n"), None);
        assert_eq!(preview(tempfile::tempfile().unwrap()), None);
    }

    #[test]
    fn a_fence_is_longer_than_those_inside() {
        assert_eq!(fenced("a"), "```\na\n```");
        assert_eq!(fenced("````"), "`````\n````\n`````");
    }
}
