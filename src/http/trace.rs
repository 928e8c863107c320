//! A span for each request that holds its id and nothing that a client wrote, the id in the answer, and a bound on
//! the head.

use actix_web::{
    Error, HttpMessage,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue},
    },
    middleware::Next,
};
use tracing::Span;
use tracing_actix_web::{RequestId, RootSpanBuilder};

use super::Problem;

/// The head of a request, as its names and values add up to.
const MAX_HEAD: usize = 8 * 1024;

/// tracing-actix-web's own span records path and query, in which codes and passwords stand, and the Debug of errors.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    // At the level of errors, so that a warning has its request id also where RUST_LOG=warn.
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

/// Puts `X-Request-Id` on every answer.
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

/// Refuses heads that no client of ours sends; actix-web itself takes up to 128 KiB.
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
