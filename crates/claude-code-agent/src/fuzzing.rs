//! A way in for the fuzzer, which is no part of what the crate is for.

use agent_core::AgentEvent;

use crate::{map::Mapper, protocol::Message};

/// What the lines of a turn amount to; lines that are no messages are passed over, as in a turn.
pub fn events(lines: &[u8]) -> Vec<AgentEvent> {
    let mut mapper = Mapper::default();
    lines
        .split(|byte| *byte == b'\n')
        .filter_map(|line| Message::parse(line).ok())
        .flat_map(|message| mapper.map(message))
        .collect()
}
