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
use wegent_protocol::{
    CumulativeEncoder, EndKind, RecordBody, ResponsesEncoder, TurnEnd, TurnHeader, decode,
};

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
    fn post<'a>(&'a self, label: Label<'a>, body: Bytes) -> BoxFuture<'a, Posted> {
        self.seen.lock().unwrap().push((label.key.to_owned(), body));
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

/// An endpoint that answers, and can't take what `takes` says no to.
struct Choosy {
    takes: fn(&str, usize) -> bool,
    seen: Mutex<Vec<String>>,
}

impl Transport for Choosy {
    fn post<'a>(&'a self, Label { key, .. }: Label<'a>, _body: Bytes) -> BoxFuture<'a, Posted> {
        let mut seen = self.seen.lock().unwrap();
        seen.push(key.to_owned());
        let times = seen.iter().filter(|other| *other == key).count();
        Box::pin(std::future::ready(match (self.takes)(key, times) {
            true => Posted::Accepted,
            false => Posted::Retry {
                why: "502 Bad Gateway".to_owned(),
                after: None,
                answered: true,
            },
        }))
    }
}

/// The kinds of cumulative callbacks of a turn, each with how often it was sent.
async fn offered(takes: fn(&str, usize) -> bool) -> (Delivery, Vec<(String, usize)>) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let log = store
        .create::<TurnRecord>(&LogName::new("1.2.1").unwrap())
        .unwrap();
    let mut writer = log.writer().unwrap();
    begin(&mut writer);
    words(&mut writer, 3);
    let kind = EndKind::Failed {
        class: agent_core::ErrorClass::Agent,
        message: "broken".to_owned(),
        code: None,
    };
    let end = TurnEnd {
        kind,
        usage: None,
        tool_called: false,
        session: None,
        changes: agent_core::FileChanges::default(),
        clean_up: Default::default(),
    };
    let end = redact_value(&Secrets::new(), end).unwrap();
    writer
        .append_last(&TurnRecord {
            at_ms: 0,
            body: RecordBody::Ended(Box::new(end)),
        })
        .unwrap();
    let transport = Arc::new(Choosy {
        takes,
        seen: Mutex::default(),
    });
    let courier = Courier::new(
        log.reader(Seq::START),
        log.cursor().unwrap(),
        Box::new(CumulativeEncoder::new()),
        Arc::clone(&transport) as Arc<dyn Transport>,
        Terms::default(),
        RetryPolicy::default(),
    );
    let delivery = courier.run().await.unwrap();
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for key in transport.seen.lock().unwrap().iter() {
        let kind = key.rsplit('-').next().unwrap();
        match kinds.last_mut() {
            Some((last, times)) if last == kind => *times += 1,
            _ => kinds.push((kind.to_owned(), 1)),
        }
    }
    (delivery, kinds)
}

fn kinds(kinds: &[(&str, usize)]) -> Vec<(String, usize)> {
    let owned = |(kind, times): &(&str, usize)| ((*kind).to_owned(), *times);
    kinds.iter().map(owned).collect()
}

/// The endpoint is there, and never takes what comes before the end: no later message waits for it for ever.
#[tokio::test(start_paused = true)]
async fn what_is_repeated_later_is_passed_over_in_the_end() {
    let (delivery, sent) = offered(|key, _| key.ends_with("-end")).await;
    assert_eq!(delivery, Delivery::Delivered(RunStatus::Failed));
    let expected = [("started", 12), ("init", 12), ("s", 12), ("end", 1)];
    assert_eq!(sent, kinds(&expected));
}

/// It takes no end but the smallest one, and that late.
#[tokio::test(start_paused = true)]
async fn the_end_is_offered_whole_and_small_until_it_is_taken() {
    let (delivery, sent) =
        offered(|key, times| !key.ends_with("-end") && (!key.ends_with("-min") || times > 12))
            .await;
    assert_eq!(delivery, Delivery::Delivered(RunStatus::Failed));
    let ends = [("end", 12), ("min", 12), ("end", 12), ("min", 1)];
    assert_eq!(sent[3..], kinds(&ends));
}
