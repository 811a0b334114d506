use wegent_executor_tests::{Sleeper, World};
#[tokio::test]
async fn probe() {
    let Some(world) = World::build("x").await else { return };
    let s = Sleeper::new();
    world.dispatch(&world.turn(1, 2, &format!("Hello. #script:shell\n#cmd:setsid {s} & {s}"))).await;
    s.appear(2).await;
    println!("{:#?}", world.marked());
    println!("{:#?}", testkit::procs::descendants(world.executor.pid()));
    let r = world.backend.cancel(&world.executor.url(), 1, Some(2)).await;
    println!("{r:?}");
    println!("{:#?}", world.marked());
    println!("{:#?}", s.running());
    let view = world.finished(2).await;
    println!("{view:#?}");
    let view = world.run(&world.turn(1, 3, "Second. #script:remember")).await;
    println!("{view:#?}");
    println!("{}", world.executor.log());
}
