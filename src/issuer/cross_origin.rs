//! Pages of other sites may read the public documents. Pages of an app that names its `origins`, and those that a door
//! knows, may read more.

use actix_web::{HttpRequest, Resource, http::Method, web};
use wxmint_http::cors;
use wxmint_ids::AppId;

use super::declared::{BINDING, JWKS, LOGIN, LOGOUT, METADATA, OAUTH_SERVER};
use super::{Issuer, door::OpenDoor, state::IssuerWorker};

/// Every page may read these.
const OF_ALL: [&str; 3] = [JWKS, METADATA, OAUTH_SERVER];
const OF_APPS: [&str; 3] = [LOGIN, LOGOUT, BINDING];

/// The routes of a path, which answers preflights too if pages of other sites may use it.
pub(super) fn with_preflight(issuer: &Issuer, path: &'static str, resource: Resource) -> Resource {
    if OF_ALL.contains(&path) {
        return resource.route(web::route().method(Method::OPTIONS).to(async || cors::open_preflight()));
    }
    let is_of_door = move |open: &OpenDoor| open.row.readable.contains(&path);
    let has_pages = issuer.apps.may_have_origins() || issuer.doors.iter().any(|open| !open.row.readable.is_empty());
    let is_of_apps = has_pages && OF_APPS.contains(&path);
    let is_of_doors = issuer.doors.iter().any(is_of_door);
    if !is_of_apps && !is_of_doors {
        return resource;
    }
    let answer = move |request: HttpRequest, worker: web::Data<IssuerWorker>| async move {
        let Issuer { apps, doors, .. } = &*worker.issuer;
        cors::preflight(&request, |origin| {
            is_of_apps && apps.all().have_origin(None, origin)
                || is_of_doors && doors.iter().any(|open| open.door.has_origin(None, origin))
        })
    };
    resource.route(web::route().method(Method::OPTIONS).to(answer))
}

/// Lets the page read what is answered to a token, or to a login, of this client or app.
pub(super) fn readable_by_pages_of(request: &HttpRequest, worker: &IssuerWorker, id: &AppId) {
    let Issuer { apps, doors, .. } = &*worker.issuer;
    cors::allow(request, |origin| {
        apps.all().have_origin(Some(id), origin) || doors.iter().any(|open| open.door.has_origin(Some(id), origin))
    });
}
