//! What the proxy itself has to say.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::json;

use super::relay::Relay;

/// A body that is passed on, or one of our own.
pub(super) type Body = Either<Relay, Full<Bytes>>;

/// Why a request was not passed on, or its answer not. The text is for the CLI, which shows it to the user.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this key is not valid here")]
    Token,
    #[error("only the messages endpoints of the model's API can be reached here")]
    Path,
    #[error("no turn is running")]
    NoTurn,
    #[error("the model's API at {origin} can't be reached: {cause}")]
    Unreachable { origin: String, cause: String },
    #[error("the model's API answered {status} with a text that {why}")]
    Unreadable {
        status: StatusCode,
        why: &'static str,
    },
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Path | Self::NoTurn => StatusCode::FORBIDDEN,
            Self::Unreachable { .. } => StatusCode::BAD_GATEWAY,
            Self::Unreadable { status, .. } => *status,
        }
    }

    /// The type of error by which Anthropic's API names such a status.
    fn kind(&self) -> &'static str {
        match self {
            Self::Token => "authentication_error",
            Self::Path | Self::NoTurn => "permission_error",
            Self::Unreachable { .. } | Self::Unreadable { .. } => "api_error",
        }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let body = json!({
            "type": "error",
            "error": {"type": self.kind(), "message": self.to_string()},
        });
        let mut response = own(body.to_string());
        *response.status_mut() = self.status();
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

/// An answer with a body that is here already.
pub(super) fn own(body: impl Into<Bytes>) -> Response<Body> {
    Response::new(Either::Right(Full::new(body.into())))
}
