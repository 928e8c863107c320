//! Bodies are read by us, with a bound on size and time: actix-web has none on time, and a body of one byte a second
//! would hold its connection open for ever.

use std::time::Duration;

use actix_web::{
    http::StatusCode,
    web::{Bytes, BytesMut, Payload},
};
use futures_util::StreamExt;

use super::Problem;

/// The largest body of a route whose requests have some hundred bytes.
pub const SMALL_BODY: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Larger than any request of ours.
    #[error("The body is larger than {} KiB, the most that is read here.", .0 / 1024)]
    TooLarge(usize),
    /// The client is too slow, or has stopped sending.
    #[error("The body did not arrive within 10 seconds. Send the request again.")]
    TooSlow,
    /// The connection broke, or the body was not encoded as its head says.
    #[error("The body could not be read to its end. Send the request again.")]
    Broken,
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken => StatusCode::BAD_REQUEST,
        };
        Self::invalid(error.to_string()).with_status(status)
    }
}

/// Reads a whole body of at most `limit` bytes.
pub async fn read_body(payload: Payload, limit: usize) -> Result<Bytes, BodyError> {
    tokio::time::timeout(BODY_TIMEOUT, collect(payload, limit)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, BodyError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
