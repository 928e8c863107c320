//! Requests that a browser or a link scanner sends ahead of time, before a person has opened the
//! link. They must change nothing: they would spend a WeChat code, a state or a login before the
//! person comes.

use actix_web::guard;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, Route, dev::RequestHead, web};

/// The headers that mark such requests. `Sec-Purpose` is the standard (Fetch); the others are from
/// older browsers.
const HEADERS: [&str; 4] = ["sec-purpose", "purpose", "x-purpose", "x-moz"];
const WORDS: [&str; 3] = ["prefetch", "prerender", "preview"];

/// The route of such requests, for the paths at which a GET changes something: it answers 204,
/// which no cache keeps. So the browser sends the request again when the person opens the link.
pub(super) fn answer_nothing() -> Route {
    let is_visit = guard::Any(guard::Get()).or(guard::Head());
    web::route()
        .guard(is_visit)
        .guard(guard::fn_guard(|context| is_speculative(context.head())))
        .to(no_content)
}

async fn no_content() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((CACHE_CONTROL, "no-store"))
        .finish()
}

fn is_speculative(head: &RequestHead) -> bool {
    let fields = HEADERS
        .iter()
        .flat_map(|name| head.headers().get_all(*name));
    fields
        .map(|field| field.as_bytes().to_ascii_lowercase())
        .any(|field| {
            WORDS.iter().any(|word| {
                field
                    .windows(word.len())
                    .any(|part| part == word.as_bytes())
            })
        })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_headers_of_all_browsers_are_known_whatever_else_they_say() {
        for (name, value, is_ahead) in [
            ("sec-purpose", &b"prefetch"[..], true),
            ("sec-purpose", b"prefetch;prerender", true),
            ("sec-purpose", b"\xff, Prefetch;anonymous-client-ip", true),
            ("purpose", b"prefetch", true),
            ("x-moz", b"prefetch", true),
            ("x-purpose", b"preview", true),
            ("sec-purpose", b"", false),
            ("sec-fetch-mode", b"prefetch", false),
            ("user-agent", b"prefetch", false),
        ] {
            let value = HeaderValue::from_bytes(value).expect("a header");
            let request = TestRequest::get()
                .insert_header((name, value))
                .to_http_request();
            assert_eq!(is_speculative(request.head()), is_ahead, "{name}");
        }
    }
}
