//! Bounds the heads of requests, and copies their headers.

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header::HeaderValue},
    middleware::Next,
};

use super::Problem;

/// The most bytes that target, header names and header values may have together.
const MAX_HEAD: usize = 8 * 1024;

/// Refuses larger heads. No client of ours sends them, and actix-web itself accepts up to 128 KiB.
pub async fn limit_head<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if target + headers > MAX_HEAD {
        let problem = Problem::invalid("The head of the request is larger than 8 KiB. Send fewer or shorter headers.")
            .with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let response = problem.respond(request.request());
        return Ok(request.into_response(response).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// Copies the headers, because they are views of the connection's buffer, which also holds the body. actix-web keeps a
/// request until it reuses it, and a password would stay in memory for as long.
pub async fn own_headers<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    request.headers_mut().retain(|_, value| {
        // A value copied from a header is always a valid header value.
        if let Ok(own) = HeaderValue::from_bytes(value.as_bytes()) {
            *value = own;
        }
        true
    });
    next.call(request).await
}
