//! What a person sees of a turn.

use agent_core::{AgentEvent, Notice, NoticeKind};
use serde_json::json;
use testkit::{
    Callback,
    oracle::{self, Block},
};

use crate::support::*;

#[test]
fn text_tools_and_text_keep_their_order() {
    let turn = || {
        [
            begun(header()),
            reasoning("Let me look."),
            text("I look "),
            text("around.\n"),
            bash(),
            output("toolu_01Bash", "src\n"),
            started("second", "Edit", json!({"file_path": "a"})),
            finished("toolu_01Bash", "src\nREADME.md\n"),
            finished("second", ""),
            event(AgentEvent::Notice(Notice {
                kind: NoticeKind::Warning,
                text: "Mind the gap.".into(),
            })),
            text("Done. \u{1F600}"),
            completed("Done. \u{1F600}"),
        ]
    };
    let shown = "I look around.\n\n> Mind the gap.\n\nDone. \u{1F600}";
    for callbacks in [callbacks(turn()), callbacks_one_by_one(turn())] {
        let callbacks: Vec<Callback> = callbacks.into_iter().map(Callback::of).collect();
        let view = oracle::replay(&callbacks);
        oracle::assert_clean(&view);
        assert_eq!(view.shown_text(), shown);
        assert!(view.completed());
        assert_eq!(view.reasoning, "Let me look.");
        let kinds: Vec<&str> = view
            .blocks
            .iter()
            .map(|block| match block {
                Block::Text(_) => "text",
                Block::Thinking(_) => "thinking",
                Block::Tool(tool) => tool.name.as_str(),
                Block::Other { .. } => "other",
            })
            .collect();
        assert_eq!(kinds, ["thinking", "text", "Bash", "Edit", "text"]);
        let outputs: Vec<_> = view
            .tools()
            .map(|tool| (tool.status.as_str(), tool.output.clone()))
            .collect();
        assert_eq!(
            outputs,
            [
                ("done", Some(json!("src\nREADME.md\n"))),
                ("done", Some(json!("")))
            ]
        );
    }
}
