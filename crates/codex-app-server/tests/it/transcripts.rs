//! Recorded sessions of the real codex 0.169, replayed.

use std::collections::{HashMap, HashSet};

use codex_app_server::{
    Client, RpcError, ThreadEvent, ThreadStream,
    protocol::{
        CodexErrorKind, Notification, ServerRequest, ThreadItem, ThreadResumeParams,
        ThreadStartParams,
    },
};
use serde_json::{Value, value::to_raw_value};
use testkit::transcript::{self, Line, Message, Transcript};
use tokio::task::JoinSet;

use crate::fake::{Fake, SOON, plain};

/// Every recording, process by process.
fn transcripts() -> Vec<Transcript> {
    let names = transcript::names();
    assert!(names.len() > 40, "only {} recordings", names.len());
    names
        .iter()
        .flat_map(|name| transcript::load(name).unwrap().parts())
        .collect()
}

/// What codex said in a recording without being asked.
fn said(transcript: &Transcript) -> impl Iterator<Item = (&str, &Value, &Message)> {
    transcript
        .received()
        .filter_map(|message| Some((message.method()?, &message.0["params"], message)))
}

#[test]
fn every_recorded_message_is_understood() {
    for transcript in transcripts() {
        let name = &transcript.name;
        for (method, params, message) in said(&transcript) {
            if message.is_request() {
                assert!(ServerRequest::KNOWN.contains(&method), "{name}: {method}");
                continue;
            }
            let notification = Notification::parse(method, &to_raw_value(params).unwrap());
            let unknown = matches!(notification, Notification::Unknown { .. });
            assert_eq!(
                unknown,
                !crate::protocol::is_typed(method),
                "{name}: {notification:?}"
            );
            if let Notification::ItemStarted(event) | Notification::ItemCompleted(event) =
                &notification
            {
                assert!(
                    !matches!(event.item, ThreadItem::Unknown { .. }),
                    "{name}: {event:?}"
                );
            }
            if let Notification::Error(notice) = &notification {
                assert!(
                    !matches!(notice.error.kind(), None | Some(CodexErrorKind::Unknown(_))),
                    "{name}: {notice:?}"
                );
            }
        }
    }
}

/// The thread that a message belongs to.
fn thread_of(params: &Value) -> Option<&str> {
    params
        .get("threadId")
        .or_else(|| params.get("thread")?.get("id"))?
        .as_str()
}

/// The methods that a stream of `thread` has to bring: the thread's own, and those of its sub-agents from their first
/// turn on.
fn expected(transcript: &Transcript, thread: &str) -> Vec<String> {
    let mut family = HashSet::from([thread]);
    let mut turns = HashSet::new();
    let mut methods = Vec::new();
    for (method, params, _) in said(transcript) {
        let Some(of) = thread_of(params) else {
            continue;
        };
        if method == "turn/started" {
            let turn = &params["turn"];
            if of == thread {
                turns.extend(turn["id"].as_str());
            } else if turn["rootTurnId"]
                .as_str()
                .is_some_and(|root| turns.contains(root))
            {
                family.insert(of);
            }
        }
        if family.contains(of) {
            methods.push(method.to_owned());
        }
    }
    methods
}

/// What came by a stream: thread, and method by method.
type Heard = (String, Vec<String>);

/// Listens to the end, answering whatever is asked.
async fn listen(mut stream: ThreadStream) -> Heard {
    let mut heard = Vec::new();
    loop {
        match stream.next().await {
            ThreadEvent::Notification(notification) => heard.push(notification.method().to_owned()),
            ThreadEvent::Request(request) => {
                heard.push(request.method().to_owned());
                request.refuse("replay");
            }
            ThreadEvent::Lost { .. } => return (stream.id().to_string(), heard),
        }
    }
}

/// Makes a recorded call; one that opens a thread is then listened to.
async fn call(client: Client, method: String, params: Value) -> Option<Heard> {
    let opened = match method.as_str() {
        "thread/start" => client.thread_start(ThreadStartParams::default()).await,
        "thread/resume" => {
            let thread = params["threadId"].as_str().unwrap_or_default().to_owned();
            client
                .thread_resume(ThreadResumeParams::new(thread.into()))
                .await
        }
        _ => {
            // The answer's shape is of no interest here, nor whether codex refused.
            let _: Result<Value, RpcError> = client.call(&method, &params, SOON).await;
            return None;
        }
    };
    drop(client);
    match opened {
        Ok((_, stream)) => Some(listen(stream).await),
        Err(RpcError::Remote { .. }) => None,
        Err(other) => panic!("{method}: {other}"),
    }
}

/// Plays codex's part of a recording.
async fn replay(
    transcript: &Transcript,
    client: &Client,
    codex: &mut Fake,
    calls: &mut JoinSet<Option<Heard>>,
) {
    // The client's ids by those of the recording.
    let mut ids: HashMap<String, Value> = HashMap::new();
    for line in &transcript.lines {
        match line {
            Line::Sent(message) if message.is_request() => {
                let method = message.method().unwrap();
                let params = message.0["params"].clone();
                calls.spawn(call(client.clone(), method.to_owned(), params));
                let sent = codex.find(|sent| sent["method"] == method).await;
                ids.insert(message.id().unwrap().to_string(), sent["id"].clone());
            }
            Line::Sent(message) if message.is_answer() => {
                let id = message.id().unwrap();
                codex
                    .find(|sent| sent.get("method").is_none() && sent["id"] == *id)
                    .await;
            }
            Line::Received(message) if message.is_answer() => {
                let mut answer = message.0.clone();
                answer["id"] = ids[&message.id().unwrap().to_string()].clone();
                codex.send(&answer).await;
            }
            Line::Received(message) => codex.send(&message.0).await,
            Line::Sent(_) | Line::SentRaw(_) | Line::Stderr(_) | Line::Note(_) => {}
        }
    }
}

#[tokio::test]
async fn a_replayed_session_reaches_each_thread_whole_and_in_order() {
    let mut compared = 0;
    for transcript in transcripts() {
        let (client, mut codex, _driving) = plain();
        let mut calls = JoinSet::new();
        replay(&transcript, &client, &mut codex, &mut calls).await;
        drop(codex);
        let mut heard: HashMap<String, Vec<Vec<String>>> = HashMap::new();
        for (thread, methods) in calls.join_all().await.into_iter().flatten() {
            heard.entry(thread).or_default().push(methods);
        }
        for (thread, parts) in heard {
            let mut expected = expected(&transcript, &thread);
            let opened_once = parts.len() == 1;
            let mut methods = parts.concat();
            if !opened_once {
                // It is heard in several parts, which are collected in any order.
                methods.sort();
                expected.sort();
            }
            assert_eq!(methods, expected, "{}", transcript.name);
            compared += methods.len();
        }
    }
    assert!(compared > 1000, "only {compared} events compared");
}
