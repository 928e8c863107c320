//! What pages of other sites may read: those of a client of `WXMINT_CLIENTS_FILE`, and those of an app that names its `origins`.

use actix_web::{HttpRequest, Resource, http::Method, web};
use wxmint_ids::AppId;

use super::{
    build::IssuerWorker,
    routes::{BINDING, LOGIN, LOGOUT},
};
use crate::http::cors;

const OF_APPS: [&str; 3] = [LOGIN, LOGOUT, BINDING];
const OF_CLIENTS: [&str; 3] = [LOGOUT, "/device_authorization", "/token"];

/// The routes of a path, which answers preflights too if pages of other sites may use it.
pub(super) fn with_preflight(path: &str, resource: Resource) -> Resource {
    let (of_apps, of_clients) = (OF_APPS.contains(&path), OF_CLIENTS.contains(&path));
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
