//! Gives each request a span with its request id and its trace, but nothing else that the client
//! wrote. Copies the request id into the answer. Audit events have both ids, too. Also bounds and
//! copies the head, and counts the answers of routes.

use std::{rc::Rc, time::Instant};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{HttpServiceFactory, Service, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue, X_FORWARDED_FOR};
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, Resource};
use actix_web::{http::StatusCode, middleware::Next, web::BytesMut};
use futures_util::TryFutureExt;
use tracing::{Span, error_span};
use tracing_actix_web::{RequestId, RootSpanBuilder};
use uuid::fmt::Hyphenated;
use wxmint_telemetry::{RouteMetrics, Trace, audit::Origin};

use super::client_address::TrustedProxies;
use super::connection::{limit_key, peer};
use super::problem::{Problem, ProblemCode};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The most bytes that the target, header names and header values may have together.
const MAX_HEAD: usize = 8 * 1024;

/// The root span of a request. It replaces tracing-actix-web's own, which records the Debug of
/// errors, and path and query, which may hold codes and passwords.
pub struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    // A span of level ERROR, so that a warning has its request id even with RUST_LOG=warn.
    fn on_request_start(request: &ServiceRequest) -> Span {
        if let Some(id) = proxy_id(request) {
            request.extensions_mut().insert(ProxyId(id));
        }
        let traceparent = request
            .headers()
            .get("traceparent")
            .and_then(|header| header.to_str().ok());
        // Probes are not sampled: they come every few seconds and tell nothing.
        let trace = Trace::of_request(
            traceparent,
            !["/livez", "/readyz", "/metrics"].contains(&request.path()),
        );
        let trace_id = trace
            .as_ref()
            .map(|trace| tracing::field::display(trace.id()));
        let is_named = request
            .app_data::<LogAddresses>()
            .is_some_and(|LogAddresses(is_named)| *is_named);
        let client = is_named.then(|| address(request.request()));
        let span = with_id_of(request.request(), |request_id| {
            error_span!("request", request_id, trace_id, client)
        });
        if let Some(trace) = trace {
            request.extensions_mut().insert(trace);
        }
        span
    }

    fn on_request_end<B: MessageBody>(_: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let Ok(response) = outcome else { return };
        let status = response.status().as_u16();
        tracing::debug!(status, "answered");
        if let Some(trace) = response.request().extensions().get::<Trace>() {
            let code = Problem::code_of(response.response());
            trace.answered(
                || name(response.request()),
                status,
                code.map(ProblemCode::as_str),
            );
        }
    }
}

/// The method and the route's pattern. Unknown methods become `_OTHER`, because the client may have
/// invented them.
fn name(request: &HttpRequest) -> String {
    let mut known = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"].into_iter();
    let method = known
        .find(|known| request.method() == known)
        .unwrap_or("_OTHER");
    [method, &request.match_pattern().unwrap_or_default()]
        .join(" ")
        .trim_end()
        .to_owned()
}

/// Whether log lines name the client (`WXMINT_LOG_ADDRESSES`).
#[derive(Clone, Copy)]
pub struct LogAddresses(pub bool);

/// The client of the request, as limits count it. Without `X-Forwarded-For` it is the connection's
/// peer.
fn address(request: &HttpRequest) -> String {
    let proxies = request
        .app_data::<TrustedProxies>()
        .filter(|_| request.headers().contains_key(X_FORWARDED_FOR));
    limit_key(match proxies {
        Some(proxies) => proxies.client_of(request),
        None => peer(request),
    })
}

/// The request id, trace id and client of the request, for audit events.
pub fn origin(request: &HttpRequest) -> Origin {
    let trace_id = request
        .extensions()
        .get::<Trace>()
        .map(|trace| trace.id().to_string());
    Origin {
        request_id: Some(request_id(request)),
        trace_id,
        address: Some(address(request)),
    }
}

/// The request id that a trusted proxy has given the request.
struct ProxyId(String);

/// The id that a trusted proxy has sent: at most 64 visible ASCII characters, so that any log can
/// hold it. If no proxy is trusted, no id is accepted.
fn proxy_id(request: &ServiceRequest) -> Option<String> {
    let mut ids = request.headers().get_all(REQUEST_ID);
    let (id, None) = (ids.next()?.as_bytes(), ids.next()) else {
        return None;
    };
    let is_id = (1..=64).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
    let sender = request
        .app_data::<TrustedProxies>()
        .zip(request.peer_addr());
    let is_from_proxy =
        sender.is_some_and(|(proxies, peer)| proxies.trusts(peer.ip().to_canonical()));
    (is_id && is_from_proxy).then(|| String::from_utf8_lossy(id).into_owned())
}

