use wegent_executor_tests::World;
#[tokio::test]
async fn probe() {
    let Some(world) = World::build("probe").await else { return };
    let home = world.root.path().join("home/.wegent-executor/codex/1");
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("config.toml"), "[tools.update_plan]\nenabled = true\n").unwrap();
    let turn = world.turn(1, 100, "x #script:plan");
    let view = world.run(&turn).await;
    eprintln!("{view:#?} {}", world.executor.log());
    eprintln!("{:?}", world.model.requests().iter().map(|r| r.path.clone()).collect::<Vec<_>>());
}
