//! What is told again, and in which form: others rely on it.

use agent_core::{
    AgentEvent, AgentKind, BlockId, ErrorClass, FileChanges, Notice, NoticeKind, SubtaskId, TaskId,
    ToolCallId, ToolEvent, ToolStatus, TurnKey, redaction::redact_value,
};
use journal::Writer;
use redact::Secrets;
use wegent_protocol::decode;

use super::*;

const NAME: TurnLogName = TurnLogName {
    key: TurnKey {
        task: TaskId(1),
        subtask: SubtaskId(2),
    },
    attempt: Attempt(1),
};

/// A turn's journal in a folder of its own.
struct Stage {
    _root: tempfile::TempDir,
    store: Store,
    log: TurnLog<TurnRecord>,
    delivered: watch::Sender<Seq>,
}

impl Stage {
    fn new() -> (Self, Writer<TurnRecord>) {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let log = store.create(&NAME.to_log_name()).unwrap();
        let mut writer = log.writer().unwrap();
        let request = json!({"input": "hi", "metadata": {"task_id": 1, "subtask_id": 2, "bot": [{"shell_type": "Codex"}]}});
        let dispatch = decode(request.to_string().as_bytes()).unwrap();
        let callback = Some("http://secret.example/callback".to_owned());
        let header = TurnHeader::new(&dispatch, Attempt(1), callback, 5);
        append(&mut writer, RecordBody::Begun(Box::new(plain(header))));
        let stage = Self {
            _root: root,
            store,
            log,
            delivered: watch::Sender::new(Seq::START),
        };
        (stage, writer)
    }

    fn open(&self, after: u64) -> History {
        let open = OpenTurn {
            log: self.log.clone(),
            delivered: self.delivered.subscribe(),
        };
        History::of_open(NAME, RunStatus::Running, open, after).unwrap()
    }

    fn closed(&self, after: u64) -> History {
        History::of_closed(&self.store, NAME, after).unwrap()
    }
}

fn plain<T: Serialize + serde::de::DeserializeOwned>(
    value: T,
) -> agent_core::redaction::Redacted<T> {
    redact_value(&Secrets::new(), value).unwrap()
}

fn append(writer: &mut Writer<TurnRecord>, body: RecordBody) {
    writer.append(&TurnRecord { at_ms: 7, body }).unwrap();
}

fn say(writer: &mut Writer<TurnRecord>, delta: &str) {
    let event = AgentEvent::Text {
        block: BlockId::new("b").unwrap(),
        parent: None,
        delta: delta.to_owned(),
    };
    append(writer, RecordBody::Event(plain(event)));
}

fn end(mut writer: Writer<TurnRecord>) {
    let end = TurnEnd {
        kind: EndKind::Failed {
            class: ErrorClass::Timeout,
            message: "too slow".to_owned(),
            code: None,
        },
        usage: None,
        tool_called: true,
        session: None,
        changes: FileChanges::default(),
        clean_up: Default::default(),
    };
    let body = RecordBody::Ended(Box::new(plain(end)));
    writer.append_last(&TurnRecord { at_ms: 9, body }).unwrap();
}

fn numbers(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq).collect()
}

#[test]
fn entries_have_the_form_that_is_documented() {
    let (stage, mut writer) = Stage::new();
    say(&mut writer, "Hello");
    let call = ToolCallId::new("c").unwrap();
    let events = [
        AgentEvent::Tool(ToolEvent::Started {
            call: call.clone(),
            parent: None,
            name: "Bash".to_owned(),
            input: json!({"command": "ls"}),
        }),
        AgentEvent::Tool(ToolEvent::Finished {
            call,
            status: ToolStatus::Done,
            output: "a".to_owned(),
        }),
        AgentEvent::Notice(Notice {
            kind: NoticeKind::Warning,
            text: "mind".to_owned(),
        }),
    ];
    for event in events {
        append(&mut writer, RecordBody::Event(plain(event)));
    }
    append(&mut writer, RecordBody::Gap { dropped: 3 });
    end(writer);
    let shown = serde_json::to_value(stage.open(0).read(100).unwrap()).unwrap();
    let kinds: Vec<&str> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["kind"].as_str().unwrap())
        .collect();
    let expected = ["begun", "text", "tool", "tool", "notice", "gap", "ended"];
    assert_eq!(kinds, expected);
    let data = |at: usize| shown[at]["data"].clone();
    assert_eq!(
        shown[0],
        json!({"seq": 1, "at_ms": 7, "kind": "begun",
            "data": {"agent": "codex", "protocol": "responses", "response_id": "resp_2"}})
    );
    assert_eq!(data(1), json!({"block": "b", "delta": "Hello"}));
    assert_eq!(
        data(2),
        json!({"step": "started", "call": "c", "name": "Bash", "input": {"command": "ls"}})
    );
    assert_eq!(
        data(3),
        json!({"step": "finished", "call": "c", "status": "done", "output": "a"})
    );
    assert_eq!(data(4)["text"], "mind");
    assert_eq!(data(5), json!({"missing": 3}));
    let ended = data(6);
    let said = [&ended["end"], &ended["code"], &ended["message"]];
    assert_eq!(said, ["failed", "timeout_error", "too slow"]);
    assert_eq!(ended["tool_called"], true);
    assert!(!shown.to_string().contains("secret.example"), "{shown}");
}