/// The id of the request: a trusted proxy's, or else the one that this server has drawn; empty if
/// there is neither.
pub fn request_id(request: &HttpRequest) -> String {
    with_id_of(request, str::to_owned)
}

fn with_id_of<T>(request: &HttpRequest, use_id: impl FnOnce(&str) -> T) -> T {
    let extensions = request.extensions();
    match (extensions.get::<ProxyId>(), extensions.get::<RequestId>()) {
        (Some(ProxyId(id)), _) => use_id(id),
        (None, Some(id)) => use_id(id.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH])),
        (None, None) => use_id(""),
    }
}

/// The layer of the issuer's and the admin listeners: bounds and copies the head, and copies the
/// request's id into the answer. It runs inside tracing-actix-web's layer. It is a single layer,
/// because each layer costs an allocation and a call.
pub async fn with_request_id<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if let Err(problem) = limit_head(&request) {
        return Ok(request.error_response(problem).map_into_right_body());
    }
    own_headers(&mut request);
    let trace = request.extensions().get::<Trace>().cloned();
    let answering = next.call(request);
    let answer = if let Some(trace) = trace {
        trace.around(answering).await
    } else {
        answering.await
    };
    let mut response = answer?.map_into_left_body();
    if let Ok(id) = with_id_of(response.request(), HeaderValue::from_str) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(response)
}

/// Refuses heads larger than `MAX_HEAD` with 431. No client of ours sends them.
fn limit_head(request: &ServiceRequest) -> Result<(), Problem> {
    let target = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let headers: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if target + headers <= MAX_HEAD {
        return Ok(());
    }
    let detail = "The head of the request is larger than 8 KiB. Send fewer or shorter headers.";
    Err(Problem::invalid(detail).with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))
}

/// Copies the headers into a buffer of their own, because they are views of the connection's
/// buffer, which also holds the body. actix-web keeps a request's memory until it reuses it for
/// another request, and a password would stay in memory until then.
fn own_headers(request: &mut ServiceRequest) {
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

/// Counts and times the answers of a resource, by outcome: `ok`, an error code of OAuth, or a
/// problem code.
pub fn counted(route: RouteMetrics, resource: Resource) -> impl HttpServiceFactory {
    let route = Rc::new(route);
    resource.wrap_fn(move |request, service| {
        let route = Rc::clone(&route);
        let begun = Instant::now();
        service
            .call(request)
            .inspect_ok(move |answer| route.answered(outcome(answer.response()), begun))
    })
}

fn outcome<B>(answer: &HttpResponse<B>) -> &'static str {
    if answer.status().as_u16() < 400 {
        return "ok";
    }
    let oauth = Problem::of(answer).and_then(|problem| problem.oauth);
    oauth.unwrap_or_else(|| {
        Problem::code_of(answer)
            .unwrap_or(ProblemCode::InternalError)
            .as_str()
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    /// A dual-stack listener sees a proxy with an IPv4 address at a mapped one (RFC 4291 section
    /// 2.5.5.2).
    #[test]
    fn the_id_and_the_client_that_a_trusted_proxy_names_count_also_on_a_dual_stack_listener() {
        const ID: &str = "id-of-the-proxy";
        const CLIENT: &str = "203.0.113.9";
        for (peer, network, is_trusted) in [
            ("10.0.0.1:4711", "10.0.0.0/8", true),
            ("[::ffff:10.0.0.1]:4711", "10.0.0.0/8", true),
            ("[::ffff:10.0.0.1]:4711", "::ffff:10.0.0.0/104", true),
            ("[fd00::1]:4711", "fd00::/8", true),
            ("198.51.100.1:4711", "10.0.0.0/8", false),
            ("[::ffff:198.51.100.1]:4711", "10.0.0.0/8", false),
            ("[64:ff9b::10.0.0.1]:4711", "10.0.0.0/8", false),
        ] {
            let proxies = TrustedProxies(vec![network.parse().expect("a network")]);
            let request = TestRequest::default()
                .peer_addr(peer.parse().expect("an address"))
                .insert_header((REQUEST_ID, ID))
                .insert_header((X_FORWARDED_FOR, CLIENT))
                .app_data(proxies)
                .to_srv_request();
            RequestSpan::on_request_start(&request);
            let origin = origin(request.request());
            assert_eq!(
                (
                    origin.request_id.as_deref() == Some(ID),
                    origin.address.as_deref() == Some(CLIENT)
                ),
                (is_trusted, is_trusted),
                "{peer} of {network}: {origin:?}"
            );
        }
    }
}
