//! The turns: taken over, run, ended.
//!
//! [`Registry`] is the handle that HTTP and the command line use; behind it the actor [`Runs`] acts, and its ledger, which
//! knows every turn by task and subtask, decides what a request means. A turn is opened (`opening`), runs (`run`) and
//! writes through its recorder and nothing else. `recover` takes up what an earlier process left behind; a [`Gate`] holds
//! couriers back. What happened in a turn can be read again ([`History`]), and every turn be seen at a glance ([`TurnView`]).

mod actor;
mod api;
mod catalog;
mod event_file;
mod gate;
mod glances;
mod history;
mod ledger;
mod limits;
mod log_name;
mod marks;
mod opening;
mod recorder;
mod recover;
mod registry;
mod run;
mod sessions;

pub use actor::Runs;
pub use api::*;
pub use catalog::Card;
pub use gate::{Gate, Gates, Hold};
pub use history::{Entry, History, HistoryError, Part};
pub use ledger::QUEUE_LIMIT;
pub use limits::Limits;
pub use log_name::TurnLogName;
pub use opening::Services;
pub use recover::Epitaph;
pub use registry::{Registry, registry};
