//! What an endpoint can do to a courier, and what a process can: nothing is lost, and what is sent again is the same to the
//! byte.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use agent_core::{
    AgentEvent, Attempt, BlockId, CleanUp, FileChanges, StopReason, ToolCallId, ToolEvent,
    ToolStatus, redaction::redact_value,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use journal::{LogName, Seq, Store, TurnLog};
use redact::Secrets;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};
use wegent_protocol::{
    EndKind, Protocol, RecordBody, TurnEnd, TurnHeader, TurnRecord, decode, encoder,
};

use super::*;
use crate::runs::RunStatus;

const WORDS: usize = 30;

fn a_record(at_ms: u64, event: AgentEvent) -> TurnRecord {
    let event = redact_value(&Secrets::new(), event).unwrap();
    TurnRecord {
        at_ms,
        body: RecordBody::Event(event),
    }
}

/// A turn of some words, a tool call and its end, as it was recorded at the times that `clock` tells.
fn records(protocol: Protocol, mut clock: impl FnMut() -> u64) -> Vec<TurnRecord> {
    let body = json!({"input": "hi", "model": "m", "metadata": {"task_id": 1, "subtask_id": 2, "bot": [{"shell_type": "Codex"}]}});
    let mut dispatch = decode(body.to_string().as_bytes()).unwrap();
    dispatch.protocol = protocol;
    let header = TurnHeader::new(&dispatch, Attempt(1), None, 0);
    let header = redact_value(&Secrets::new(), header).unwrap();
    let mut records = vec![TurnRecord {
        at_ms: clock(),
        body: RecordBody::Begun(Box::new(header)),
    }];
    let call = ToolCallId::new("c").unwrap();
    for number in 0..WORDS {
        let block = BlockId::new(if number < WORDS / 2 { "a" } else { "b" }).unwrap();
        let delta = format!("{number} ");
        let parent = None;
        let text = AgentEvent::Text {
            block,
            parent,
            delta,
        };
        records.push(a_record(clock(), text));
        if number == WORDS / 2 - 1 {
            let (name, input) = ("Bash".to_owned(), json!({"command": "ls"}));
            let started = ToolEvent::Started {
                call: call.clone(),
                parent: None,
                name,
                input,
            };
            records.push(a_record(clock(), AgentEvent::Tool(started)));
            let (status, output) = (ToolStatus::Done, "out".to_owned());
            let finished = ToolEvent::Finished {
                call: call.clone(),
                status,
                output,
            };
            records.push(a_record(clock(), AgentEvent::Tool(finished)));
        }
    }
    let end = TurnEnd {
        kind: EndKind::Completed {
            text: String::new(),
            stop: StopReason::EndTurn,
        },
        usage: None,
        tool_called: true,
        session: None,
        changes: FileChanges::default(),
        clean_up: CleanUp::default(),
    };
    let end = redact_value(&Secrets::new(), end).unwrap();
    let body = RecordBody::Ended(Box::new(end));
    records.push(TurnRecord {
        at_ms: clock(),
        body,
    });
    records
}

/// A journal with the first `count` of these records; all of them if there are no more.
struct Journal {
    _root: tempfile::TempDir,
    store: Store,
    log: TurnLog<TurnRecord>,
}

fn name() -> LogName {
    LogName::new("1.2.1").unwrap()
}

fn journal(records: &[TurnRecord]) -> Journal {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let log = store.create(&name()).unwrap();
    let mut writer = log.writer().unwrap();
    let (last, before) = records.split_last().unwrap();
    for record in before {
        writer.append(record).unwrap();
    }
    writer.append_last(last).unwrap();
    Journal {
        _root: root,
        store,
        log,
    }
}

fn courier(
    log: &TurnLog<TurnRecord>,
    protocol: Protocol,
    transport: Arc<dyn Transport>,
) -> Courier {
    Courier::new(
        log.reader(Seq::START),
        log.cursor().unwrap(),
        encoder(protocol),
        transport,
        Terms::default(),
        RetryPolicy::default(),
    )
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    key: String,
    through: u64,
    body: Bytes,
}

/// Remembers everything, takes the first `takes` requests, and lets the next one hang.
struct Hanging {
    takes: usize,
    sent: Mutex<Vec<Sent>>,
    hangs: watch::Sender<bool>,
}

impl Hanging {
    fn new(takes: usize) -> Arc<Self> {
        Arc::new(Self {
            takes,
            sent: Mutex::default(),
            hangs: watch::Sender::new(false),
        })
    }

    fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }
}

impl Transport for Hanging {
    fn post<'a>(&'a self, label: Label<'a>, body: Bytes) -> BoxFuture<'a, Posted> {
        let mut sent = self.sent.lock().unwrap();
        sent.push(Sent {
            key: label.key.to_owned(),
            through: label.through,
            body,
        });
        let hangs = sent.len() > self.takes;
        self.hangs.send_replace(hangs);
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Posted::Accepted
        })
    }
}

/// Delivers until a request hangs, as if the process was killed then. The end of it all if none does.
async fn until_killed(
    journal: &Journal,
    protocol: Protocol,
    takes: usize,
) -> (Vec<Sent>, Option<Delivery>) {
    let transport = Hanging::new(takes);
    let mut hangs = transport.hangs.subscribe();
    let running = courier(&journal.log, protocol, transport.clone()).run();
    let delivery = tokio::select! {
        delivery = running => Some(delivery.unwrap()),
        _ = async { hangs.wait_for(|hangs| *hangs).await.map(|_| ()) } => None,
    };
    (transport.sent(), delivery)
}

/// Killed at each request, and again at the first one of the next process: every time the request is the same to the byte,
/// and what the endpoint has in the end is what it would have had.
#[tokio::test(start_paused = true)]
async fn killed_at_any_request_twice_over_the_same_bytes_are_sent_again() {
    for protocol in [Protocol::Responses, Protocol::Cumulative] {
        let records = records(protocol, || 5);
        let whole = journal(&records);
        let (expected, delivery) = until_killed(&whole, protocol, usize::MAX).await;
        assert_eq!(delivery, Some(Delivery::Delivered(RunStatus::Completed)));
        for takes in 0..expected.len() {
            let journal = journal(&records);
            let (before, _) = until_killed(&journal, protocol, takes).await;
            let under_way = before.last().unwrap();
            let (again, _) = until_killed(&journal, protocol, 0).await;
            let (rest, delivery) = until_killed(&journal, protocol, usize::MAX).await;
            assert_eq!(delivery, Some(Delivery::Delivered(RunStatus::Completed)));
            // A record that takes several messages is begun again with its first one, so one before may come as well; and
            // whether the last message was a snapshot isn't known, so that one may come that repeats it, with a key of its own.
            let resent = again.iter().chain(&rest[..1]);
            assert!(
                resent
                    .clone()
                    .all(|sent| before.contains(sent) || sent.key.ends_with("-again")),
                "{protocol:?} after {takes}"
            );
            assert!(rest.contains(under_way), "{protocol:?} after {takes}");
            let known: HashMap<&str, &Sent> = before
                .iter()
                .map(|sent| (sent.key.as_str(), sent))
                .collect();
            let same = |sent: &&Sent| {
                known
                    .get(sent.key.as_str())
                    .is_none_or(|known| known == sent)
            };
            assert!(
                rest.iter().all(|sent| same(&sent)),
                "{protocol:?} after {takes}"
            );
            // The endpoint passes over what it has already, by the key.
            let mut keys = HashSet::new();
            let taken = before[..takes].iter().chain(&rest);
            let taken: Vec<&Sent> = taken.filter(|sent| keys.insert(&sent.key)).collect();
            let taken = taken.into_iter();
            assert_eq!(
                said(protocol, taken.clone()),
                said(protocol, expected.iter())
            );
            assert_eq!(taken.filter(|sent| is_end(sent)).count(), 1);
        }
    }
}

/// What a reader has of the answer in the end.
fn said<'a>(protocol: Protocol, sent: impl Iterator<Item = &'a Sent>) -> String {
    let bodies = sent.map(|sent| serde_json::from_slice::<Value>(&sent.body).unwrap());
    match protocol {
        Protocol::Responses => bodies
            .filter_map(|body| body["data"]["delta"].as_str().map(str::to_owned))
            .collect(),
        Protocol::Cumulative => bodies
            .last()
            .map(|body| body["result"]["value"].to_string())
            .unwrap_or_default(),
    }
}

fn is_end(sent: &Sent) -> bool {
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    body["event_type"] == "response.completed" || body["status"] == "COMPLETED"
}

