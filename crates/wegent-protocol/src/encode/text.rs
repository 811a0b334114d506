//! Text on its way out: what was said so far, as far as the next piece depends on it.

/// How much text one message carries at most, in bytes.
pub(super) const MAX_TEXT: usize = 256 * 1024;

/// The answer so far. It only grows; `offset`s count Unicode code points, as the web interface does.
#[derive(Debug, Default)]
pub(super) struct Answer {
    code_points: u64,
    /// Line breaks at its end.
    trailing: usize,
    /// A notice stands at its end; what comes next has to be parted from it.
    after_notice: bool,
}

impl Answer {
    /// How many code points have been said.
    pub(super) fn offset(&self) -> u64 {
        self.code_points
    }

    /// The agent said `delta`. Returns what is to be sent.
    pub(super) fn say(&mut self, delta: &str) -> String {
        if delta.is_empty() {
            return String::new();
        }
        let leading = delta.len() - delta.trim_start_matches('\n').len();
        let gap = if self.after_notice {
            2_usize.saturating_sub(leading)
        } else {
            0
        };
        self.after_notice = false;
        self.append(format!("{}{delta}", "\n".repeat(gap)))
    }

    /// Something that no model said: a quotation, as a paragraph of its own.
    pub(super) fn notice(&mut self, text: &str) -> String {
        if text.trim().is_empty() {
            return String::new();
        }
        let gap = if self.code_points == 0 {
            0
        } else {
            2_usize.saturating_sub(self.trailing)
        };
        let mut sent = "\n".repeat(gap);
        for (index, line) in text.trim().lines().enumerate() {
            if index > 0 {
                sent.push('\n');
            }
            sent.push('>');
            if !line.is_empty() {
                sent.push(' ');
                sent.push_str(line);
            }
        }
        self.after_notice = true;
        self.append(sent)
    }

    fn append(&mut self, sent: String) -> String {
        let trailing = sent.len() - sent.trim_end_matches('\n').len();
        self.trailing = if trailing == sent.len() {
            self.trailing + trailing
        } else {
            trailing
        };
        self.code_points += code_points(&sent);
        sent
    }
}

/// The number of Unicode code points in `text`.
pub(super) fn code_points(text: &str) -> u64 {
    text.chars().count() as u64
}

/// The last place between characters that is not behind `index`.
pub(super) fn floor_boundary(text: &str, index: usize) -> usize {
    let index = index.min(text.len());
    (0..=index)
        .rev()
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(0)
}

/// The first place between characters that is not before `index`.
pub(super) fn ceil_boundary(text: &str, index: usize) -> usize {
    (index..text.len())
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(text.len())
}

/// Cuts `text` into pieces of at most `limit` bytes, between characters. `limit` is at least 4.
pub(super) fn chunks(mut text: &str, limit: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let (chunk, rest) = text.split_at(floor_boundary(text, limit));
        text = rest;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_a_paragraph_wherever_it_stands() {
        let cases: [(&[&str], &str); 6] = [
            (&["!note"], "> note"),
            (&["!note", "text"], "> note\n\ntext"),
            (&["text", "!note", "more"], "text\n\n> note\n\nmore"),
            (&["text\n", "!note", "\nmore"], "text\n\n> note\n\nmore"),
            (
                &["text\n", "\n", "!one\n\ntwo", "!three"],
                "text\n\n> one\n>\n> two\n\n> three",
            ),
            (
                &["!note", "\n\n\nmore", " and more"],
                "> note\n\n\nmore and more",
            ),
        ];
        for (said, expected) in cases {
            let mut answer = Answer::default();
            let mut sent = String::new();
            for piece in said {
                assert_eq!(answer.offset(), code_points(&sent));
                sent += &match piece.strip_prefix('!') {
                    Some(notice) => answer.notice(notice),
                    None => answer.say(piece),
                };
            }
            assert_eq!(sent, expected);
        }
    }

    #[test]
    fn offsets_count_code_points() {
        let mut answer = Answer::default();
        answer.say("né\u{1F600}e\u{301}");
        assert_eq!(answer.offset(), 5);
    }

    #[test]
    fn chunks_are_cut_between_characters() {
        let text = "aé\u{1F600}\u{1F600}b";
        let cut: Vec<&str> = chunks(text, 5).collect();
        assert_eq!(cut, ["aé", "\u{1F600}", "\u{1F600}b"]);
        assert_eq!(cut.concat(), text);
        assert_eq!(chunks("", 5).count(), 0);
    }
}
