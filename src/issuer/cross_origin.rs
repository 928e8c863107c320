//! CORS. Pages of other sites may read the public documents. Pages of an app's or client's `origins`
//! may read more. They may also read a refusal that came before the app
//! or client of the request was known.

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Resource, web};
use wxmint_http::{ErrorReaders, allow_site};
use wxmint_ids::AppId;

use super::route_constants::{BINDING, JWKS, LOGIN, LOGOUT, METADATA, OAUTH_SERVER, TOKEN_PATH};
use super::{Issuer, state::IssuerWorker};
use crate::apps::AppsSource;

/// The routes of a path, which answers preflights too if pages of other sites may use it.
pub(super) fn with_preflight(issuer: &Issuer, path: &'static str, resource: Resource) -> Resource {
    if [JWKS, METADATA, OAUTH_SERVER].contains(&path) {
        // Every page may read these, whatever headers it adds, for instance those of tracing.
        let open = async || {
            preflight("GET, HEAD", "*")
                .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
                .finish()
        };
        return resource
            .app_data(ErrorReaders::Everybody)
            .route(web::route().method(Method::OPTIONS).to(open));
    }
    let is_folder = matches!(issuer.settings.apps, AppsSource::Folder(_));
    let has_clients = issuer.oauth.is_some();
    let is_of_apps = (is_folder || has_clients) && [LOGIN, LOGOUT, BINDING].contains(&path);
    let is_of_clients = has_clients && [LOGOUT, TOKEN_PATH].contains(&path)
        || issuer
            .doors
            .iter()
            .any(|open| open.row.readable.contains(&path));
    if !is_of_apps && !is_of_clients {
        return resource;
    }
    let may_ask = move |worker: &IssuerWorker, origin: &str| {
        let issuer = &worker.issuer;
        is_of_apps && issuer.apps.all().have_origin(None, origin)
            || is_of_clients && issuer.clients().have_origin(None, origin)
    };
    let answer = move |request: HttpRequest, worker: web::Data<IssuerWorker>| async move {
        // A preflight names no client, so whether the site may read the answer is decided at the
        // request itself.
        allow_site(&request, |origin| may_ask(&worker, origin));
        preflight("POST, DELETE", "Authorization, Content-Type").finish()
    };
    let read_errors = move |request: &HttpRequest, origin: &str| {
        request
            .app_data::<web::Data<IssuerWorker>>()
            .is_some_and(|worker| may_ask(worker, origin))
    };
    let resource = resource.app_data(ErrorReaders::Sites(Box::new(read_errors)));
    resource.route(web::route().method(Method::OPTIONS).to(answer))
}

fn preflight(methods: &'static str, headers: &'static str) -> HttpResponseBuilder {
    let mut answer = HttpResponse::NoContent();
    answer
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, headers))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"));
    answer
}

/// Lets the page read the answer to a token or a login of this client or app.
pub(super) fn readable_by_pages_of(request: &HttpRequest, worker: &IssuerWorker, id: &AppId) {
    let issuer = &worker.issuer;
    allow_site(request, |origin| {
        issuer.apps.all().have_origin(Some(id), origin)
            || issuer.clients().have_origin(Some(id), origin)
    });
}
