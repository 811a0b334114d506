//! How fast a request becomes a turn, and a turn's records callbacks.

use agent_core::{AgentEvent, Attempt, BlockId, redaction::redact_value};
use divan::{Bencher, counter::ItemsCount};
use redact::Secrets;
use wegent_protocol::{
    CumulativeEncoder, Encoder, RecordBody, Recorded, ResponsesEncoder, TurnHeader, TurnRecord,
    decode,
};

fn main() {
    divan::main();
}

const REQUEST: &[u8] = include_bytes!("../fixtures/requests/codex-live-first.json");
const DELTAS: usize = 1_000;

#[divan::bench(sample_count = 50)]
fn request() {
    divan::black_box(decode(REQUEST).expect("a captured request"));
}

fn records() -> Vec<TurnRecord> {
    let secrets = Secrets::new();
    let dispatch = decode(REQUEST).expect("a captured request");
    let header = TurnHeader::new(&dispatch, Attempt(1), None, 0);
    let header = redact_value(&secrets, header).expect("a header is JSON");
    let begun = RecordBody::Begun(Box::new(header));
    let deltas = (0..DELTAS).map(|_| {
        let event = AgentEvent::Text {
            block: BlockId::new("message-1").expect("a plain id"),
            parent: None,
            delta: "twenty bytes of text".to_owned(),
        };
        RecordBody::Event(redact_value(&secrets, event).expect("an event is JSON"))
    });
    let bodies = std::iter::once(begun).chain(deltas);
    bodies.map(|body| TurnRecord { at_ms: 0, body }).collect()
}

/// A message for each so many deltas: `1` is a slow model, `1000` what piles up during an outage.
#[divan::bench(args = [1, 20, 1000], sample_count = 50)]
fn responses(bencher: Bencher<'_, '_>, together: usize) {
    let records = records();
    bencher
        .counter(ItemsCount::new(DELTAS))
        .bench(|| encode(&mut ResponsesEncoder::new(), &records, together));
}

/// Each message repeats the answer.
#[divan::bench(args = [20, 1000], sample_count = 50)]
fn cumulative(bencher: Bencher<'_, '_>, together: usize) {
    let records = records();
    bencher
        .counter(ItemsCount::new(DELTAS))
        .bench(|| encode(&mut CumulativeEncoder::new(), &records, together));
}

/// The bytes of all messages.
fn encode(encoder: &mut dyn Encoder, records: &[TurnRecord], together: usize) -> usize {
    let recorded: Vec<Recorded<'_>> = (1..)
        .zip(records)
        .map(|(seq, record)| Recorded { seq, record })
        .collect();
    let mut bytes = 0;
    for batch in recorded.chunks(together) {
        let mut rest = batch;
        while !rest.is_empty() {
            let step = encoder.next(rest);
            bytes += step.message.map_or(0, |message| message.body.len());
            rest = &rest[step.consumed..];
        }
    }
    bytes
}
