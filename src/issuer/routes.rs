//! All routes on one screen.

use std::sync::Arc;

use actix_web::{HttpResponse, Resource, http::header::LOCATION, web::ServiceConfig};
use wxmint_http::ProblemCode::{self, *};
use wxmint_http::described::READ;
use wxmint_http::viewer::{self, Description};
use wxmint_http::{counted, readable, routes};

use super::door::{Doors, OpenDoor};
use super::route_constants::{
    ANY, BILLED, BODY, HEAD, IDENTITY, LIMIT, LOGIN, METADATA, OAUTH_SERVER, OWN_TOKEN, PLACE,
    SECURITY, STORE, TOKEN, WECHAT,
};
use super::{
    Issuer, check_files::check_files, cross_origin, leave_routes as leave, login_route, metadata,
    session_key_routes as session_key, token_route,
};
use crate::revocation::feed::route as feed;

const ROOT: &str = "/";

const CODE: &[ProblemCode] = &[CodeInvalid, CodeUsed];
const SESSION_KEY: &[ProblemCode] = &[SessionKeyMissing, DataUndecryptable];
routes! {
    #[openapi(
        info(
            title = "wxmint",
            description = "Turns a WeChat mini-program login into a signed JWT. Errors are application/problem+json with a \
                           stable `code`; 429 and 503 carry Retry-After."
        ),
        tags((name = "login", description = "For mini programs"),
            (name = "wechat", description = "Uses of session_key, which never leaves this service"),
            (name = "keys", description = "For whoever verifies tokens"),
            (name = "older pages", description = "For mini programs that were written for another back end"),
            (name = "leave", description = "To log out, and to end a binding"))
    )]
    POST "/login" login_route::login_by_post [ANY, IDENTITY, CODE, LIMIT, BILLED, WECHAT], BODY;
    GET "/login" login_route::login_by_query [ANY, IDENTITY, CODE, LIMIT, WECHAT], HEAD;
    POST "/wechat/userdata" session_key::user_data [ANY, OWN_TOKEN, SESSION_KEY, &[UserBlocked], LIMIT], BODY;
    POST "/wechat/phone" session_key::phone [ANY, OWN_TOKEN, CODE, &[SessionKeyMissing], LIMIT, BILLED, WECHAT], BODY;
    GET "/wechat/session" session_key::session [ANY, OWN_TOKEN, SESSION_KEY, LIMIT, WECHAT], HEAD;
    POST "/wechat/session/reset" session_key::reset [ANY, OWN_TOKEN, SESSION_KEY, LIMIT, WECHAT], HEAD;
    READ "/.well-known/jwks.json" metadata::jwks [STORE], HEAD;
    READ "/revocations" feed::revocations [STORE], HEAD;
    READ "/.well-known/openid-configuration" metadata::metadata [], HEAD;
    POST "/logout" leave::logout [ANY, TOKEN, LIMIT], BODY;
    DELETE "/binding" leave::dissolve [ANY, OWN_TOKEN, LIMIT], HEAD;
}

pub(super) fn description(issuer: &Issuer, in_demo: bool) -> Description {
    let place = if in_demo { "demo" } else { "issuer" };
    let of_clients = issuer.oauth.as_ref().map(|_| &token_route::ROUTES);
    let routes = [&ROUTES]
        .into_iter()
        .chain(of_clients)
        .chain(issuer.doors.iter().map(|open| open.row.public));
    Description::new(
        place,
        PLACE,
        routes.collect(),
        issuer.settings.issuer.to_string(),
    )
}

/// The OpenAPI description of the public listener with these doors, as JSON.
pub fn openapi_json(doors: Doors) -> String {
    viewer::json(
        [&ROUTES, &token_route::ROUTES]
            .into_iter()
            .chain(doors.iter().map(|row| row.public)),
        "https://login.example.com",
    )
}

/// The routes for mini programs and peers, with those of the open doors.
pub(super) fn public_routes(issuer: &Issuer) -> impl FnOnce(&mut ServiceConfig) {
    let Issuer {
        settings, metrics, ..
    } = issuer;
    move |config| {
        let service = |label: &'static str, resource: Resource| {
            // Routes that wait for other services are timed; the login has a histogram of its own,
            // for all its paths.
            let is_document = label == OAUTH_SERVER
                || ROWS
                    .iter()
                    .any(|row| row.path == label && row.methods == READ);
            let counter = metrics.route(label, label != LOGIN && !is_document);
            counted(
                counter,
                cross_origin::with_preflight(issuer, label, resource),
            )
        };
        for path in &settings.login_paths {
            config.service(service(LOGIN, ROUTES.resource(LOGIN, path)));
        }
        for path in ROUTES.paths() {
            config.service(service(path, ROUTES.resource(path, path)));
        }
        if issuer.oauth.is_some() {
            for path in token_route::ROUTES.paths() {
                config.service(service(path, token_route::ROUTES.resource(path, path)));
            }
        }
        if let Some(folder) = &settings.verify_files_dir {
            check_files(config, folder);
        }
        for OpenDoor { row, door } in &issuer.doors {
            Arc::clone(door).configure(config);
            for path in row.public.paths() {
                config.service(service(path, row.public.resource(path, path)));
            }
        }
        // Leads to the viewer, because there is nothing else to see here. The redirect is
        // temporary, because that may change.
        let root = async || {
            HttpResponse::TemporaryRedirect()
                .insert_header((LOCATION, "docs/"))
                .finish()
        };
        config
            .service(service(
                OAUTH_SERVER,
                ROUTES.resource(METADATA, OAUTH_SERVER),
            ))
            .service(readable(ROOT, root))
            .configure(viewer::routes);
    }
}

/// Whether `path` can be a further path of the login. The case and a slash at the end make no
/// difference, because some proxies change them. Below `/wechat/` and `/.well-known/` wxmint may
/// answer further paths one day.
pub fn is_free(path: &str, doors: Doors) -> bool {
    let is_below = |folder: &str| {
        path.get(..folder.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(folder))
    };
    let is = |taken: &str| match taken.split_once('{') {
        Some((folder, _)) => is_below(folder),
        None => path
            .trim_end_matches('/')
            .eq_ignore_ascii_case(taken.trim_end_matches('/')),
    };
    let of_doors = doors.iter().flat_map(|row| row.public.paths());
    let taken = ROUTES
        .paths()
        .chain(token_route::ROUTES.paths())
        .chain(of_doors)
        .chain(viewer::PATHS)
        .chain([ROOT]);
    !taken.into_iter().any(is) && !["/.well-known/", "/wechat/"].into_iter().any(is_below)
}

#[cfg(test)]
mod tests;
