//! `/openapi.json` and `/docs`.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Path},
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_swagger_ui::Config;

use super::{binding, handlers, metadata, session};
use crate::http::not_found;

/// The public API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "wxmint",
        description = "Turns a WeChat mini-program login into a signed JWT. Errors are application/problem+json with a \
                       stable `code`; 429 and 503 carry Retry-After."
    ),
    modifiers(&Bearer),
    paths(handlers::login_by_post, handlers::login_by_query, binding::dissolve, session::logout, session::user_data, session::phone,
        session::session, session::reset, metadata::jwks, metadata::metadata),
    tags((name = "login", description = "For mini programs"), (name = "wechat", description = "What session_key is for, without ever seeing it"),
        (name = "keys", description = "For whoever verifies tokens"))
)]
struct Api;

/// The token of a login.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi_json().into());

static VIEWER: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::new(["../openapi.json"]).validator_url("none")));

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

/// `GET /docs/…`: the viewer's files. Not by its own route, whose 404 has no body.
pub(super) async fn docs_file(request: HttpRequest, path: Path<String>) -> HttpResponse {
    match utoipa_swagger_ui::serve(&path, Arc::clone(&VIEWER)) {
        Ok(Some(file)) => HttpResponse::Ok().content_type(file.content_type).body(uncopied(file.bytes)),
        _ => not_found(request).await,
    }
}

/// Without a copy of what is part of the program: clients that do not read would hold 1.5 MB each.
fn uncopied(file: Cow<'static, [u8]>) -> Bytes {
    match file {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    }
}
