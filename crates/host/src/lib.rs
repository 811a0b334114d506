//! What every program here needs of the machine it runs on: where programs are, and how an error is told.
//!
//! ```
//! assert!(host::program::on_path("sh", Some("/usr/bin:/bin".as_ref())).is_some());
//! ```
#![warn(missing_docs)]

mod chain;
pub mod program;

pub use chain::error_chain;
