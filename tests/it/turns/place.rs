//! Where a turn runs, and what its tools see.

use serde_json::json;
use wegent_executor_tests::World;

use super::completed;

#[tokio::test]
async fn a_bots_folder_is_where_the_agent_works() {
    let Some(world) = World::build("a_bots_folder_is_where_the_agent_works").await else {
        return;
    };
    // It is made.
    let folder = world.root.path().join("some/given folder");
    let turn = world.turn(1, 2, "Run. #script:shell\n#cmd:pwd; touch was-here");
    let view = completed(&world, &turn.with_bot("cwd", json!(folder))).await;
    assert_eq!(
        view.tools().next().unwrap().output,
        Some(json!(format!("{}\n", folder.display())))
    );
    assert!(folder.join("was-here").exists());
}

#[tokio::test]
async fn a_folder_that_is_no_absolute_path_is_an_error_before_the_model_is_asked() {
    let test = "a_folder_that_is_no_absolute_path_is_an_error_before_the_model_is_asked";
    let Some(world) = World::build(test).await else {
        return;
    };
    let turn = world.turn(1, 2, "Run. #script:text");
    let view = world.run(&turn.with_bot("cwd", json!("some/where"))).await;
    assert_eq!(view.error_code(), Some("container_error"), "{view:#?}");
    assert!(
        format!("{:?}", view.terminal).contains("bot.cwd: `some/where`"),
        "the field is not named: {view:#?}"
    );
    assert!(world.model.requests().is_empty(), "the model was asked");
}

#[tokio::test]
async fn without_a_folder_the_tasks_own_is_made() {
    let Some(world) = World::build("without_a_folder_the_tasks_own_is_made").await else {
        return;
    };
    assert!(!world.workspace(7).exists());
    let view = completed(&world, &world.turn(7, 2, "Run. #script:shell\n#cmd:pwd")).await;
    assert_eq!(
        view.tools().next().unwrap().output,
        Some(json!(format!("{}\n", world.workspace(7).display())))
    );
}

/// Tools get the image's environment, the person's home and what Wegent promises them; not what is the operator's.
#[tokio::test]
async fn tools_see_the_images_environment_and_the_real_home() {
    let Some(world) = World::build("tools_see_the_images_environment_and_the_real_home").await
    else {
        return;
    };
    let command = r#"echo "$JAVA_HOME|$HOME|$LANG|$WEGENT_TASK_ID|${GIT_TOKEN_AES_KEY-unset}|${CODEX_HOME-unset}|${#AUTH_TOKEN}""#;
    let view = completed(
        &world,
        &world.turn(7, 2, &format!("Run. #script:shell\n#cmd:{command}")),
    )
    .await;
    let home = world.root.path().join("home");
    let token = wegent_executor_tests::AUTH_TOKEN.len();
    let expected = format!(
        "/opt/image/java|{}|C.UTF-8|7|unset|unset|{token}\n",
        home.display()
    );
    assert_eq!(view.tools().next().unwrap().output, Some(json!(expected)));
}
