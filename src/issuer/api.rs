//! `/openapi.json` and `/docs`.

use std::sync::LazyLock;

use actix_web::{HttpResponse, http::header, web::Bytes};
use utoipa::OpenApi;

use super::{handlers, metadata};

/// The public API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "wxmint",
        description = "Turns a WeChat mini-program login into a signed JWT. Errors are application/problem+json with a \
                       stable `code`; 429 and 503 carry Retry-After."
    ),
    paths(handlers::login_by_post, handlers::login_by_query, metadata::jwks, metadata::metadata),
    tags((name = "login", description = "For mini programs"), (name = "keys", description = "For whoever verifies tokens"))
)]
struct Api;

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi_json().into());

/// The API as OpenAPI 3.1 JSON.
pub fn openapi_json() -> String {
    Api::openapi().to_json().expect("a description that is known when compiling serializes")
}

/// `GET /openapi.json`
pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.clone())
}

/// `GET /docs`: the viewer's files lie beside each other below `/docs/`. Relative, so that a path prefix of a proxy
/// holds.
pub(super) async fn docs_folder() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "docs/")).finish()
}
