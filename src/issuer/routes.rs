//! All routes on one screen.

use std::{rc::Rc, sync::OnceLock, time::Instant};

use actix_web::{
    HttpResponse, Resource,
    dev::{HttpServiceFactory, Service},
    http::header::LOCATION,
    web::ServiceConfig,
};
use utoipa::OpenApi;

use super::{
    IssuerStartError, device, leave_routes as leave, login_route, metadata, revocations,
    session_key_routes as session_key,
};
use crate::{
    findings::Finding,
    http::{
        Problem,
        ProblemCode::{self, *},
        ProblemDocument,
        described::{BearerSecurity, Chinese, DELETE, DescribedRoute, GET, POST, READ, Routes, routes},
        readable,
        viewer::{self, Description},
    },
    settings::Settings,
    telemetry::Metrics,
};

const LOGIN: &str = "/login";
pub(super) const LOGOUT: &str = "/logout";
const ROOT: &str = "/";
/// The same as `/.well-known/openid-configuration`, by its name in RFC 8414.
const OAUTH_SERVER: &str = "/.well-known/oauth-authorization-server";

/// The problems of every route with a handler that asks the store.
pub(super) const ANY: &[ProblemCode] = &[InvalidRequest, InternalError, StoreUnavailable];
pub(super) const STORE: &[ProblemCode] = &[InternalError, StoreUnavailable];
pub(super) const IDENTITY: &[ProblemCode] =
    &[CredentialsInQuery, BindingRequired, InvalidCredentials, AlreadyBound, AccountsUnavailable];
const CODE: &[ProblemCode] = &[CodeInvalid, CodeUsed];
pub(super) const TOKEN: &[ProblemCode] = &[InvalidToken];
const SESSION_KEY: &[ProblemCode] = &[DataUndecryptable];
pub(super) const LIMIT: &[ProblemCode] = &[RateLimited];
/// Of a call of WeChat's API for one person.
pub(super) const WECHAT: &[ProblemCode] = &[UnknownApp, UserBlocked, WechatMisconfigured, WechatUnavailable];

/// Statuses of `invalid_request` beside 400. 431 is possible on every route.
pub(super) const HEAD: &[u16] = &[431];
pub(super) const BODY: &[u16] = &[408, 413, 431];
pub(super) const TYPED_BODY: &[u16] = &[408, 413, 415, 431];

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
    POST "/login" login_route::login_by_post [ANY, IDENTITY, CODE, LIMIT, WECHAT], TYPED_BODY;
    GET "/login" login_route::login_by_query [ANY, IDENTITY, CODE, LIMIT, WECHAT], HEAD;
    POST "/wechat/userdata" session_key::user_data [ANY, TOKEN, SESSION_KEY, LIMIT], BODY;
    POST "/wechat/phone" session_key::phone [ANY, TOKEN, CODE, LIMIT, WECHAT], BODY;
    GET "/wechat/session" session_key::session [ANY, TOKEN, SESSION_KEY, LIMIT, WECHAT], HEAD;
    POST "/wechat/session/reset" session_key::reset [ANY, TOKEN, SESSION_KEY, LIMIT, WECHAT], HEAD;
    READ "/.well-known/jwks.json" metadata::jwks [], HEAD;
    READ "/revocations" revocations::revocations [STORE], HEAD;
    READ "/.well-known/openid-configuration" metadata::metadata [], HEAD;
    POST "/logout" leave::logout [ANY, TOKEN, LIMIT], BODY;
    DELETE "/binding" leave::dissolve [ANY, TOKEN, LIMIT], HEAD;
}

pub(super) const SECURITY: BearerSecurity = BearerSecurity {
    format: "JWT",
    description: "The `access_token` of an answer of `POST /login`: the text that begins with eyJ, without the word Bearer. A \
                  login that you send from this page fills it in.",
};

/// What the public listener of this issuer tells of itself.
pub(super) fn description(issuer: &str, has_clients: bool) -> Description {
    Description {
        api: if has_clients { with_devices } else { Described::openapi },
        server: issuer.to_owned(),
        chinese: Chinese {
            tags: &[
                ("login", "登录"),
                ("wechat", "微信"),
                ("keys", "验证 token"),
                ("older pages", "旧页面"),
                ("leave", "退出"),
                ("scan", "扫码登录"),
            ],
            paragraphs: include_str!("chinese.json"),
        },
        place: "issuer",
        paths: PLACE,
        documents: OnceLock::new(),
    }
}

