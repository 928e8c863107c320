//! Pages for browsers. They load nothing from elsewhere, and nobody can frame them.

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpResponse, body::MessageBody};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
pub const HTML: &str = "text/html; charset=utf-8";
pub const CSS: &str = "text/css; charset=utf-8";
pub const JS: &str = "text/javascript; charset=utf-8";
/// Every page loads these: its language and colours, chosen before its first paint, and its colours, fonts and header.
pub const SHARED: [(&str, &str, &str); 3] = [
    ("early.js", JS, include_str!("page/early.js")),
    ("look.css", CSS, include_str!("page/look.css")),
    ("theme.js", JS, include_str!("page/theme.js")),
];

/// A page, or a file that it loads.
pub fn answer(kind: &'static str, content: impl MessageBody + 'static) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(content)
}
