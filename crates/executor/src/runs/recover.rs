//! What an earlier process left behind, taken up at the start.

use std::time::SystemTime;

use agent_core::{AgentEvent, ErrorClass, FileChanges, NoticeKind, redaction::redact_value};
use journal::{Cursor, JournalError, Retention, Seq, Store, StoreError, TurnLog};
use redact::Secrets;
use serde::{Deserialize, Serialize};
use wegent_protocol::{
    Dispatch, EndKind, Fingerprint, Protocol, RecordBody, TurnEnd, TurnHeader, TurnRecord,
    decode_kept,
};

use super::{RunStatus, catalog::Card, log_name::TurnLogName, recorder::Facts};
use crate::clock::Clock;

/// What is remembered of a turn whose journal has gone: enough to know it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epitaph {
    /// Which request it was.
    pub fingerprint: Fingerprint,
    /// How it ended.
    pub status: RunStatus,
    /// When its end was delivered, in milliseconds since 1970.
    pub delivered_at_ms: u64,
    /// What can be shown of it.
    #[serde(flatten)]
    pub card: Card,
}

/// A turn of an earlier process.
pub(super) struct Recovered {
    /// Which turn and attempt.
    pub(super) name: TurnLogName,
    /// Which request it was.
    pub(super) fingerprint: Fingerprint,
    /// How it ended.
    pub(super) status: RunStatus,
    /// When its end was recorded, if it was delivered too; in milliseconds since 1970.
    pub(super) delivered_at_ms: Option<u64>,
    /// What can be shown of it.
    pub(super) card: Card,
    /// What is left to deliver.
    pub(super) pending: Option<Pending>,
    /// What is to be done once more: it has not ended.
    pub(super) again: Option<Again>,
}

/// A turn that was cut off and is run again, or goes on.
pub(super) struct Again {
    /// What was asked for, without secrets.
    pub(super) dispatch: Dispatch,
    /// What is known of what was done.
    pub(super) facts: Facts,
}

/// A journal that has not been delivered to its end.
pub(super) struct Pending {
    /// The journal. It is read from the start: its encoder has to be brought to where it stood.
    pub(super) log: TurnLog<TurnRecord>,
    /// How far it was delivered.
    pub(super) cursor: Cursor,
    /// Where it is delivered.
    pub(super) callback_url: Option<String>,
    /// In which form.
    pub(super) protocol: Protocol,
}

/// Everything an earlier process left in the store, oldest attempt first. Turns that were open are ended:
/// honestly, with what is known of them. With `rerun` those that can be run again are left open for that. A journal that can't be read is left alone and logged.
///
/// # Errors
/// [`StoreError`] when the folder can't be read.
pub(super) fn recover(
    store: &Store,
    clock: &Clock,
    rerun: bool,
) -> Result<Vec<Recovered>, StoreError> {
    let mut turns = Vec::new();
    for name in store.tombstones()? {
        let Some(turn) = TurnLogName::parse(&name) else {
            continue;
        };
        let Some(epitaph) = store
            .tombstone(&name)?
            .and_then(|text| serde_json::from_slice::<Epitaph>(&text).ok())
        else {
            continue;
        };
        turns.push(Recovered {
            name: turn,
            fingerprint: epitaph.fingerprint,
            status: epitaph.status,
            delivered_at_ms: Some(epitaph.delivered_at_ms),
            card: epitaph.card,
            pending: None,
            again: None,
        });
    }
    for name in store.existing()? {
        let Some(turn) = TurnLogName::parse(&name) else {
            tracing::warn!(log = %name, "not a journal of ours");
            continue;
        };
        match store
            .open_log(&name)
            .and_then(|log| take_up(turn, &log, clock, rerun))
        {
            Ok(Some(recovered)) => turns.push(recovered),
            Ok(None) => {
                // Its header never reached the disk, so its request was never answered: the manager sends it again.
                tracing::warn!(log = %name, "journal without a beginning is removed");
                store.remove(&name)?;
            }
            Err(error) => tracing::error!(log = %name, %error, "journal can't be taken up"),
        }
    }
    turns.sort_by_key(|recovered| (recovered.name.key, recovered.name.attempt));
    Ok(turns)
}

fn take_up(
    name: TurnLogName,
    log: &TurnLog<TurnRecord>,
    clock: &Clock,
    rerun: bool,
) -> Result<Option<Recovered>, JournalError> {
    let Some(mut found) = scan(log)? else {
        return Ok(None);
    };
    let again = match rerun {
        true => found.again(),
        false => None,
    };
    let tool_called = found.facts.tool_called;
    let (status, ended_at_ms) = match found.ended {
        Some(ended) => ended,
        None if again.is_some() => {
            tracing::warn!(key = %name.key, attempt = %name.attempt, tool_called, "turn was open when the executor ended; it is taken up again");
            (RunStatus::Running, 0)
        }
        None => {
            let at_ms = clock.now_ms();
            tracing::warn!(key = %name.key, attempt = %name.attempt, tool_called, "turn was open when the executor ended");
            close(log, tool_called, found.facts.changes, at_ms)?;
            (RunStatus::Failed, at_ms)
        }
    };
    let cursor = log.cursor()?;
    let delivered = again.is_none() && cursor.position().acked >= log.last();
    let pending = (!delivered).then(|| Pending {
        log: log.clone(),
        cursor,
        callback_url: found.header.callback_url.clone(),
        protocol: found.header.protocol,
    });
    Ok(Some(Recovered {
        name,
        fingerprint: found.header.fingerprint,
        status,
        delivered_at_ms: delivered.then_some(ended_at_ms),
        card: Card {
            agent: found.header.agent,
            began_ms: found.began_ms,
            events: log.last().0,
        },
        pending,
        again,
    }))
}

