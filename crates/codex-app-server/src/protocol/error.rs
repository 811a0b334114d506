//! Why a turn failed, in codex's words.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::Raw;

/// What went wrong in a turn. The message can contain the provider's address and its answer: scrub before showing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TurnError {
    /// For people.
    pub message: String,
    /// What kind of error.
    pub codex_error_info: Option<CodexErrorInfo>,
    /// More for people, rarely there.
    pub additional_details: Option<String>,
}

impl TurnError {
    /// What kind of error, if codex said so.
    pub fn kind(&self) -> Option<&CodexErrorKind> {
        self.codex_error_info.as_ref().map(|info| &info.kind)
    }

    /// The provider's HTTP status, if codex passed it on.
    pub fn http_status(&self) -> Option<u16> {
        self.codex_error_info
            .as_ref()
            .and_then(|info| info.http_status)
    }
}

/// What kind of error it was.
///
/// On the wire it is a string (`"usageLimitExceeded"`) or an object with one member that carries details
/// (`{"httpConnectionFailed":{"httpStatusCode":401}}`); the list grows, so anything is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct CodexErrorInfo {
    /// The string, or the name of the object's member.
    pub kind: CodexErrorKind,
    /// The HTTP status in the details.
    pub http_status: Option<u16>,
    /// As it came.
    pub raw: Raw,
}

open_enum! {
    /// The kinds of error of codex 0.169.
    pub enum CodexErrorKind {
        /// The conversation doesn't fit the model's context.
        ContextWindowExceeded = "contextWindowExceeded",
        /// The session's budget is used up.
        SessionBudgetExceeded = "sessionBudgetExceeded",
        /// The account's quota is used up.
        UsageLimitExceeded = "usageLimitExceeded",
        /// Too many requests.
        RateLimitExceeded = "rateLimitExceeded",
        /// The cheaper processing tier has no room.
        FlexUnavailable = "flexUnavailable",
        /// The provider is overloaded.
        ServerOverloaded = "serverOverloaded",
        /// The provider doesn't know the model.
        ModelNotFound = "modelNotFound",
        /// No capacity under the account's policy.
        PolicyCapacityUnavailable = "policyCapacityUnavailable",
        /// Refused by the provider's security policy.
        CyberPolicy = "cyberPolicy",
        /// Stopped because the model strayed.
        MisalignmentPolicyViolation = "misalignmentPolicyViolation",
        /// Too many approvals were declined.
        TooManyDenials = "tooManyDenials",
        /// The provider failed on its side.
        InternalServerError = "internalServerError",
        /// The provider doesn't accept the key.
        Unauthorized = "unauthorized",
        /// The provider doesn't accept the request.
        BadRequest = "badRequest",
        /// The thread couldn't be rolled back.
        ThreadRollbackFailed = "threadRollbackFailed",
        /// The sandbox doesn't work.
        SandboxError = "sandboxError",
        /// A hook refused the model request.
        InferenceHookDenied = "inferenceHookDenied",
        /// The request failed, see the HTTP status (401 and 403 come so).
        HttpConnectionFailed = "httpConnectionFailed",
        /// The stream couldn't be opened.
        ResponseStreamConnectionFailed = "responseStreamConnectionFailed",
        /// The stream broke.
        ResponseStreamDisconnected = "responseStreamDisconnected",
        /// Every retry failed, see the HTTP status (429 comes so).
        ResponseTooManyFailedAttempts = "responseTooManyFailedAttempts",
        /// A review or a compaction can't be steered.
        ActiveTurnNotSteerable = "activeTurnNotSteerable",
        /// None of the above; only the message tells.
        Unspecified = "other",
    }
}

impl<'de> Deserialize<'de> for CodexErrorInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Details {
            http_status_code: Option<u16>,
        }

        let raw = Raw::deserialize(deserializer)?;
        if let Ok(kind) = raw.parse::<CodexErrorKind>() {
            return Ok(Self {
                kind,
                http_status: None,
                raw,
            });
        }
        let members: BTreeMap<String, Raw> = raw.parse().unwrap_or_default();
        let (kind, details) = members.into_iter().next().unwrap_or_default();
        let http_status = details
            .parse::<Details>()
            .unwrap_or_default()
            .http_status_code;
        Ok(Self {
            kind: CodexErrorKind::from(kind.as_str()),
            http_status,
            raw,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_of_the_error_info_is_read() {
        for (json, kind, status) in [
            (
                json!("usageLimitExceeded"),
                CodexErrorKind::UsageLimitExceeded,
                None,
            ),
            (json!("other"), CodexErrorKind::Unspecified, None),
            (
                json!("brandNew"),
                CodexErrorKind::Unknown("brandNew".into()),
                None,
            ),
            (
                json!({"httpConnectionFailed": {"httpStatusCode": 401}}),
                CodexErrorKind::HttpConnectionFailed,
                Some(401),
            ),
            (
                json!({"responseStreamDisconnected": {"httpStatusCode": null}}),
                CodexErrorKind::ResponseStreamDisconnected,
                None,
            ),
            (
                json!({"activeTurnNotSteerable": {"turnKind": "review"}}),
                CodexErrorKind::ActiveTurnNotSteerable,
                None,
            ),
            (
                json!({"novel": {"httpStatusCode": 499}}),
                CodexErrorKind::Unknown("novel".into()),
                Some(499),
            ),
            (
                json!({"novel": "text"}),
                CodexErrorKind::Unknown("novel".into()),
                None,
            ),
            (json!(7), CodexErrorKind::Unknown(String::new()), None),
        ] {
            let info: CodexErrorInfo = serde_json::from_value(json.clone()).unwrap();
            assert_eq!((info.kind, info.http_status), (kind, status), "{json}");
        }
    }

    #[test]
    fn an_absent_error_info_is_none() {
        let error: TurnError =
            serde_json::from_value(json!({"message": "m", "codexErrorInfo": null})).unwrap();
        assert_eq!(error.kind(), None);
    }
}
