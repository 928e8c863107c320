//! `/docs/`: Swagger UI in a page of our own, on both listeners. The page chooses its language by itself, and shows the
//! `openapi.json` or `openapi.zh-CN.json` that lies beside its folder.

use std::{borrow::Cow, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, http::header, web::Bytes};
use utoipa_swagger_ui::Config;

use super::page::{self, CSS, HTML, JS};

const PAGE: &str = include_str!("viewer/index.html");

const FILES: [(&str, &str, &str); 6] = [
    ("early.js", JS, page::EARLY),
    ("look.css", CSS, page::LOOK),
    ("theme.js", JS, page::THEME),
    ("viewer.css", CSS, include_str!("viewer/viewer.css")),
    ("viewer.js", JS, include_str!("viewer/viewer.js")),
    ("words.js", JS, include_str!("viewer/words.js")),
];

/// `GET /docs`: redirects to `/docs/`, below which the viewer's files lie. The location is relative, so that it also
/// holds behind a proxy that adds a path prefix.
pub async fn folder(request: HttpRequest) -> HttpResponse {
    let query = request.query_string();
    let place = if query.is_empty() { "docs/".to_owned() } else { format!("docs/?{query}") };
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, place)).finish()
}

/// `GET /docs/…`: the page and its files. `place` is `issuer`, `demo` or `admin`. The viewer's own route is not used, because
/// its 404 has no body.
pub fn file(name: &str, place: &str) -> Option<HttpResponse> {
    Some(match name {
        "" | "index.html" => page::answer(HTML, PAGE.replace("{place}", place)),
        "swagger-ui.css" => page::answer(CSS, of_swagger_ui(name)),
        "swagger-ui-bundle.js" => page::answer(JS, of_swagger_ui(name)),
        name => {
            let (_, kind, content) = FILES.iter().find(|(file, ..)| *file == name)?;
            page::answer(kind, *content)
        }
    })
}

/// Borrows the files that are part of the program, because a copy for each client that reads slowly would take 1.5 MB.
fn of_swagger_ui(name: &str) -> Bytes {
    match utoipa_swagger_ui::serve(name, Arc::new(Config::default())) {
        Ok(Some(file)) => match file.bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        },
        _ => Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/viewer");
        for entry in std::fs::read_dir(folder).expect("the page's folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            assert!(name == "index.html" || FILES.iter().any(|(served, ..)| *served == name), "{name}");
        }
        for name in ["swagger-ui.css", "swagger-ui-bundle.js"] {
            assert!(of_swagger_ui(name).len() > 100_000, "{name}");
        }
    }
}
