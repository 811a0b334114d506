//! The validation of an image: callbacks that say how far it is, and at the end what was found.

use serde_json::value::{RawValue, to_raw_value};

use super::{
    Turn,
    wire::{ResultBody, Status},
};
use crate::{EndKind, encode::Message};

/// The result of a validation that never was one, in the platform's words.
#[derive(serde::Serialize)]
struct NothingFound<'a> {
    valid: bool,
    checks: [(); 0],
    errors: [&'a str; 1],
}

impl Turn {
    /// Which validation this is, if it is one.
    fn validation(&self) -> Option<&str> {
        self.header.envelope.validation_id.as_deref()
    }

    pub(super) fn is_validation(&self) -> bool {
        self.validation().is_some()
    }

    /// What the first message says of a validation.
    pub(super) fn validation_begun(&self) -> Option<ResultBody<'_>> {
        self.is_validation().then(|| self.at_stage("running"))
    }

    /// The checks are being made.
    pub(super) fn checking(&mut self, seq: u64) -> Message {
        self.progress = 70;
        let result = ResultBody {
            current_check: Some(()),
            ..self.at_stage("running_checks")
        };
        let text = Some("Running dependency checks");
        let place = (seq, seq, "init");
        self.message(Status::Running, text, None, Some(result), place)
    }

    /// The end. That something is missing is no failure.
    pub(super) fn validated(&self, kind: &EndKind, seq: u64, name: &str) -> Message {
        let failed = |why| {
            (
                Status::Failed,
                "failed",
                None,
                Some(why),
                nothing_found(why),
            )
        };
        let (status, stage, text, error, found) = match kind {
            EndKind::Completed { text, .. } => match RawValue::from_string(text.clone()) {
                Ok(found) => {
                    let text = Some("Image validation completed");
                    (Status::Completed, "completed", text, None, Some(found))
                }
                Err(_) => failed("the checks' result can't be read"),
            },
            EndKind::Failed { message, .. } => failed(message.as_str()),
            EndKind::Waiting { .. } => failed("the checks did not come to their end"),
            EndKind::Cancelled { message, .. } => {
                let found = nothing_found(message);
                (
                    Status::Cancelled,
                    "failed",
                    Some(message.as_str()),
                    None,
                    found,
                )
            }
        };
        let result = ResultBody {
            validation_result: found,
            ..self.at_stage(stage)
        };
        self.message(status, text, error, Some(result), (seq, seq, name))
    }

    fn at_stage(&self, stage: &'static str) -> ResultBody<'_> {
        ResultBody {
            stage: Some(stage),
            validation_id: self.validation(),
            ..ResultBody::default()
        }
    }
}

fn nothing_found(why: &str) -> Option<Box<RawValue>> {
    to_raw_value(&NothingFound {
        valid: false,
        checks: [],
        errors: [why],
    })
    .ok()
}
