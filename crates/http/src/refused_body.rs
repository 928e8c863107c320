//! The words by which a body is refused.

use std::{fmt, io};

use actix_web::{error::PayloadError, http::StatusCode};

use super::Problem;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedBody {
    #[error("The body is not valid JSON (line {line}, column {column}).")]
    Syntax { line: usize, column: usize },
    /// JSON is UTF-8 (RFC 8259 section 8.1).
    #[error("The body is not UTF-8.")]
    NotUtf8,
    #[error("The body must be a JSON object.")]
    NotAnObject,
    /// Two programs could read different ones of two fields with one name.
    #[error("The field `{0}` appears twice.")]
    Twice(&'static str),
    #[error("The field `{0}` is missing.")]
    Missing(&'static str),
    #[error("The field `{name}` {reason}.")]
    Malformed { name: &'static str, reason: String },
}

pub fn malformed(name: &'static str, reason: impl fmt::Display) -> RefusedBody {
    RefusedBody::Malformed { name, reason: reason.to_string() }
}

impl From<RefusedBody> for Problem {
    fn from(refused: RefusedBody) -> Self {
        Self::invalid(refused.to_string())
    }
}

impl From<serde_json::Error> for RefusedBody {
    fn from(error: serde_json::Error) -> Self {
        if error.is_data() {
            return Self::NotAnObject;
        }
        Self::Syntax { line: error.line(), column: error.column() }
    }
}

pub(super) fn too_large(limit: usize) -> Problem {
    let detail = format!("The body is larger than {} KiB, the most that is read here.", limit / 1024);
    Problem::invalid(detail).with_status(StatusCode::PAYLOAD_TOO_LARGE)
}

pub(super) fn incomplete(error: &PayloadError) -> Problem {
    match error {
        PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            Problem::invalid("The body did not arrive within 10 seconds. Send the request again.")
                .with_status(StatusCode::REQUEST_TIMEOUT)
        }
        PayloadError::EncodingCorrupted => {
            Problem::invalid("The body is compressed (Content-Encoding). Send it as it is, without that header.")
                .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        }
        _ => Problem::invalid("The body could not be read to its end. Send the request again."),
    }
}
