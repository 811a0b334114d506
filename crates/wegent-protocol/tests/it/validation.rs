//! The validation of an image, in both forms of callbacks.

use serde_json::Value;
use wegent_protocol::{
    CumulativeEncoder, EndKind, FlatRules, Protocol, ResponsesEncoder, TurnHeader, Validation,
    ValidationReport, Work, decode, decode_flat,
};

use crate::support::{
    begun, bodies_of, completed, drain, ended, fixture, fixture_json, header, recorded, stamped,
};

/// What was asked, and the header of the turn.
fn asked(protocol: Protocol) -> (Validation, TurnHeader) {
    let dispatch = match protocol {
        Protocol::Cumulative => {
            decode_flat(&fixture("flat/validation.json"), FlatRules::default()).unwrap()
        }
        Protocol::Responses => decode(&fixture("requests/validation.json")).unwrap(),
    };
    let mut envelope = dispatch.envelope.clone();
    envelope
        .executor_name
        .get_or_insert("wegent-task-lin-9988776655443ff".into());
    let header = TurnHeader {
        key: dispatch.key,
        agent: None,
        envelope,
        protocol,
        ..header()
    };
    match dispatch.work {
        Work::Validation(asked) => (asked, header),
        other => panic!("{other:?}"),
    }
}

/// The report that a sample has, made by us.
fn report(asked: Validation, sample: &Value) -> String {
    let checks = serde_json::from_value(sample["checks"].clone()).unwrap();
    ValidationReport::new(asked, checks).to_json()
}

#[test]
fn cumulative_callbacks_are_those_that_the_platform_takes() {
    let samples = fixture_json("flat/validation-callbacks.json");
    let [started, checking, done, failed] = &samples.as_array().unwrap()[..] else {
        panic!("four samples")
    };
    let sent = |end| {
        let (_, header) = asked(Protocol::Cumulative);
        let records = stamped([begun(header), end]);
        bodies_of(&drain(&mut CumulativeEncoder::new(), &recorded(&records)))
    };
    let (what, _) = asked(Protocol::Cumulative);
    let text = report(what, &done["result"]["validation_result"]);
    assert_eq!(
        sent(completed(&text)),
        [started.clone(), checking.clone(), done.clone()]
    );
    let message = failed["error_message"].as_str().unwrap();
    let end = ended(EndKind::Failed {
        class: agent_core::ErrorClass::Internal,
        message: message.into(),
        code: None,
    });
    assert_eq!(
        sent(end),
        [started.clone(), checking.clone(), failed.clone()]
    );
}

#[test]
fn the_text_of_the_answer_is_the_report() {
    let sample = fixture_json("callbacks/completed-validation.json");
    let text = |body: &Value| -> Value {
        let text = &body["data"]["response"]["output"][0]["content"][0]["text"];
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    };
    let (what, header) = asked(Protocol::Responses);
    let report = report(what, &text(&sample));
    let records = stamped([begun(header), completed(&report)]);
    let bodies = bodies_of(&drain(&mut ResponsesEncoder::new(), &recorded(&records)));
    let last = bodies.last().unwrap();
    assert_eq!(text(last), text(&sample));
    assert!(
        bodies
            .iter()
            .all(|body| body["validation_id"] == sample["validation_id"])
    );
    assert_eq!(last["event_type"], "response.completed");
}
