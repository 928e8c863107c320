//! The demo's page, which plays the phone. It is served at the issuer's own origin, and loads nothing from elsewhere.

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderName},
    web::{self, ServiceConfig},
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($path:literal, $kind:ident, $file:literal;)*) => {
        const FILES: &[(&str, &str, &str)] = &[$(($path, $kind, include_str!(concat!("page/", $file)))),*];
    };
}

files! {
    "/", HTML, "index.html";
    "/demo/page.css", CSS, "page.css";
    "/demo/accounts.js", JS, "accounts.js";
    "/demo/appearance.js", JS, "appearance.js";
    "/demo/asking.js", JS, "asking.js";
    "/demo/diagram.js", JS, "diagram.js";
    "/demo/dom.js", JS, "dom.js";
    "/demo/early.js", JS, "early.js";
    "/demo/faults.js", JS, "faults.js";
    "/demo/page.js", JS, "page.js";
    "/demo/peer.js", JS, "peer.js";
    "/demo/people.js", JS, "people.js";
    "/demo/phone.js", JS, "phone.js";
    "/demo/screens.js", JS, "screens.js";
    "/demo/steps.js", JS, "steps.js";
    "/demo/token.js", JS, "token.js";
    "/demo/verify.js", JS, "verify.js";
    "/demo/words-en.js", JS, "words-en.js";
    "/demo/words-zh.js", JS, "words-zh.js";
    "/demo/words.js", JS, "words.js";
    "/demo/mini-program/utils/login.js", JS, "../../../examples/mini-program/utils/login.js";
}

/// The page at `/` and its parts below `/demo/`.
pub fn page_routes(config: &mut ServiceConfig) {
    for &(path, kind, content) in FILES {
        config.route(path, web::get().to(move || answer(kind, content)));
    }
}

async fn answer(kind: &'static str, content: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/simulator/page");
        let mut there: Vec<_> = std::fs::read_dir(folder)
            .expect("the page's folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        let mut served: Vec<_> = FILES
            .iter()
            .map(|(path, ..)| {
                path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("index.html").to_owned()
            })
            .collect();
        there.push("login.js".into());
        there.sort();
        served.sort();
        assert_eq!(there, served);
    }
}
