//! What happened in a turn, read again from its journal: what there is, then what comes, without a seam.
//!
//! The form of an [`Entry`] is for others to rely on and does not follow the journal's: README.md tells of it.

use agent_core::Attempt;
use journal::{JournalError, Reader, Seq, Store, StoreError, TurnLog, Wait};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use wegent_protocol::{EndKind, RecordBody, TurnEnd, TurnHeader, TurnRecord, ui_code};

use super::{
    RunStatus, TurnView,
    catalog::{Card, OpenTurn},
    log_name::TurnLogName,
    recover::Epitaph,
};

/// So much is read at once: records, and bytes of them.
const READ: (usize, usize) = (256, 256 * 1024);

/// One thing that happened in a turn, as it is shown to others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its number in the turn, rising from 1. Where numbers are missing an entry of the kind `gap` has the last of them.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it is: `begun`, the name of an event, `changes`, `gap`, `ended`.
    pub kind: String,
    /// What there is to say of it.
    pub data: Value,
}

/// A part of a turn's history.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Part {
    /// What happened, in its order.
    pub events: Vec<Entry>,
    /// Up to which number the platform has taken what there was to send, if that has changed.
    #[serde(skip)]
    pub delivered: Option<u64>,
}

/// Reads a turn's history.
#[derive(Debug)]
pub struct History {
    view: TurnView,
    /// Nothing is left to read once this is `None`.
    reader: Option<Reader<TurnRecord>>,
    /// Whether more may come.
    live: bool,
    delivered: Option<watch::Receiver<Seq>>,
    /// The last number that was read or is not wanted.
    seen: u64,
    /// What stands in the place of records that are gone.
    gone: Option<Entry>,
}

/// A history can't be had.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There never was such a turn, or nothing is known of it any more.
    #[error("nothing is known of it")]
    Unknown,
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What is left of the journal can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The executor is about to end.
    #[error("the executor is shutting down")]
    ShuttingDown,
}

impl History {
    /// The history after `seen` of a turn that is written or delivered.
    pub(super) fn of_open(
        name: TurnLogName,
        status: RunStatus,
        open: OpenTurn,
        seen: u64,
    ) -> Result<Self, JournalError> {
        let (card, _) = facts(&open.log)?;
        let delivered = open.delivered.borrow().0;
        let view = TurnView::new(name, card, status, delivered);
        Ok(Self {
            delivered: Some(open.delivered),
            ..Self::of_log(view, &open.log, seen, true)?
        })
    }