struct Found {
    header: TurnHeader,
    /// In milliseconds since 1970.
    began_ms: u64,
    /// What is known of what was done.
    facts: Facts,
    /// It was taken up again before.
    taken_up: bool,
    /// How and when (milliseconds since 1970) the turn ended, if it did.
    ended: Option<(RunStatus, u64)>,
}

fn scan(log: &TurnLog<TurnRecord>) -> Result<Option<Found>, JournalError> {
    let mut reader = log.reader(Seq::START);
    let mut header = None;
    let mut facts = Facts::default();
    let (mut taken_up, mut ended) = (false, None);
    loop {
        let records = reader.next_batch(1024, 1 << 20)?;
        if records.is_empty() {
            break;
        }
        for (_, record) in records {
            match record.body {
                RecordBody::Begun(begun) => header = Some((begun.into_inner(), record.at_ms)),
                RecordBody::Event(event) => match event.into_inner() {
                    AgentEvent::Tool(_) | AgentEvent::Subagent(_) => facts.tool_called = true,
                    AgentEvent::Session(session) => facts.session = Some(session),
                    AgentEvent::Notice(notice) => {
                        taken_up |= notice.kind == NoticeKind::Restarted;
                    }
                    _ => {}
                },
                RecordBody::Changes(found) => facts.changes = found.into_inner(),
                RecordBody::Gap { .. } => {}
                RecordBody::Ended(end) => ended = Some((RunStatus::of(&end.kind), record.at_ms)),
            }
        }
    }
    Ok(header.map(|(header, began_ms)| Found {
        header,
        began_ms,
        facts,
        taken_up,
        ended,
    }))
}

impl Found {
    /// What is to be done once more; nothing if the turn has ended, or that can't be done, or was tried before.
    fn again(&mut self) -> Option<Again> {
        // Once: what it does may be what ends the executor.
        if self.ended.is_some() || self.taken_up {
            return None;
        }
        // What tools have done must not be done twice, and without a conversation nobody knows what that was.
        if self.facts.tool_called && self.facts.session.is_none() {
            return None;
        }
        let request = self.header.request.take()?;
        match decode_kept(&request) {
            Ok(dispatch) => Some(Again {
                dispatch,
                facts: self.facts.clone(),
            }),
            Err(error) => {
                tracing::error!(%error, "a request that was kept can't be read");
                None
            }
        }
    }
}

/// Ends a turn that was open.
fn close(
    log: &TurnLog<TurnRecord>,
    tool_called: bool,
    changes: FileChanges,
    at_ms: u64,
) -> Result<(), JournalError> {
    let tools = if tool_called {
        "Tools had been called, so it was not run again by itself"
    } else {
        "No tool had been called"
    };
    let kind = EndKind::Failed {
        class: ErrorClass::Restarted,
        message: format!(
            "The executor was restarted while the turn ran. {tools}. The conversation can be continued."
        ),
        code: None,
    };
    let end = TurnEnd {
        kind,
        usage: None,
        tool_called,
        session: None,
        changes,
        clean_up: Default::default(),
    };
    // Our own words, and what was redacted before: there is no secret to find.
    let end = redact_value(&Secrets::new(), end).expect("without secrets nothing changes");
    log.writer()?.append_last(&TurnRecord {
        at_ms,
        body: RecordBody::Ended(Box::new(end)),
    })?;
    Ok(())
}

/// Gives back the room of journals that were delivered long ago. `epitaph` says what is to be remembered of a turn, or
/// that it has to stay.
pub(super) fn sweep(
    store: &Store,
    retention: &Retention,
    clock: &Clock,
    epitaph: impl Fn(TurnLogName) -> Option<Epitaph>,
) {
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(clock.now_ms());
    let swept = store.sweep(retention, now, |name| {
        let epitaph = epitaph(TurnLogName::parse(name)?)?;
        Some(serde_json::to_vec(&epitaph).expect("an epitaph is plain JSON"))
    });
    match swept {
        Ok(swept) => tracing::debug!(
            buried = swept.buried.len(),
            forgotten = swept.forgotten.len(),
            "old journals"
        ),
        Err(error) => tracing::warn!(%error, "old journals can't be removed"),
    }
}
