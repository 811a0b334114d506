//! Refusals, in a form that both kinds of callers read: Wegent's (`detail`) and E2B's SDK (`code`, `message`).

use std::io;

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// A request that isn't served, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// The Connect protocol's words for errors, as far as they occur here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    /// The request can't be understood.
    InvalidArgument,
    /// There is no such thing.
    NotFound,
    /// There is something already.
    AlreadyExists,
    /// The system doesn't allow it.
    PermissionDenied,
    /// A file can't be read.
    Unauthenticated,
    /// It is too large, or there are too many.
    ResourceExhausted,
    /// The disk is full.
    #[serde(rename = "resource_exhausted")]
    Full,
    /// What is asked for isn't done here.
    Unimplemented,
    /// It took too long.
    DeadlineExceeded,
    /// Something of ours broke.
    Internal,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists => StatusCode::CONFLICT,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full => StatusCode::INSUFFICIENT_STORAGE,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// What the system says about a path.
    pub(crate) fn io(path: &str, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let code = match error.kind() {
            Kind::NotFound => Code::NotFound,
            Kind::AlreadyExists => Code::AlreadyExists,
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Code::PermissionDenied,
            Kind::NotADirectory | Kind::IsADirectory | Kind::InvalidInput => Code::InvalidArgument,
            Kind::StorageFull => Code::Full,
            _ => Code::Internal,
        };
        Self::new(code, format!("path `{path}`: {error}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            detail: &'a str,
            code: Code,
            message: &'a str,
        }
        let body = Body {
            detail: &self.message,
            code: self.code,
            message: &self.message,
        };
        (self.code.status(), Json(body)).into_response()
    }
}
