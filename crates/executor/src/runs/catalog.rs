//! Every turn at a glance: who ran it, since when, how much of it there is and how much of that has been delivered.

use std::collections::BTreeMap;

use agent_core::{AgentKind, Attempt, TurnKey};
use journal::{Seq, TurnLog};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use wegent_protocol::TurnRecord;

use super::{RunStatus, TurnView, log_name::TurnLogName};

/// The facts of a turn that outlive its journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    /// Who ran it; `None` if nobody did.
    pub agent: Option<AgentKind>,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// Its last record's number.
    pub events: u64,
}

/// The latest attempt of every turn.
#[derive(Default)]
pub(super) struct Catalog {
    turns: BTreeMap<TurnKey, Listed>,
}

struct Listed {
    attempt: Attempt,
    card: Card,
    place: Place,
}

/// Where a turn's records are.
enum Place {
    /// In a journal that is being written or delivered.
    Open(OpenTurn),
    /// In one that is closed, or nowhere any more.
    Closed {
        /// How many of them were delivered.
        delivered: u64,
    },
}

/// A turn's journal while it is written or delivered.
#[derive(Clone, Debug)]
pub(super) struct OpenTurn {
    /// The journal.
    pub(super) log: TurnLog<TurnRecord>,
    /// How far it has been delivered. Its sender goes with the courier.
    pub(super) delivered: watch::Receiver<Seq>,
}

impl Catalog {
    /// Lists an attempt, in the place of an earlier one. What is not open has been delivered.
    pub(super) fn list(&mut self, name: TurnLogName, card: Card, open: Option<OpenTurn>) {
        let place = match open {
            Some(open) => Place::Open(open),
            None => Place::Closed {
                delivered: card.events,
            },
        };
        let attempt = name.attempt;
        let listed = Listed {
            attempt,
            card,
            place,
        };
        self.turns.insert(name.key, listed);
    }

    /// Notes that nobody writes or delivers the attempt any more.
    pub(super) fn close(&mut self, name: TurnLogName) {
        let Some(listed) = self.of(name) else { return };
        if let Place::Open(OpenTurn { log, .. }) = &listed.place {
            listed.card.events = log.last().0;
            listed.place = Place::Closed {
                delivered: log.position().acked.0,
            };
        }
    }

    /// What is known of the attempt, if it is the latest.
    pub(super) fn card(&self, name: TurnLogName) -> Option<Card> {
        let listed = self.turns.get(&name.key)?;
        (listed.attempt == name.attempt).then(|| listed.card())
    }

    /// The latest attempt of a turn, with its journal if that is open.
    pub(super) fn latest(&self, key: TurnKey) -> Option<(Attempt, Option<OpenTurn>)> {
        let listed = self.turns.get(&key)?;
        let open = match &listed.place {
            Place::Open(open) => Some(open.clone()),
            Place::Closed { .. } => None,
        };
        Some((listed.attempt, open))
    }

    /// Every turn; `status` says how far it is.
    pub(super) fn views(&self, status: impl Fn(TurnKey) -> Option<RunStatus>) -> Vec<TurnView> {
        let views = self.turns.iter().filter_map(|(key, listed)| {
            let delivered = match &listed.place {
                Place::Open(OpenTurn { delivered, .. }) => delivered.borrow().0,
                Place::Closed { delivered } => *delivered,
            };
            let name = TurnLogName {
                key: *key,
                attempt: listed.attempt,
            };
            Some(TurnView::new(name, listed.card(), status(*key)?, delivered))
        });
        views.collect()
    }

    fn of(&mut self, name: TurnLogName) -> Option<&mut Listed> {
        let listed = self.turns.get_mut(&name.key);
        listed.filter(|listed| listed.attempt == name.attempt)
    }
}

impl Listed {
    fn card(&self) -> Card {
        match &self.place {
            Place::Open(OpenTurn { log, .. }) => Card {
                events: log.last().0,
                ..self.card
            },
            Place::Closed { .. } => self.card,
        }
    }
}
