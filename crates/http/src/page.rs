//! Pages for browsers. They load nothing from other origins, and no site can frame them.

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpResponse, body::MessageBody};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
pub const HTML: &str = "text/html; charset=utf-8";
pub const CSS: &str = "text/css; charset=utf-8";
pub const JS: &str = "text/javascript; charset=utf-8";
/// The files that every page loads, each as name, content type and content. `early.js` chooses
/// language and theme before the first paint. `look.css` has colours, fonts and header. `theme.js`
/// switches between light and dark.
pub const SHARED: [(&str, &str, &str); 3] = [
    ("early.js", JS, include_str!("page/early.js")),
    ("look.css", CSS, include_str!("page/look.css")),
    ("theme.js", JS, include_str!("page/theme.js")),
];

/// Answers a page, or a file that a page loads, with the content security policy of all pages.
pub fn answer(kind: &'static str, content: impl MessageBody + 'static) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(content)
}
