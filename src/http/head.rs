//! Bounds the heads of requests, copies their headers, and reads their queries.

use actix_web::{
    dev::ServiceRequest,
    http::{StatusCode, header::HeaderValue},
    web::{BytesMut, Query},
};

use super::Problem;

/// The most bytes that target, header names and header values may have together.
const MAX_HEAD: usize = 8 * 1024;

/// Refuses larger heads. No client of ours sends them, and actix-web itself accepts up to 128 KiB.
pub(super) fn limit_head(request: &ServiceRequest) -> Result<(), Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if target + headers <= MAX_HEAD {
        return Ok(());
    }
    let detail = "The head of the request is larger than 8 KiB. Send fewer or shorter headers.";
    Err(Problem::invalid(detail).with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))
}

/// Copies the headers into a buffer of their own, because they are views of the connection's buffer, which also holds the
/// body. actix-web keeps a request until it reuses it, and a password would stay in memory for as long.
pub(super) fn own_headers(request: &mut ServiceRequest) {
    let headers = request.headers_mut();
    let mut own = BytesMut::with_capacity(headers.iter().map(|(_, value)| value.len()).sum());
    headers.retain(|_, value| {
        own.extend_from_slice(value.as_bytes());
        // A value copied from a header is always a valid header value.
        if let Ok(copy) = HeaderValue::from_maybe_shared(own.split().freeze()) {
            *value = copy;
        }
        true
    });
}

/// The decoded names and values of a query or a form.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    Query::from_query(query).map(Query::into_inner).unwrap_or_default()
}
