//! The turns: taken over, run, ended.
//!
//! [`Registry`] is the handle that HTTP and the command line use; behind it the actor [`Runs`] acts, and its ledger, which
//! knows every turn by task and subtask, decides what a request means. A turn is opened (`opening`), runs (`run`) and
//! writes through its recorder and nothing else. `recover` takes up what an earlier process left behind; a [`Gate`] holds
//! couriers back.

mod api;
mod event_file;
mod gate;
mod ledger;
mod log_name;
mod marks;
mod opening;
mod recorder;
mod recover;
mod registry;
mod run;

pub use api::*;
pub use gate::{Gate, Gates, Hold};
pub use ledger::QUEUE_LIMIT;
pub use log_name::TurnLogName;
pub use opening::Services;
pub use recover::Epitaph;
pub use registry::{Registry, Runs, registry};