/// Keys name messages, and the number of what a message covers never falls.
#[tokio::test(start_paused = true)]
async fn every_message_has_a_key_of_its_own_and_a_number_that_never_falls() {
    for protocol in [Protocol::Responses, Protocol::Cumulative] {
        let records = records(protocol, || 5);
        let (sent, _) = until_killed(&journal(&records), protocol, usize::MAX).await;
        let keys: HashSet<&str> = sent.iter().map(|sent| sent.key.as_str()).collect();
        assert_eq!(keys.len(), sent.len());
        assert!(sent.is_sorted_by_key(|sent| sent.through), "{sent:?}");
        assert_eq!(sent.last().unwrap().through, records.len() as u64);
    }
}

/// The machine's clock is set back and forth while the turn runs: times are only told, never reckoned with.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_and_forth_changes_nothing_but_times() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    for protocol in [Protocol::Responses, Protocol::Cumulative] {
        let steady = records(protocol, || 40 * DAY);
        let mut count = 0;
        let jumping = records(protocol, || {
            count += 1;
            [40 * DAY, 0, 39 * DAY, 41 * DAY][count % 4]
        });
        let (expected, _) = until_killed(&journal(&steady), protocol, usize::MAX).await;
        let (sent, delivery) = until_killed(&journal(&jumping), protocol, usize::MAX).await;
        assert_eq!(delivery, Some(Delivery::Delivered(RunStatus::Completed)));
        let keys = |sent: &[Sent]| sent.iter().map(|sent| sent.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&sent), keys(&expected));
        assert_eq!(said(protocol, sent.iter()), said(protocol, expected.iter()));
    }
}

/// An endpoint that is there and away by turns, slow while it is there, and refuses some for good.
struct Flapping {
    began: Instant,
    /// The first try after each return, in milliseconds.
    waited: Mutex<Vec<u128>>,
    away_until: AtomicU64,
    taken: Mutex<Vec<Sent>>,
    tries: AtomicU64,
}

const PERIOD: Duration = Duration::from_secs(20);

impl Transport for Flapping {
    fn post<'a>(&'a self, label: Label<'a>, body: Bytes) -> BoxFuture<'a, Posted> {
        Box::pin(async move {
            let try_number = self.tries.fetch_add(1, Ordering::Relaxed);
            let period = self.began.elapsed().as_millis() / PERIOD.as_millis();
            if period.is_multiple_of(2) {
                // Away: at the next even border it is there again.
                let back = (period + 1) * PERIOD.as_millis();
                self.away_until
                    .store(u64::try_from(back).unwrap(), Ordering::Relaxed);
                return Posted::Retry {
                    why: "connection refused".to_owned(),
                    after: None,
                    answered: false,
                };
            }
            let back = u128::from(self.away_until.swap(0, Ordering::Relaxed));
            if back > 0 {
                let waited = self.began.elapsed().as_millis() - back;
                self.waited.lock().unwrap().push(waited);
            }
            tokio::time::sleep(Duration::from_secs(4)).await;
            if try_number % 5 == 4 {
                return Posted::Retry {
                    why: "connection reset in the middle of the body".to_owned(),
                    after: None,
                    answered: false,
                };
            }
            self.taken.lock().unwrap().push(Sent {
                key: label.key.to_owned(),
                through: label.through,
                body,
            });
            Posted::Accepted
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_and_goes_gets_everything_and_the_first_within_a_second() {
    let protocol = Protocol::Responses;
    let records = records(protocol, || 5);
    let journal = journal(&records);
    let transport = Arc::new(Flapping {
        began: Instant::now(),
        waited: Mutex::default(),
        away_until: AtomicU64::new(0),
        taken: Mutex::default(),
        tries: AtomicU64::new(0),
    });
    let delivery = courier(&journal.log, protocol, transport.clone())
        .run()
        .await;
    assert_eq!(delivery.unwrap(), Delivery::Delivered(RunStatus::Completed));
    let taken = transport.taken.lock().unwrap();
    let words: String = (0..WORDS).map(|number| format!("{number} ")).collect();
    assert_eq!(said(protocol, taken.iter()).replace("\n\n", ""), words);
    let keys: HashSet<&str> = taken.iter().map(|sent| sent.key.as_str()).collect();
    assert_eq!(keys.len(), taken.len(), "nothing was taken twice");
    let waited = transport.waited.lock().unwrap();
    assert!(!waited.is_empty());
    assert!(waited.iter().all(|millis| *millis <= 1000), "{waited:?}");
    assert_eq!(journal.store.existing().unwrap(), [name()]);
}