/// Tells clients that ask for an unknown path where the API is described.
pub(super) const PLACE: &str = "The API is described at /docs.";

fn with_devices() -> utoipa::openapi::OpenApi {
    let mut api = Described::openapi();
    api.merge(device::described());
    api
}

/// With all doors.
pub fn openapi_json() -> String {
    description("https://login.example.com", true).json()
}

/// The routes for mini programs and peers; those of scan to log in if it `has_clients`.
pub(super) fn public_routes(
    settings: &Settings,
    has_clients: bool,
    metrics: &Metrics,
) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        for path in &settings.login_paths {
            config.service(counted(metrics, LOGIN, ROUTES.resource(LOGIN, path)));
        }
        for path in ROUTES.paths() {
            let resource = ROUTES.resource(path, path);
            let resource = if has_clients { device::with_preflight(path, resource) } else { resource };
            config.service(counted(metrics, path, resource));
        }
        if let Some(folder) = settings.verify_files_dir.clone() {
            config.configure(device::check_files(folder));
        }
        if has_clients {
            for path in device::ROUTES.paths() {
                let resource = device::with_preflight(path, device::ROUTES.resource(path, path));
                config.service(counted(metrics, path, resource));
            }
        }
        // Leads to the viewer, because nothing else is to be seen here. Temporary, because that may change.
        let root = async || HttpResponse::TemporaryRedirect().insert_header((LOCATION, "docs/")).finish();
        config
            .service(counted(metrics, OAUTH_SERVER, readable(OAUTH_SERVER, metadata::metadata)))
            .service(readable(ROOT, root))
            .configure(viewer::routes);
    }
}

pub(super) fn check_login_paths(settings: &Settings) -> Result<(), IssuerStartError> {
    if settings.login_paths.iter().all(|path| is_free(path)) {
        return Ok(());
    }
    let advice = "name paths that wxmint does not use itself";
    Err(IssuerStartError::of_setting(Finding::fault("settings", "WXMINT_LOGIN_PATHS is not valid", advice)))
}

/// Whether `path` can be a further path of the login. The case and a slash at the end make no difference, because some proxies
/// change them. Below `/wechat/` and `/.well-known/` wxmint may answer further paths one day.
fn is_free(path: &str) -> bool {
    let is_below = |folder: &str| path.get(..folder.len()).is_some_and(|start| start.eq_ignore_ascii_case(folder));
    let is = |taken: &str| match taken.split_once('{') {
        Some((folder, _)) => is_below(folder),
        None => path.trim_end_matches('/').eq_ignore_ascii_case(taken.trim_end_matches('/')),
    };
    let taken = ROUTES.paths().chain(device::ROUTES.paths()).chain(viewer::PATHS).chain([ROOT]);
    !taken.into_iter().any(is) && !["/.well-known/", "/wechat/"].into_iter().any(is_below)
}

/// Counts the answers of a resource by outcome. Those that wait for other services are timed; the login has a histogram of its
/// own, and one label on all its paths.
fn counted(metrics: &Metrics, path: &'static str, resource: Resource) -> impl HttpServiceFactory + use<> {
    let route = metrics.route(path);
    let is_document = path == OAUTH_SERVER || ROUTES.0.iter().any(|row| row.path == path && row.methods == READ);
    let route = Rc::new(if path == LOGIN || is_document { route } else { route.timed() });
    resource.wrap_fn(move |request, service| {
        let (route, begun, answering) = (Rc::clone(&route), Instant::now(), service.call(request));
        async move {
            let answer = answering.await?;
            route.answered(outcome(answer.response()), begun);
            Ok(answer)
        }
    })
}

/// `ok`, or the code of the problem that is answered.
fn outcome<B>(answer: &HttpResponse<B>) -> &'static str {
    if answer.status().as_u16() < 400 {
        return "ok";
    }
    Problem::of(answer).map_or(ProblemCode::InternalError.as_str(), Problem::label)
}

#[cfg(test)]
mod tests;
