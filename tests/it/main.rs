//! End to end: the real binary, the real CLIs, a scripted model, a fake Wegent.

#![expect(clippy::unwrap_used, reason = "a test that fails should fail at once")]

mod attempts;
mod both;
mod cancel;
mod chaos;
mod claude;
mod codex;
mod codex_service;
mod delivery;
mod doctor;
mod downloads;
mod ends;
mod full_disk;
mod git;
mod january;
mod limits;
mod logs;
mod parity;
mod prepare;
mod processes;
mod replay;
mod requests;
mod rerun;
mod routes;
mod run_command;
mod secrets;
mod sessions;
mod team;
mod turns;
mod validation;

/// An MCP server over stdio; see the file.
const MCP_SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/it/mcp_server.py");
