//! Gives each request a span with its id and nothing that the client wrote, and puts the id into the answer.

use actix_web::{
    Error, HttpMessage,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
};
use tracing::Span;
use tracing_actix_web::{RequestId, RootSpanBuilder};

use super::head::{limit_head, own_headers};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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

/// Copies the id into the answer. Within tracing-actix-web's layer.
pub(super) async fn with_request_id<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    next.call(request).await.map(add_request_id)
}

/// The layer of the public listener: bounds and copies the head, and copies the request's id into the answer. One layer,
/// because each costs an allocation and a call.
pub async fn enter<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if let Err(problem) = limit_head(&request) {
        let response = problem.respond(request.request());
        return Ok(add_request_id(request.into_response(response).map_into_right_body()));
    }
    own_headers(&mut request);
    next.call(request).await.map(|response| add_request_id(response.map_into_left_body()))
}

fn add_request_id<B>(mut response: ServiceResponse<B>) -> ServiceResponse<B> {
    let id = response.request().extensions().get::<RequestId>().map(|id| HeaderValue::try_from(id.to_string()));
    if let Some(Ok(id)) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
