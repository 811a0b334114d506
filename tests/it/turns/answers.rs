//! Answers of text and reasoning.

use testkit::{model::Options, oracle::Block};
use wegent_executor_tests::World;

use super::{Figures, completed, is_what_was_said, usage};

#[tokio::test]
async fn text_in_every_form_arrives_as_the_model_said_it() {
    let Some(world) = World::build("text_in_every_form_arrives_as_the_model_said_it").await else {
        return;
    };
    for (subtask, script) in (2..).zip(["text", "echo", "two_messages", "unicode", "garbage"]) {
        let view = completed(
            &world,
            &world.turn(1, subtask, &format!("Say it. #script:{script}")),
        )
        .await;
        assert!(!view.text.is_empty(), "{script} said nothing");
        assert_eq!(view.blocks, [Block::Text(view.text.clone())], "{script}");
    }
    assert!(
        world
            .backend
            .view(4)
            .text
            .contains("The first message.\n\nThe second message.")
    );
    assert!(
        world
            .backend
            .view(5)
            .text
            .contains("\u{1F468}\u{200d}\u{1F469}\u{200d}\u{1F467} \u{1F1E8}\u{1F1F3} ")
    );
    // Nothing came after any of the ends.
    for subtask in 2..=6 {
        testkit::oracle::assert_clean(&world.backend.view(subtask));
        assert_eq!(
            world
                .backend
                .callbacks(subtask)
                .iter()
                .filter(|callback| callback.is_terminal())
                .count(),
            1
        );
    }
}

#[tokio::test]
async fn reasoning_has_its_own_block_before_the_answer() {
    let Some(world) = World::build("reasoning_has_its_own_block_before_the_answer").await else {
        return;
    };
    let view = completed(&world, &world.turn(1, 2, "Think. #script:reasoning")).await;
    let [Block::Thinking(thought), Block::Text(answer)] = view.blocks.as_slice() else {
        panic!("{view:#?}")
    };
    assert!(
        thought.contains("I read the question first.\n\n**Deciding**"),
        "{thought}"
    );
    assert_eq!(answer, "The answer is 42.");
    assert_eq!(
        usage(&view),
        Figures {
            input: 100,
            cached: 40,
            output: 80,
            reasoning: 64,
            total: 180
        }
    );
}

#[tokio::test]
async fn an_answer_of_nothing_completes_with_nothing() {
    let Some(world) = World::build("an_answer_of_nothing_completes_with_nothing").await else {
        return;
    };
    let view = completed(&world, &world.turn(1, 2, "Be silent. #script:empty")).await;
    assert_eq!(
        (view.text.as_str(), view.blocks.as_slice()),
        ("", [].as_slice())
    );
}

/// More than any message may carry. The sizes are those that Wegent's manager takes without trouble.
#[tokio::test]
async fn five_megabytes_arrive_whole_in_messages_of_a_sane_size() {
    let Some(world) = World::build("five_megabytes_arrive_whole_in_messages_of_a_sane_size").await
    else {
        return;
    };
    for (subtask, script) in [(2, "huge"), (3, "one_big")] {
        world.model.forget();
        let view = world
            .run(&world.turn(subtask, subtask, &format!("Say a lot. #script:{script}")))
            .await;
        assert_eq!(view.text.len(), 5 * 1024 * 1024, "{script}");
        // Not `assert_eq!`: nobody wants to read the difference.
        let spoken = world.model.spoken();
        assert!(view.text == spoken.text(), "{script}: the text differs");
        assert!(
            view.final_text.as_deref() == spoken.final_text(),
            "{script}: the confirmed answer differs"
        );
        let callbacks = world.backend.callbacks(subtask);
        let deltas: Vec<usize> = callbacks
            .iter()
            .filter(|callback| callback.event_type() == "response.output_text.delta")
            .map(|callback| callback.body.to_string().len())
            .collect();
        let largest = deltas.iter().max().unwrap();
        println!(
            "{script}: {} deltas, the largest of {largest} bytes",
            deltas.len()
        );
        assert!(
            *largest < 300 * 1024,
            "{script}: a message of {largest} bytes"
        );
        assert!(
            (18..1400).contains(&deltas.len()),
            "{script}: {} messages",
            deltas.len()
        );
    }
}

#[tokio::test]
async fn turns_of_different_tasks_run_side_by_side() {
    let options = Options {
        delta_delay: std::time::Duration::from_millis(30),
        ..Options::default()
    };
    let test = "turns_of_different_tasks_run_side_by_side";
    let Some(world) = World::build_with(test, options, |_| {}).await else {
        return;
    };
    let said = ["one", "two", "three"];
    for (task, word) in (1..).zip(said) {
        world
            .dispatch(&world.turn(
                task,
                task * 10,
                &format!("Say {word} and {word} again. #script:echo"),
            ))
            .await;
    }
    for (task, word) in (1..).zip(said) {
        let view = world.finished(task * 10).await;
        let requests = world.model.requests();
        let own = requests
            .iter()
            .filter(|request| request.user_texts().iter().any(|text| text.contains(word)));
        is_what_was_said(&view, &testkit::model::Spoken::in_requests(own));
    }
    let ends = world.backend.all_callbacks();
    let first_end = ends
        .iter()
        .position(|callback| callback.is_terminal())
        .unwrap();
    let begun = ends[..first_end]
        .iter()
        .filter(|callback| callback.event_type() == "response.created")
        .count();
    assert_eq!(begun, 3, "a turn waited for another task's");
}
