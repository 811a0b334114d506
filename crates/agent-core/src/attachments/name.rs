//! What an attachment's file is called.

/// The longest name that common file systems take, in bytes.
const LONGEST: usize = 255;
/// Room for a number before the extension.
const NUMBER: usize = 8;
/// What a file without a usable name is called.
const NAMELESS: &str = "document";

/// A name that is a file's in one folder and nothing else: the last part of what was uploaded, without control
/// characters, cut to what a file system takes with its extension kept.
pub(super) fn file_name(uploaded: &str) -> String {
    let last = uploaded.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|letter| !letter.is_control()).collect();
    let clean = clean.trim();
    if matches!(clean, "" | "." | "..") {
        return NAMELESS.to_owned();
    }
    let (stem, extension) = split(clean);
    let room = LONGEST - NUMBER;
    if extension.len() >= room {
        return cut(clean, room).to_owned();
    }
    format!("{}{extension}", cut(stem, room - extension.len()))
}

/// `name`, and then `name-2`, `name-3`, … with the number before the extension.
pub(super) fn candidates(name: &str) -> impl Iterator<Item = String> {
    let (stem, extension) = split(name);
    let numbered = (2..).map(move |number: u64| format!("{stem}-{number}{extension}"));
    std::iter::once(name.to_owned()).chain(numbered)
}

/// The name before its extension, and the extension with its dot. A name that begins with its only dot has none.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    }
}

/// As much of `text` as fits into so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_last_part_of_an_uploaded_name_counts() {
        for (uploaded, name) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\me\\a b.txt", "a b.txt"),
            ("new\r\nline\0.txt", "newline.txt"),
            ("folder/", "document"),
            ("..", "document"),
            ("", "document"),
            (" \n", "document"),
            ("设计 文档.docx", "设计 文档.docx"),
            (".env", ".env"),
        ] {
            assert_eq!(file_name(uploaded), name, "{uploaded:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_before_its_extension_at_a_whole_letter() {
        let name = file_name(&format!("{}.tar.gz", "文".repeat(300)));
        assert!(name.len() <= LONGEST - NUMBER, "{}", name.len());
        assert!(name.ends_with("文.gz"), "{name}");
        let all_extension = file_name(&format!("a.{}", "x".repeat(300)));
        assert_eq!(all_extension.len(), LONGEST - NUMBER);
    }

    #[test]
    fn a_number_goes_before_the_extension() {
        let first = |name| candidates(name).take(3).collect::<Vec<_>>();
        assert_eq!(first("a.txt"), ["a.txt", "a-2.txt", "a-3.txt"]);
        assert_eq!(first(".env"), [".env", ".env-2", ".env-3"]);
    }

    proptest! {
        #[test]
        fn a_name_is_always_one_part_of_a_path(uploaded in any::<String>()) {
            let name = file_name(&uploaded);
            prop_assert!(!name.is_empty() && name.len() < LONGEST);
            prop_assert!(!name.contains(['/', '\\', '\0', '\n', '\r']));
            prop_assert!(name != "." && name != "..");
        }
    }
}
