//! Sites may read an answer (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>), never with credentials.

use actix_web::{HttpMessage, HttpRequest, HttpResponse, http::header};

/// Lets the site that has sent the request read its answer, if `is_own` says that it may. The server writes it down.
pub fn allow(request: &HttpRequest, is_own: impl FnOnce(&str) -> bool) {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return };
    if origin.to_str().is_ok_and(is_own) {
        request.extensions_mut().insert(super::server::Reader(origin.clone()));
    }
}

/// The answer to a preflight of what every site may read, whatever headers a page adds, as those of tracing.
pub fn open_preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "*"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"))
        .finish()
}

/// The answer to a preflight. It names no client, so whether the site may read the answer is decided then.
pub fn preflight(request: &HttpRequest, is_known: impl FnOnce(&str) -> bool) -> HttpResponse {
    allow(request, is_known);
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "POST, DELETE"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"))
        .finish()
}
