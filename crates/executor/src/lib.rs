//! The executor: takes turns over HTTP, runs them through agents, and delivers what happens as callbacks.
//!
//! # How it works
//!
//! [`http`] decodes a request and hands it to [`runs`], which answers as soon as the turn is safe on disk.
//! The turn then runs on its own: its events are redacted and written to a journal, and a courier reads the
//! journal and posts until the turn's end was accepted. The network never slows an agent; a crash loses
//! nothing that was written.
//!
//! # Guarantees
//!
//! * Only [`config`] reads the environment.
//! * While Wegent's manager waits for the answer to a cancel, no callback of that task is started.
#![warn(missing_docs)]

pub mod archives;
mod at_start;
pub mod backend;
pub mod capabilities;
pub mod cli;
pub mod clock;
pub mod config;
pub mod courier;
pub mod doctor;
pub mod factory;
mod form;
pub mod heartbeat;
pub mod http;
pub mod init_data;
pub mod logging;
mod mount;
pub mod outlets;
pub mod run_command;
pub mod runs;
pub mod service;
pub mod terminal;
pub mod validate;
