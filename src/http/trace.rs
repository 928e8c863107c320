//! Gives each request a span with its id and nothing that the client wrote, and puts the id into the answer.

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
};
use tracing::Span;
use tracing_actix_web::{RequestId, RootSpanBuilder};

/// tracing-actix-web's own span records path and query, in which codes and passwords stand, and the Debug of errors.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    // An error span, so that a warning has its request id even if RUST_LOG=warn.
    fn on_request_start(request: &ServiceRequest) -> Span {
        match request.extensions().get::<RequestId>() {
            Some(id) => tracing::error_span!("request", request_id = %id),
            None => tracing::error_span!("request"),
        }
    }

    fn on_request_end<B: MessageBody>(_: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        if let Ok(response) = outcome {
            tracing::debug!(status = response.status().as_u16(), "answered");
        }
    }
}

pub async fn with_request_id<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let id = request.extensions().get::<RequestId>().map(|id| HeaderValue::from_str(&id.to_string()));
    let mut response = next.call(request).await?;
    if let Some(Ok(id)) = id {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    Ok(response)
}
