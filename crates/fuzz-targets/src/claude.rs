//! What Claude Code says.

use agent_core::{AgentEvent, redaction::redact_value};
use redact::Secrets;
use wegent_protocol::{
    CumulativeEncoder, Encoder, RecordBody, Recorded, ResponsesEncoder, TurnRecord,
};

/// The standard output of Claude Code: its events can be recorded, read back, and encoded in both forms.
pub(crate) fn lines(data: &[u8]) {
    let mut encoders: [Box<dyn Encoder>; 2] = [
        Box::new(ResponsesEncoder::new()),
        Box::new(CumulativeEncoder::new()),
    ];
    for (seq, event) in (1..).zip(claude_code_agent::fuzzing::events(data)) {
        let record = recorded(event);
        for encoder in &mut encoders {
            let record = Recorded {
                seq,
                record: &record,
            };
            if let Some(message) = encoder.next(&[record]).message {
                let body: Result<serde_json::Value, _> = serde_json::from_slice(&message.body);
                body.expect("a callback is JSON");
            }
        }
    }
}

fn recorded(event: AgentEvent) -> TurnRecord {
    let event = redact_value(&Secrets::new(), event).expect("an event is plain JSON");
    let record = TurnRecord {
        at_ms: 0,
        body: RecordBody::Event(event),
    };
    let text = serde_json::to_string(&record).expect("a record is plain JSON");
    serde_json::from_str(&text).expect("it is read back")
}
