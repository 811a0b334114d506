//! What lies in the workspace and what is said before the prompt.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::json;
use testkit::backend::skill_archive;

use super::{AGENTS, completed, real_world};

/// A repository without commits, made by hand: `git` itself is asked by the agents' shells.
fn repository(folder: &Path) {
    for part in ["objects", "refs/heads", "info"] {
        fs::create_dir_all(folder.join(".git").join(part)).unwrap();
    }
    fs::write(folder.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    let config = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n";
    fs::write(folder.join(".git/config"), config).unwrap();
    fs::write(
        folder.join(".git/info/exclude"),
        "AGENTS.md\n.cursorrules\n.windsurfrules\n",
    )
    .unwrap();
}

#[tokio::test]
async fn a_repositorys_rules_reach_the_model_and_git_status_stays_clean() {
    let Some(world) = real_world(
        "a_repositorys_rules_reach_the_model_and_git_status_stays_clean",
        |_| {},
    )
    .await
    else {
        return;
    };
    let archive = skill_archive("demo", &[("SKILL.md", 0o644, "---\nname: demo\n---\n")]);
    world.backend.files().keep_skill("1", "demo", archive);
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let folder = world.workspace(task);
        fs::create_dir_all(&folder).unwrap();
        repository(&folder);
        fs::write(folder.join(".cursorrules"), "Rule one: use tabs.").unwrap();
        symlink("/etc/passwd", folder.join(".windsurfrules")).unwrap();
        fs::write(folder.join("AGENTS.md"), "Rule two: be kind.").unwrap();
        let command = "Look. #script:shell\n#cmd:echo \"<$(git status --porcelain)>\"";
        for subtask in [1, 2] {
            let turn = request(&world, task, task * 10 + subtask, command)
                .with("skill_names", json!(["demo"]))
                .with("skill_refs", json!({"demo": {"skill_id": 1}}));
            let view = completed(&world, agent, &turn).await;
            let output = view.tools().next().unwrap().output.clone().unwrap();
            assert_eq!(output.as_str().map(str::trim_end), Some("<>"), "{agent}");
        }
        let request = world.model.requests().pop().unwrap().body.to_string();
        for rule in ["Rule one: use tabs.", "Rule two: be kind."] {
            assert!(request.contains(rule), "{agent} was not told: {rule}");
        }
        assert!(!request.contains("root:x:"), "{agent}");
    }
    let link = fs::read_link(world.workspace(2).join("CLAUDE.md")).unwrap();
    assert_eq!(link, Path::new("AGENTS.md"));
    assert!(!world.workspace(1).join("CLAUDE.md").exists());
}

#[tokio::test]
async fn files_outside_of_the_repository_are_no_instructions() {
    let outside = |settings: &mut wegent_executor_tests::Settings| {
        settings.set("CUSTOM_INSTRUCTION_FILES", "/etc/passwd,../x, rules.md");
    };
    let Some(world) = real_world(
        "files_outside_of_the_repository_are_no_instructions",
        outside,
    )
    .await
    else {
        return;
    };
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let folder = world.workspace(task);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("../x"), "Rule from outside.").unwrap();
        fs::write(folder.join("rules.md"), "Rule from inside.").unwrap();
        completed(
            &world,
            agent,
            &request(&world, task, task + 10, "Go. #script:text"),
        )
        .await;
        let request = world.model.requests().pop().unwrap().body.to_string();
        assert!(request.contains("Rule from inside."), "{agent}");
        assert!(
            !request.contains("Rule from outside.") && !request.contains("root:x:"),
            "{agent}"
        );
    }
}

#[tokio::test]
async fn selected_skills_and_knowledge_stand_before_the_prompt() {
    let Some(world) = real_world(
        "selected_skills_and_knowledge_stand_before_the_prompt",
        |_| {},
    )
    .await
    else {
        return;
    };
    for (task, (agent, request)) in (1..).zip(AGENTS) {
        let turn = request(&world, task, task + 10, "What is it? #script:text")
            .with("user_selected_skills", json!(["reviewer"]))
            .with(
                "selected_knowledge_prompt",
                json!("One document is selected."),
            )
            .with("kb_meta_prompt", json!("KB 7: manuals"));
        completed(&world, agent, &turn).await;
        let request = world.model.requests().pop().unwrap().body.to_string();
        let at = |part: &str| {
            request
                .find(part)
                .unwrap_or_else(|| panic!("{agent}: no {part}"))
        };
        let order = [
            at("- reviewer (selected by the user)"),
            at("One document is selected."),
            at("KB 7: manuals"),
            at("What is it?"),
        ];
        assert!(order.is_sorted(), "{agent}: {order:?}");
    }
}
