//! Serves a listener's OpenAPI document at `/openapi.json`, and Swagger UI at `/docs/` in a page of
//! our own, which shows that document.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::web::{Bytes, Data, Path, ServiceConfig};
use actix_web::{HttpResponse, http::header};
use utoipa::openapi::{OpenApi, Server};
use utoipa_swagger_ui::Config;

use super::page::{self, CSS, HTML, JS};
use super::{Answer, described::Routes, not_found, readable};

const PAGE: &str = include_str!("viewer/index.html");

const FILES: [(&str, &str, &str); 2] = [
    ("viewer.css", CSS, include_str!("viewer/viewer.css")),
    ("viewer.js", JS, include_str!("viewer/viewer.js")),
];

/// The OpenAPI document of a listener, with what its viewer needs.
pub struct Description {
    /// The kind of listener: `issuer`, `admin`, or `demo`, where visitors can get codes that work.
    place: &'static str,
    /// Lists the existing paths in the answer to an unknown path.
    paths: &'static str,
    /// The document as JSON, made at the first request.
    document: LazyLock<Bytes, Box<dyn FnOnce() -> Bytes + Send>>,
}

impl Description {
    /// Describes the routes `of` a listener below the base URL `server`.
    pub fn new(
        place: &'static str,
        paths: &'static str,
        of: Vec<&'static Routes>,
        server: String,
    ) -> Self {
        Self {
            place,
            paths,
            document: LazyLock::new(Box::new(move || json(of, &server).into())),
        }
    }
}

/// Describes the routes as an OpenAPI document in JSON. The listener's own routes come first in
/// `of`. `server` is the base URL of the paths.
pub fn json(of: impl IntoIterator<Item = &'static Routes>, server: &str) -> String {
    let mut api = of
        .into_iter()
        .map(|routes| (routes.described)())
        .reduce(OpenApi::merge_from)
        .unwrap_or_default();
    api.servers = Some(vec![Server::new(server)]);
    api.to_json()
        .expect("a description that is known when compiling serializes")
}

const DOCUMENT: &str = "/openapi.json";
const FOLDER: &str = "/docs";
const FILE: &str = "/docs/{file:.*}";
/// The paths of the viewer's routes.
pub const PATHS: [&str; 3] = [DOCUMENT, FOLDER, FILE];

/// Adds the viewer's routes. The app's data must hold a [`Description`].
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(readable(DOCUMENT, document))
        .service(readable(FOLDER, folder))
        .service(readable(FILE, file));
}

async fn document(description: Data<Description>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(description.document.clone())
}

async fn folder() -> HttpResponse {
    // The viewer's files lie below. The location is relative, so that the redirect also works
    // behind a proxy that adds a prefix.
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, "docs/"))
        .finish()
}

/// `GET /docs/…`: the page and its files. The viewer's own route is not used, because its 404 has no body.
async fn file(name: Path<String>, description: Data<Description>) -> Answer {
    Ok(match name.as_str() {
        "" | "index.html" => page::answer(HTML, PAGE.replace("{place}", description.place)),
        "swagger-ui.css" => page::answer(CSS, of_swagger_ui(&name)),
        "swagger-ui-bundle.js" => page::answer(JS, of_swagger_ui(&name)),
        name => {
            let found = FILES
                .into_iter()
                .chain(page::SHARED)
                .find(|(file, ..)| *file == name);
            let (_, kind, content) = found.ok_or_else(|| not_found(description.paths))?;
            page::answer(kind, content)
        }
    })
}

/// Borrows the files that are part of the program, because a copy for each client that reads slowly would take 1.5 MB.
fn of_swagger_ui(name: &str) -> Bytes {
    match utoipa_swagger_ui::serve(name, Arc::new(Config::default()))
        .ok()
        .flatten()
        .map(|file| file.bytes)
    {
        Some(Cow::Borrowed(bytes)) => Bytes::from_static(bytes),
        Some(Cow::Owned(bytes)) => bytes.into(),
        None => Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/viewer");
        for entry in std::fs::read_dir(folder).expect("the page's folder") {
            let name = entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8");
            assert!(
                name == "index.html" || FILES.iter().any(|(served, ..)| *served == name),
                "{name}"
            );
        }
        for name in ["swagger-ui.css", "swagger-ui-bundle.js"] {
            assert!(of_swagger_ui(name).len() > 100_000, "{name}");
        }
    }
}
