//! What scripts look at in a request, whichever provider's form it has.

use std::fmt::Write as _;

use serde_json::Value;

use super::{anthropic, openai};

/// A provider's form of requests and streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// OpenAI's Responses API.
    OpenAi,
    /// Anthropic's Messages API.
    Anthropic,
}

impl Wire {
    /// The form of requests for an answer that go to `path`.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        if path.ends_with("/responses") {
            Some(Self::OpenAi)
        } else if path.ends_with("/messages") {
            Some(Self::Anthropic)
        } else {
            None
        }
    }
}

/// A request for an answer, read once.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) wire: Wire,
    pub(super) model: Option<String>,
    /// Wants server-sent events; else the answer is one JSON object.
    pub(super) streams: bool,
    /// Every text of the user, without what the CLI puts in on its own.
    pub(super) user_texts: Vec<String>,
    /// The output of the tool that was called last, if nothing was said after it.
    pub(super) tool_output: Option<String>,
    /// How often tools were called since the user's last text; several calls in one answer count once.
    pub(super) rounds: usize,
    /// Every tool offered, namespaces taken apart.
    pub(super) tools: Vec<Tool>,
    /// Tools that are offered once they have been searched for, and whether that has been done since the user's last
    /// text.
    pub(super) deferred: Vec<String>,
    pub(super) searched: bool,
    /// The thread or session that the CLI says the request belongs to.
    pub(super) session: Option<String>,
    /// The working folder, if the request names it.
    pub(super) folder: Option<String>,
    /// The CLI's own errand (a title, a summary), no part of the conversation.
    pub(super) side: bool,
}

/// A tool that the request offers.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    /// Takes free text instead of JSON.
    pub(super) freeform: bool,
    /// Its declaration mentions the older word for escalated permissions.
    pub(super) old_escalation: bool,
}

impl Tool {
    /// Namespace and name, as a person reads them.
    pub(super) fn label(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Request {
    /// Reads a body.
    pub(super) fn parse(wire: Wire, body: &Value) -> Result<Self, serde_json::Error> {
        match wire {
            Wire::OpenAi => openai::read(body),
            Wire::Anthropic => anthropic::read(body),
        }
    }

    /// The last text of the user; empty if there is none.
    pub(super) fn last_user_text(&self) -> &str {
        self.user_texts.last().map_or("", String::as_str)
    }

    /// The first of `names` that is offered.
    pub(super) fn find_tool(&self, names: &[&str]) -> Option<Tool> {
        names
            .iter()
            .find_map(|name| self.tools.iter().find(|tool| tool.name == *name).cloned())
    }

    /// What stays the same when the CLI repeats a request, and differs in every other.
    pub(super) fn turn_key(&self) -> String {
        let mut key = self.session.clone().unwrap_or_default();
        // Writing to a string can't fail.
        let _ = write!(key, "#{}", self.user_texts.len());
        key
    }
}
