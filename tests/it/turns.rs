//! What the model says is what the person sees.

use testkit::{model::Options, oracle};
use wegent_executor_tests::World;

#[tokio::test]
async fn text_arrives_as_the_model_said_it() {
    let Some(world) = World::build("text_arrives_as_the_model_said_it").await else { return };
    let view = world.run(&world.turn(1, 2, "Hello. #script:text")).await;
    assert!(view.completed(), "{view:#?}");
    assert_eq!(view.text, world.model.spoken().text());
    assert_eq!(view.final_text.as_deref(), world.model.spoken().final_text());
    oracle::assert_clean(&view);
    let _ = Options::default();
}
