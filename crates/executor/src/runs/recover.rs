//! What an earlier process left behind, taken up at the start.

use std::time::SystemTime;

use agent_core::{ErrorClass, FileChanges, redaction::redact_value};
use journal::{Cursor, JournalError, Retention, Seq, Store, StoreError, TurnLog};
use redact::Secrets;
use serde::{Deserialize, Serialize};
use wegent_protocol::{
    EndKind, Fingerprint, Protocol, RecordBody, TurnEnd, TurnHeader, TurnRecord,
};

use super::{RunStatus, catalog::Card, log_name::TurnLogName};
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
/// honestly, with what is known of them. A journal that can't be read is left alone and logged.
///
/// # Errors
/// [`StoreError`] when the folder can't be read.
pub(super) fn recover(store: &Store, clock: &Clock) -> Result<Vec<Recovered>, StoreError> {
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
        });
    }
    for name in store.existing()? {
        let Some(turn) = TurnLogName::parse(&name) else {
            tracing::warn!(log = %name, "not a journal of ours");
            continue;
        };
        match store
            .open_log(&name)
            .and_then(|log| take_up(turn, &log, clock))
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
) -> Result<Option<Recovered>, JournalError> {
    let Some(found) = scan(log)? else {
        return Ok(None);
    };
    let (status, ended_at_ms) = match found.ended {
        Some(ended) => ended,
        None => {
            let at_ms = clock.now_ms();
            tracing::warn!(key = %name.key, attempt = %name.attempt, tool_called = found.tool_called, "turn was open when the executor ended");
            close(log, found.tool_called, found.changes, at_ms)?;
            (RunStatus::Failed, at_ms)
        }
    };
    let cursor = log.cursor()?;
    let delivered = cursor.position().acked >= log.last();
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
    }))
}

struct Found {
    header: TurnHeader,
    /// In milliseconds since 1970.
    began_ms: u64,
    tool_called: bool,
    /// What it had changed in the workspace when that was last looked at.
    changes: FileChanges,
    /// How and when (milliseconds since 1970) the turn ended, if it did.
    ended: Option<(RunStatus, u64)>,
}

fn scan(log: &TurnLog<TurnRecord>) -> Result<Option<Found>, JournalError> {
    let mut reader = log.reader(Seq::START);
    let mut header = None;
    let (mut tool_called, mut changes, mut ended) = (false, FileChanges::default(), None);
    loop {
        let records = reader.next_batch(1024, 1 << 20)?;
        if records.is_empty() {
            break;
        }
        for (_, record) in records {
            match record.body {
                RecordBody::Begun(begun) => header = Some((begun.into_inner(), record.at_ms)),
                RecordBody::Event(event) => {
                    tool_called |= matches!(
                        *event,
                        agent_core::AgentEvent::Tool(_) | agent_core::AgentEvent::Subagent(_)
                    )
                }
                RecordBody::Changes(found) => changes = found.into_inner(),
                RecordBody::Gap { .. } => {}
                RecordBody::Ended(end) => ended = Some((RunStatus::of(&end.kind), record.at_ms)),
            }
        }
    }
    Ok(header.map(|(header, began_ms)| Found {
        header,
        began_ms,
        tool_called,
        changes,
        ended,
    }))
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
