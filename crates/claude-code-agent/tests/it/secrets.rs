//! What must not be seen.

use crate::stage::{KEY, Stage, outputs, turn};

#[tokio::test]
async fn neither_a_tool_nor_the_cli_itself_knows_the_models_key() {
    for (stage, model) in Stage::of_all_versions("secrets").await {
        let hunt = "env; tr '\\0' '\\n' </proc/$PPID/environ; tr '\\0' ' ' </proc/$PPID/cmdline; \
                    grep -rs 'sk-ant-agent' $CLAUDE_CONFIG_DIR $HOME /proc/$PPID/environ; true";
        let (events, _) = stage
            .complete(&turn(&format!("#script:shell #cmd:{hunt}"), &model))
            .await;
        let seen = outputs(&events);
        assert!(
            seen.contains("CLAUDE_CONFIG_DIR"),
            "the hunt saw nothing: {seen}"
        );
        // The command itself holds a part of it, and the transcript holds the command.
        assert!(!seen.contains(KEY), "{seen}");
        let asked: Vec<_> = model
            .requests()
            .into_iter()
            .filter(|request| request.path.contains("/v1/messages"))
            .collect();
        assert!(!asked.is_empty());
        for request in asked {
            assert_eq!(request.header("x-api-key"), Some(KEY), "{}", request.path);
        }
        stage.close().await;
    }
}