#[test]
fn any_part_of_a_closed_journal_can_be_read_again() {
    let (stage, mut writer) = Stage::new();
    (0..9).for_each(|n| say(&mut writer, &n.to_string()));
    end(writer);
    stage.log.cursor().unwrap().ack(Seq(4)).unwrap();
    let mut history = stage.closed(3);
    let view = history.view().clone();
    assert_eq!(
        (view.agent, view.state, view.started_at_ms),
        (Some(AgentKind::Codex), RunStatus::Failed, 7)
    );
    assert_eq!((view.events, view.delivered), (11, 4));
    assert_eq!(numbers(&history.read(2).unwrap()), [4, 5]);
    assert_eq!(numbers(&history.read(100).unwrap()), [6, 7, 8, 9, 10, 11]);
    assert!(history.is_over());
    assert!(stage.closed(11).is_over());
    assert!(stage.closed(99).is_over());
    assert!(!stage.closed(10).is_over());
}

#[tokio::test]
async fn what_is_there_and_what_comes_have_no_seam() {
    const COUNT: u64 = 5000;
    let (stage, mut writer) = Stage::new();
    let mut histories: Vec<History> = (0..3).map(|after| stage.open(after)).collect();
    let writing = async {
        for n in 0..COUNT {
            say(&mut writer, &n.to_string());
            if n % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        end(writer);
    };
    let reading = futures::future::join_all(histories.iter_mut().map(async |history| {
        let mut seen = Vec::new();
        while let Some(part) = history.next().await.unwrap() {
            seen.extend(numbers(&part.events));
        }
        seen
    }));
    let ((), seen) = tokio::join!(writing, reading);
    for (after, seen) in (0..).zip(seen) {
        assert_eq!(seen, (after + 1..=COUNT + 2).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn how_far_it_was_delivered_is_told_while_the_turn_goes_on() {
    let (stage, mut writer) = Stage::new();
    let mut history = stage.open(0);
    assert_eq!(numbers(&history.next().await.unwrap().unwrap().events), [1]);
    stage.delivered.send_replace(Seq(1));
    let part = history.next().await.unwrap().unwrap();
    assert_eq!((part.events.len(), part.delivered), (0, Some(1)));
    say(&mut writer, "a");
    assert_eq!(numbers(&history.next().await.unwrap().unwrap().events), [2]);
    let Stage { delivered, .. } = stage;
    drop(delivered);
    end(writer);
    // Nobody delivers any more: that is no reason to spin, nor to miss the end.
    assert_eq!(numbers(&history.next().await.unwrap().unwrap().events), [3]);
    assert_eq!(history.next().await.unwrap(), None);
}

/// After a crash numbers that were delivered are not given out again, so there may be a hole.
#[test]
fn numbers_that_are_missing_are_told_as_a_gap() {
    let (stage, writer) = Stage::new();
    stage.log.cursor().unwrap().note_sending(Seq(5)).unwrap();
    let Stage {
        _root: root,
        store,
        log,
        ..
    } = stage;
    drop((writer, log));
    let log = store.attach(&NAME.to_log_name()).unwrap();
    end(log.writer().unwrap());
    drop(log);
    let read = |after| {
        let history = History::of_closed(&store, NAME, after);
        history.unwrap().read(100).unwrap()
    };
    let all = read(0);
    assert_eq!(numbers(&all), [1, 5, 6]);
    assert_eq!(
        (all[1].kind.as_str(), &all[1].data),
        ("gap", &json!({"missing": 4}))
    );
    // Who has a part of it is told how much of it is missing.
    assert_eq!(read(3)[0].data, json!({"missing": 2}));
    assert_eq!(numbers(&read(5)), [6]);
    drop(root);
}

#[test]
fn of_a_journal_that_has_gone_its_length_and_its_end_are_left() {
    let (stage, writer) = Stage::new();
    end(writer);
    let Stage {
        _root: root,
        store,
        log,
        ..
    } = stage;
    drop(log);
    let card = Card {
        agent: Some(AgentKind::Codex),
        began_ms: 7,
        events: 2,
    };
    let request = json!({"input": "hi", "metadata": {"task_id": 1, "subtask_id": 2, "bot": [{"shell_type": "Codex"}]}});
    let epitaph = Epitaph {
        fingerprint: decode(request.to_string().as_bytes()).unwrap().fingerprint,
        status: RunStatus::Failed,
        delivered_at_ms: 11,
        card,
    };
    let keep = journal::Retention {
        bytes: 0,
        ..Default::default()
    };
    let payload = serde_json::to_vec(&epitaph).unwrap();
    let swept = store.sweep(&keep, std::time::SystemTime::now(), |_| {
        Some(payload.clone())
    });
    assert_eq!(swept.unwrap().buried.len(), 1);
    let mut history = History::of_closed(&store, NAME, 1).unwrap();
    assert_eq!(
        (history.view().state, history.view().events),
        (RunStatus::Failed, 2)
    );
    let gap = Entry {
        seq: 2,
        at_ms: 11,
        kind: "gap".to_owned(),
        data: json!({"missing": 1}),
    };
    assert_eq!(history.read(10).unwrap(), [gap]);
    assert!(History::of_closed(&store, NAME, 2).unwrap().is_over());
    let other = TurnLogName {
        attempt: Attempt(9),
        ..NAME
    };
    let unknown = History::of_closed(&store, other, 0);
    assert!(matches!(unknown, Err(HistoryError::Unknown)));
    drop(root);
}
