//! The rule for broken streams, told as cases and as properties.

use agent_core::{
    BlockId,
    void_text::{AnswerText, Piece},
};
use proptest::prelude::*;

fn id(name: &str) -> BlockId {
    BlockId::new(name).expect("not blank")
}

/// What a person reads, with the notice shown as `¶`.
fn read(pieces: impl IntoIterator<Item = Piece>) -> String {
    pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => text,
            Piece::Restarted => "¶".to_owned(),
        })
        .collect()
}

#[test]
fn an_equal_beginning_is_swallowed() {
    let mut answer = AnswerText::default();
    let mut shown = read(answer.delta(&id("a"), "one two"));
    shown += &read(answer.delta(&id("b"), "one "));
    shown += &read(answer.delta(&id("b"), "two three"));
    shown += &read(answer.complete(&id("b"), "one two three four"));
    assert_eq!(shown, "one two three four");
    assert_eq!(answer.final_answer(), Some("one two three four"));
}

#[test]
fn from_the_first_difference_on_it_follows_after_a_notice() {
    let mut answer = AnswerText::default();
    let mut shown = read(answer.delta(&id("a"), "one two"));
    shown += &read(answer.delta(&id("b"), "one "));
    shown += &read(answer.delta(&id("b"), "three"));
    shown += &read(answer.delta(&id("b"), " four"));
    shown += &read(answer.complete(&id("b"), "one three four"));
    assert_eq!(shown, "one two¶hree four");
}

#[test]
fn a_second_break_compares_with_the_second_attempt() {
    let mut answer = AnswerText::default();
    let mut shown = read(answer.delta(&id("a"), "abc"));
    shown += &read(answer.delta(&id("b"), "aXY"));
    shown += &read(answer.delta(&id("c"), "aXYZ"));
    shown += &read(answer.complete(&id("c"), "aXYZ!"));
    assert_eq!(shown, "abc¶XYZ!");
}

#[test]
fn a_break_while_repeating_keeps_what_was_shown() {
    let mut answer = AnswerText::default();
    let mut shown = read(answer.delta(&id("a"), "abcdef"));
    shown += &read(answer.delta(&id("b"), "abc"));
    shown += &read(answer.delta(&id("c"), "abcdefg"));
    assert_eq!(shown, "abcdefg");
}

#[test]
fn a_shorter_truth_is_announced() {
    let mut answer = AnswerText::default();
    let mut shown = read(answer.delta(&id("a"), "abcdef"));
    shown += &read(answer.complete(&id("b"), "abc"));
    assert_eq!(shown, "abcdef¶");
    assert_eq!(answer.final_answer(), Some("abc"));
}

#[test]
fn messages_without_a_block_between_are_parted_by_a_blank_line() {
    for (first, expected) in [
        ("one", "one\n\ntwo"),
        ("one\n", "one\n\ntwo"),
        ("one\n\n", "one\n\ntwo"),
    ] {
        let mut answer = AnswerText::default();
        let mut shown = read(answer.complete(&id("a"), first));
        shown += &read(answer.delta(&id("b"), "t"));
        shown += &read(answer.complete(&id("b"), "two"));
        assert_eq!(shown, expected);
    }
}

#[test]
fn a_block_between_needs_no_blank_line() {
    let mut answer = AnswerText::default();
    let mut shown = read(answer.complete(&id("a"), "one"));
    shown += &read(answer.block());
    shown += &read(answer.complete(&id("b"), "two"));
    assert_eq!(shown, "onetwo");
}

#[test]
fn a_block_after_a_broken_message_says_that_it_is_void() {
    let mut answer = AnswerText::default();
    assert_eq!(read(answer.delta(&id("a"), "half")), "half");
    assert_eq!(answer.block(), [Piece::Restarted]);
    assert_eq!(
        read(answer.complete(&id("b"), "half a sentence")),
        "half a sentence"
    );
}

proptest! {
    /// However an answer is cut into deltas, and wherever its stream breaks before an equal retry,
    /// the person reads exactly the answer.
    #[test]
    fn any_break_with_an_equal_retry_shows_the_text_once(
        text in "[a-c\\né😀]{1,30}",
        breaks in proptest::collection::vec(0usize..30, 0..4),
        step in 1usize..5,
    ) {
        let characters: Vec<char> = text.chars().collect();
        let mut answer = AnswerText::default();
        let mut shown = String::new();
        for (attempt, end) in breaks.iter().map(|at| at % (characters.len() + 1)).chain([characters.len()]).enumerate() {
            let block = id(&format!("m{attempt}"));
            for part in characters[..end].chunks(step) {
                shown += &read(answer.delta(&block, &part.iter().collect::<String>()));
            }
        }
        let last = id(&format!("m{}", breaks.len()));
        shown += &read(answer.complete(&last, &text));
        prop_assert_eq!(&shown, &text);
        prop_assert_eq!(answer.final_answer(), Some(text.as_str()));
    }

    /// The text of a retry that differs is readable in full: its equal beginning plus what follows the notice.
    #[test]
    fn a_differing_retry_can_be_read_in_full(first in "[ab]{1,10}", second in "[ab]{1,10}") {
        let mut answer = AnswerText::default();
        let mut shown = read(answer.delta(&id("a"), &first));
        shown += &read(answer.delta(&id("b"), &second));
        shown += &read(answer.complete(&id("b"), &second));
        match shown.split_once('¶') {
            None => prop_assert!(second.starts_with(&first) && shown == second),
            Some((before, after)) => {
                prop_assert_eq!(before, &first);
                prop_assert!(second.ends_with(after));
                let swallowed = &second[..second.len() - after.len()];
                prop_assert!(first.starts_with(swallowed));
            }
        }
    }
}
