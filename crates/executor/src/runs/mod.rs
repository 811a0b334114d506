//! The turns: taken over, run, ended.
//!
//! [`Registry`] is the handle that HTTP and the command line use; behind it the actor [`Runs`] knows every turn by task
//! and subtask and decides what a request means. A turn runs in [`run`], which writes through [`recorder`] and nothing
//! else. [`recover`] takes up what an earlier process left behind; [`gate`] holds couriers back.

mod api;
mod gate;
mod log_name;
mod recorder;
mod recover;
mod registry;
mod run;

pub use api::*;
pub use gate::{Gate, Hold};
pub use log_name::TurnLogName;
pub use recover::Epitaph;
pub use registry::{QUEUE_LIMIT, Registry, Runs, Services, registry};