    /// The history after `seen` of any other turn: out of its journal, or of what is remembered when that has gone.
    pub(super) fn of_closed(
        store: &Store,
        name: TurnLogName,
        seen: u64,
    ) -> Result<Self, HistoryError> {
        let log_name = name.to_log_name();
        match store.attach(&log_name) {
            Ok(log) => {
                let (card, status) = facts(&log)?;
                let view = TurnView::new(name, card, status, log.position().acked.0);
                Ok(Self::of_log(view, &log, seen, false)?)
            }
            Err(JournalError::Missing(_)) => {
                let epitaph = store.tombstone(&log_name)?;
                let epitaph = epitaph.and_then(|text| serde_json::from_slice(&text).ok());
                Ok(Self::of_gone(
                    name,
                    epitaph.ok_or(HistoryError::Unknown)?,
                    seen,
                ))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn of_log(
        view: TurnView,
        log: &TurnLog<TurnRecord>,
        seen: u64,
        live: bool,
    ) -> Result<Self, JournalError> {
        let nothing_follows = ended(log)?.is_some() && seen >= log.last().0;
        Ok(Self {
            view,
            reader: (!nothing_follows).then(|| log.reader(Seq(seen))),
            live,
            delivered: None,
            seen,
            gone: None,
        })
    }

    fn of_gone(name: TurnLogName, epitaph: Epitaph, seen: u64) -> Self {
        let Epitaph { status, card, .. } = epitaph;
        // Journals of an older form did not leave their length.
        let missing = (card.events > 0).then(|| card.events.saturating_sub(seen));
        let gone = (missing != Some(0)).then(|| Entry {
            seq: card.events.max(seen),
            at_ms: epitaph.delivered_at_ms,
            kind: "gap".to_owned(),
            data: json!({"missing": missing}),
        });
        Self {
            view: TurnView::new(name, card, status, card.events),
            reader: None,
            live: false,
            delivered: None,
            seen,
            gone,
        }
    }

    /// The turn, as it was when the history was opened.
    pub fn view(&self) -> &TurnView {
        &self.view
    }

    /// Which run of the turn it is of.
    pub fn attempt(&self) -> Attempt {
        self.view.attempt
    }

    /// Whether there is nothing to read and nothing will come.
    pub fn is_over(&self) -> bool {
        self.reader.is_none() && self.gone.is_none()
    }

    /// What there is now, `limit` entries at most (and one more for each hole).
    ///
    /// # Errors
    /// [`JournalError`] if the journal can't be read.
    pub fn read(&mut self, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let mut entries: Vec<Entry> = self.gone.take().into_iter().collect();
        while entries.len() < limit {
            let Some(reader) = &mut self.reader else {
                break;
            };
            let records = reader.next_batch(READ.0.min(limit - entries.len()), READ.1)?;
            if records.is_empty() {
                break;
            }
            for (seq, record) in records {
                self.take(seq.0, record, &mut entries);
            }
        }
        Ok(entries)
    }

    /// What comes next, as soon as it does. `None` once the turn's end was given, or nothing more can come.
    ///
    /// # Errors
    /// [`JournalError`] if the journal can't be read.
    pub async fn next(&mut self) -> Result<Option<Part>, JournalError> {
        loop {
            let events = self.read(READ.0)?;
            if !events.is_empty() {
                return Ok(Some(Part {
                    events,
                    delivered: self.news_of_delivery(),
                }));
            }
            let Some(reader) = self.reader.as_mut().filter(|_| self.live) else {
                return Ok(None);
            };
            tokio::select! {
                biased;
                wait = reader.wait() => if wait == Wait::Finished {
                    self.reader = None;
                },
                () = changed(&mut self.delivered) => if let Some(delivered) = self.news_of_delivery() {
                    return Ok(Some(Part { events: Vec::new(), delivered: Some(delivered) }));
                },
            }
        }
    }

    fn take(&mut self, seq: u64, record: TurnRecord, entries: &mut Vec<Entry>) {
        let TurnRecord { at_ms, body } = record;
        let missing = seq.saturating_sub(self.seen + 1);
        if missing > 0 {
            entries.push(Entry {
                seq: seq - 1,
                at_ms,
                kind: "gap".to_owned(),
                data: json!({"missing": missing}),
            });
        }
        self.seen = seq;
        if matches!(body, RecordBody::Ended(_)) {
            self.reader = None;
        }
        let (kind, data) = shown(body);
        entries.push(Entry {
            seq,
            at_ms,
            kind,
            data,
        });
    }

    /// How far the platform is, if that is farther than was said before.
    fn news_of_delivery(&mut self) -> Option<u64> {
        let delivered = self.delivered.as_mut()?.borrow_and_update().0;
        let news = delivered > self.view.delivered;
        self.view.delivered = self.view.delivered.max(delivered);
        news.then_some(delivered)
    }
}

/// Waits until more has been delivered. For ever once nobody delivers any more.
async fn changed(delivered: &mut Option<watch::Receiver<Seq>>) {
    if let Some(receiver) = delivered {
        if receiver.changed().await.is_ok() {
            return;
        }
        *delivered = None;
    }
    std::future::pending().await
}

/// What a journal says of its turn.
fn facts(log: &TurnLog<TurnRecord>) -> Result<(Card, RunStatus), JournalError> {
    let first = log.reader(Seq::START).next_batch(1, 0)?.pop();
    let mut card = Card {
        events: log.last().0,
        ..Card::default()
    };
    if let Some((_, TurnRecord { at_ms, body })) = first {
        card.began_ms = at_ms;
        if let RecordBody::Begun(header) = body {
            card.agent = header.agent;
        }
    }
    // One without an end was cut off, and can't be ended.
    Ok((card, ended(log)?.unwrap_or(RunStatus::Failed)))
}

/// How the turn ended, if its journal says so.
fn ended(log: &TurnLog<TurnRecord>) -> Result<Option<RunStatus>, JournalError> {
    Ok(log
        .last_record()?
        .and_then(|(_, record)| match record.body {
            RecordBody::Ended(end) => Some(RunStatus::of(&end.kind)),
            _ => None,
        }))
}

/// A record as others see it: its kind and its data.
fn shown(body: RecordBody) -> (String, Value) {
    match body {
        RecordBody::Begun(header) => ("begun".to_owned(), begun(&header)),
        RecordBody::Event(event) => {
            let mut data = object(event.get());
            let kind = data.remove("event").and_then(|kind| match kind {
                Value::String(kind) => Some(kind),
                _ => None,
            });
            (kind.unwrap_or_default(), Value::Object(data))
        }
        RecordBody::Changes(changes) => {
            ("changes".to_owned(), Value::Object(object(changes.get())))
        }
        RecordBody::Gap { dropped } => ("gap".to_owned(), json!({"missing": dropped})),
        RecordBody::Ended(end) => ("ended".to_owned(), end_of(&end)),
    }
}

/// Of the header only what is no business of the platform's alone.
fn begun(header: &TurnHeader) -> Value {
    json!({
        "agent": header.agent,
        "protocol": header.protocol,
        "response_id": header.response_id,
    })
}

/// How it ended beside what is known by then; a failure with the code that the platform is told.
fn end_of(end: &TurnEnd) -> Value {
    let mut data = object(end);
    data.remove("kind");
    data.extend(object(&end.kind));
    if let EndKind::Failed { class, code, .. } = &end.kind {
        let code = code.as_deref().unwrap_or(ui_code(*class));
        data.insert("code".to_owned(), Value::from(code));
    }
    Value::Object(data)
}

fn object(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        // What is in a journal is an object, and was written as one.
        _ => Map::new(),
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
