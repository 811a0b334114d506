use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use agent_core::{
    AgentEvent, Attempt, BlockId, ToolCallId, ToolEvent, Usage, redaction::redact_value,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use journal::{LogName, Store, TurnLog, Writer};
use redact::Secrets;
use serde_json::json;
use tokio::sync::Semaphore;
use wegent_protocol::{RecordBody, ResponsesEncoder, TurnHeader, decode};

use super::*;

/// Takes as many messages as it has permits; what comes then hangs.
struct Taking {
    permits: Semaphore,
    seen: Mutex<Vec<(String, Bytes)>>,
}

impl Taking {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Semaphore::new(permits),
            seen: Mutex::default(),
        })
    }

    fn seen(&self) -> Vec<(String, Bytes)> {
        self.seen.lock().unwrap().clone()
    }
}

impl Transport for Taking {
    fn post<'a>(&'a self, key: &'a str, body: Bytes) -> BoxFuture<'a, Posted> {
        self.seen.lock().unwrap().push((key.to_owned(), body));
        Box::pin(async {
            self.permits.acquire().await.unwrap().forget();
            Posted::Accepted
        })
    }
}

fn write(writer: &mut Writer<TurnRecord>, body: RecordBody) {
    writer.append(&TurnRecord { at_ms: 0, body }).unwrap();
}

fn event(writer: &mut Writer<TurnRecord>, event: AgentEvent) {
    let event = redact_value(&Secrets::new(), event).unwrap();
    write(writer, RecordBody::Event(event));
}

fn words(writer: &mut Writer<TurnRecord>, count: usize) {
    for number in 0..count {
        let block = BlockId::new("b").unwrap();
        let delta = format!("{number} ");
        event(
            writer,
            AgentEvent::Text {
                block,
                parent: None,
                delta,
            },
        );
    }
}

fn begin(writer: &mut Writer<TurnRecord>) {
    let body = json!({"input": "hi", "model": "m", "metadata": {"task_id": 1, "subtask_id": 2, "bot": [{"shell_type": "Codex"}]}});
    let dispatch = decode(body.to_string().as_bytes()).unwrap();
    let header = TurnHeader::new(&dispatch, Attempt(1), None, 0);
    let header = redact_value(&Secrets::new(), header).unwrap();
    write(writer, RecordBody::Begun(Box::new(header)));
}

fn courier(log: &TurnLog<TurnRecord>, transport: &Arc<Taking>) -> Courier {
    let (reader, cursor) = (log.reader(Seq::START), log.cursor().unwrap());
    let transport = Arc::clone(transport) as Arc<dyn Transport>;
    let encoder = Box::new(ResponsesEncoder::new());
    Courier::new(
        reader,
        cursor,
        encoder,
        transport,
        Terms::default(),
        RetryPolicy::default(),
    )
}

/// Drives a courier until it has begun so many requests.
async fn until_begun(
    mut running: Pin<&mut impl Future<Output = Result<Delivery, JournalError>>>,
    transport: &Taking,
    requests: usize,
) {
    while transport.seen().len() < requests {
        tokio::select! {
            ended = &mut running => panic!("{ended:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
}

/// The message that is under way covers more records than one read gives, and the reads of the courier that made it
/// were out of step with those of one that begins anew.
#[tokio::test]
async fn a_large_range_that_was_under_way_is_sent_again_to_the_byte() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let log = store
        .create::<TurnRecord>(&LogName::new("1.2.1").unwrap())
        .unwrap();
    let mut writer = log.writer().unwrap();
    begin(&mut writer);
    let before = Taking::new(0);
    let mut running = Box::pin(courier(&log, &before).run());
    until_begun(running.as_mut(), &before, 1).await;
    words(&mut writer, READ_AHEAD_RECORDS - 3);
    let call = ToolCallId::new("c").unwrap();
    let started = ToolEvent::Started {
        call,
        parent: None,
        name: "Bash".to_owned(),
        input: json!({}),
    };
    event(&mut writer, AgentEvent::Tool(started));
    words(&mut writer, 2 * READ_AHEAD_RECORDS);
    before.permits.add_permits(3);
    until_begun(running.as_mut(), &before, 4).await;
    drop(running);

    let after = Taking::new(0);
    let mut running = Box::pin(courier(&log, &after).run());
    until_begun(running.as_mut(), &after, 1).await;
    let (again, under_way) = (&after.seen()[0], &before.seen()[3]);
    assert_eq!(again.0, under_way.0);
    assert!(
        again.1 == under_way.1,
        "{} bytes, then {}",
        under_way.1.len(),
        again.1.len()
    );
}

/// What is read to send that range again ends exactly where the range does.
#[tokio::test]
async fn a_courier_goes_on_after_a_range_that_ends_where_a_read_does() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let log = store
        .create::<TurnRecord>(&LogName::new("1.2.1").unwrap())
        .unwrap();
    let mut writer = log.writer().unwrap();
    begin(&mut writer);
    words(&mut writer, READ_AHEAD_RECORDS - 1);
    let before = Taking::new(1);
    let mut running = Box::pin(courier(&log, &before).run());
    until_begun(running.as_mut(), &before, 2).await;
    drop(running);

    words(&mut writer, 1);
    let after = Taking::new(1);
    let mut running = Box::pin(courier(&log, &after).run());
    let goes_on = until_begun(running.as_mut(), &after, 2);
    tokio::time::timeout(Duration::from_secs(20), goes_on)
        .await
        .expect("what follows is sent");
    assert_eq!(after.seen()[0], before.seen()[1]);
}

/// What has nothing in it to send counts as sent, but not before what comes earlier.
#[tokio::test]
async fn progress_tells_what_the_endpoint_has_taken() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let log = store
        .create::<TurnRecord>(&LogName::new("1.2.1").unwrap())
        .unwrap();
    let mut writer = log.writer().unwrap();
    begin(&mut writer);
    let transport = Taking::new(1);
    let courier = courier(&log, &transport);
    let mut progress = courier.progress();
    let mut running = Box::pin(courier.run());
    until_begun(running.as_mut(), &transport, 1).await;
    words(&mut writer, 1);
    until_begun(running.as_mut(), &transport, 2).await;
    event(&mut writer, AgentEvent::Usage(Usage::default()));
    assert_eq!(*progress.borrow(), Seq(1), "the word hangs");
    transport.permits.add_permits(1);
    let reached = async {
        progress
            .wait_for(|through| *through >= log.last())
            .await
            .map(|_| ())
    };
    tokio::select! {
        ended = &mut running => panic!("{ended:?}"),
        reached = tokio::time::timeout(Duration::from_secs(20), reached) => reached.unwrap().unwrap(),
    }
    assert_eq!(transport.seen().len(), 2);
    drop(running);
    assert!(
        progress.changed().await.is_err(),
        "nobody delivers any more"
    );
}
