//! Pages of other sites may read the public documents. Pages of a client of `WXMINT_CLIENTS_FILE`, and of an app that
//! names its `origins`, may read more.

use actix_web::{HttpRequest, Resource, http::Method, web};
use wxmint_ids::AppId;

use super::{
    declared::{BINDING, JWKS, LOGIN, LOGOUT, METADATA, OAUTH_SERVER},
    state::IssuerWorker,
};
use crate::http::cors;

/// Every page may read these.
const OF_ALL: [&str; 3] = [JWKS, METADATA, OAUTH_SERVER];
const OF_APPS: [&str; 3] = [LOGIN, LOGOUT, BINDING];
const OF_CLIENTS: [&str; 3] = [LOGOUT, "/device_authorization", "/token"];

/// The routes of a path, which answers preflights too if pages of other sites may use it. Only with `there_are_origins`
/// some site may use more than the public documents.
pub(super) fn with_preflight(path: &str, resource: Resource, there_are_origins: bool) -> Resource {
    if OF_ALL.contains(&path) {
        return resource.route(web::route().method(Method::OPTIONS).to(async || cors::open_preflight()));
    }
    let [of_apps, of_clients] = [OF_APPS, OF_CLIENTS].map(|paths| there_are_origins && paths.contains(&path));
    if !of_apps && !of_clients {
        return resource;
    }
    let answer = move |request: HttpRequest, worker: web::Data<IssuerWorker>| async move {
        cors::preflight(&request, |origin| {
            of_apps && worker.issuer.apps.all().have_origin(None, origin)
                || of_clients && worker.clients().have_origin(origin)
        })
    };
    resource.route(web::route().method(Method::OPTIONS).to(answer))
}

/// Lets the page read what is answered to a token, or to a login, of this client or app.
pub(super) fn readable_by_pages_of(request: &HttpRequest, worker: &IssuerWorker, id: &AppId) {
    cors::allow(request, |origin| {
        worker.issuer.apps.all().have_origin(Some(id), origin)
            || worker.clients().get(id).is_some_and(|client| client.origins.iter().any(|own| own == origin))
    });
}
