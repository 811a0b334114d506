//! The handshake.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Who we are. The name becomes part of the user agent that codex sends to the model's provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// A short machine name, also the `originator` of requests.
    pub name: String,
    /// A name for people.
    pub title: String,
    /// Our version.
    pub version: String,
}

/// Notifications that codex is asked not to send: chatter of other features that nobody here reads.
pub const OPTED_OUT: &[&str] = &[
    "account/rateLimits/updated",
    "app/list/updated",
    "fs/changed",
    "fuzzyFileSearch/sessionCompleted",
    "fuzzyFileSearch/sessionUpdated",
    "project/changed",
    "remoteControl/status/changed",
    "thread/prediction/updated",
    "thread/readState/changed",
    "thread/section/changed",
];

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InitializeParams<'a> {
    pub(crate) client_info: &'a ClientInfo,
    pub(crate) capabilities: Capabilities,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Capabilities {
    /// Needed for `thread/backgroundTerminals/clean` and `dynamicTools`.
    pub(crate) experimental_api: bool,
    pub(crate) opt_out_notification_methods: &'static [&'static str],
}

/// What codex says about itself in the handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerInfo {
    /// `<our name>/<version> (<system>) …`
    pub user_agent: String,
    /// The Codex home in use. Not sent by old versions.
    pub codex_home: Option<PathBuf>,
}

impl ServerInfo {
    /// The version of codex, taken from the user agent: `probe/0.169.0 (Debian …) …` gives `0.169.0`.
    pub fn version(&self) -> Option<&str> {
        let (_, rest) = self.user_agent.split_once('/')?;
        rest.split_whitespace().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_user_agent() {
        for (agent, version) in [
            (
                "probe/0.169.0 (Debian 12.0.0; x86_64) unknown (probe; 0)",
                Some("0.169.0"),
            ),
            ("codex_cli_rs/0.77.0 (Debian)", Some("0.77.0")),
            ("odd", None),
        ] {
            let info = ServerInfo {
                user_agent: agent.to_owned(),
                codex_home: None,
            };
            assert_eq!(info.version(), version, "{agent}");
        }
    }
}
