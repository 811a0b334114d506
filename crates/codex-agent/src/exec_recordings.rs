//! What `codex exec --json` of codex 0.169 has printed in 25 situations, read again.

use codex_app_server::protocol::{ThreadItem, TurnId};

use super::*;

const RECORDED: &str = include_str!("recordings/exec.txt");

/// The recordings by their names, line by line.
fn recordings() -> Vec<(&'static str, Vec<&'static str>)> {
    let parts = RECORDED.split("# ").filter(|part| !part.is_empty());
    let named = parts.map(|part| {
        let mut lines = part.lines();
        let name = lines.next().unwrap();
        (name, lines.collect())
    });
    named.collect()
}

fn is_end(said: &Said) -> bool {
    matches!(said, Said::Completed(_) | Said::Failed(_))
}

#[test]
fn every_recording_has_its_conversation_first_and_one_end_last() {
    let recordings = recordings();
    assert_eq!(recordings.len(), 25);
    for (name, printed) in recordings {
        let mut lines = Lines {
            turn: TurnId::new("exec-1"),
            thread: ThreadId::new(""),
            fresh: true,
        };
        let said: Vec<Said> = printed
            .iter()
            .map(|line| lines.read(line.as_bytes()))
            .collect();
        assert!(matches!(said[0], Said::Thread(_)), "{name}: {said:#?}");
        assert_eq!(said.iter().filter(|said| is_end(said)).count(), 1, "{name}");
        let failed = printed.last().unwrap().contains("turn.failed");
        let last = said.last().unwrap();
        assert!(is_end(last), "{name}: {last:?}");
        assert_eq!(matches!(last, Said::Failed(_)), failed, "{name}");
    }
}

#[test]
fn every_item_that_was_recorded_is_of_a_kind_that_is_known() {
    let mut lines = Lines {
        turn: TurnId::new("exec-1"),
        thread: ThreadId::new("t"),
        fresh: true,
    };
    let mut items = 0;
    for (name, printed) in recordings() {
        for line in printed {
            let printed: Value = serde_json::from_str(line).unwrap();
            // Warnings are logged, and a plan is told as a whole.
            if printed["item"].is_null() || printed["item"]["type"] == "error" {
                continue;
            }
            items += 1;
            let Said::Happened(happened) = lines.read(line.as_bytes()) else {
                panic!("{name}: nothing of {line}")
            };
            let (Notification::ItemStarted(event) | Notification::ItemCompleted(event)) = *happened
            else {
                assert_eq!(printed["item"]["type"], "todo_list", "{name}");
                continue;
            };
            assert!(
                !matches!(event.item, ThreadItem::Unknown { .. }),
                "{name}: {line}"
            );
            if let ThreadItem::AgentMessage(message) = &event.item {
                assert_eq!(message.text, printed["item"]["text"], "{name}");
            }
        }
    }
    assert!(items > 25, "{items}");
}
