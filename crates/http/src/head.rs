//! Bounds the heads of requests, checks their host names, copies their headers, and reads their queries. Says in the
//! head of an answer who may keep or read it.

use std::net::{Ipv4Addr, Ipv6Addr};

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HOST, HeaderValue};
use actix_web::http::{StatusCode, uri::Authority};
use actix_web::web::{BytesMut, Query};
use actix_web::{HttpMessage, HttpResponse};
use serde::Serialize;

use super::Problem;

/// The most bytes that target, header names and header values may have together.
const MAX_HEAD: usize = 8 * 1024;

/// Refuses larger heads. No client of ours sends them.
pub(super) fn limit_head(request: &ServiceRequest) -> Result<(), Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if target + headers <= MAX_HEAD {
        return Ok(());
    }
    let detail = "The head of the request is larger than 8 KiB. Send fewer or shorter headers.";
    Err(Problem::invalid(detail).with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))
}

/// Copies the headers into a buffer of their own, because they are views of the connection's buffer, which also holds
/// the body. actix-web keeps a request until it reuses it, and a password would stay in memory for as long.
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

/// The site that may read the answer to a request.
pub(super) struct Reader(pub(super) HeaderValue);

/// Writes into an answer who may read it, as [`cors::allow`](crate::cors::allow) has noted.
pub(super) fn write_reader<B>(answer: &mut ServiceResponse<B>) {
    let Some(Reader(origin)) = answer.request().extensions_mut().remove() else { return };
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After, X-Request-Id"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
}

/// An answer for one person, which no cache may keep.
pub fn private(answer: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store"))).json(answer)
}

/// The decoded names and values of a query or a form.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    Query::from_query(query).map(Query::into_inner).unwrap_or_default()
}

/// Checks the host name of a request to a listener on loopback. 421, because the request asks for a host that this
/// listener does not serve (RFC 9110 section 15.5.20). A request without any host passes: browsers always send one.
pub(super) fn check_host(request: &ServiceRequest, only_loopback_names: bool) -> Result<(), Problem> {
    let named = || request.headers().get_all(HOST).all(|host| host.to_str().is_ok_and(is_loopback));
    let in_target = || request.uri().authority().is_none_or(|authority| is_loopback(authority.as_str()));
    if !only_loopback_names || (named() && in_target()) {
        return Ok(());
    }
    let detail = "This listener is for programs of this machine and answers to loopback host names alone. \
                  Ask for http://localhost or http://127.0.0.1, with this port.";
    Err(Problem::invalid(detail).with_status(StatusCode::MISDIRECTED_REQUEST))
}

/// `localhost`, a name below it (RFC 6761 section 6.3), 127.0.0.0/8 or `[::1]`, with or without a port.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || address.parse().is_ok_and(|address: Ipv6Addr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_are_told_from_names_that_only_resemble_them() {
        for name in
            ["localhost", "LocalHost:8080", "localhost.", "demo.localhost:1", "127.0.0.1", "127.1.2.3:80", "[::1]:9"]
        {
            assert!(is_loopback(name), "{name}");
        }
        for name in [
            "",
            "localhost.evil.example",
            "evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "0.0.0.0:8080",
            "10.0.0.1",
            "[::]",
            "localhost evil.example",
            "localhost,evil.example",
        ] {
            assert!(!is_loopback(name), "{name}");
        }
    }
}
