//! All routes on one screen.

use std::{rc::Rc, time::Instant};

use actix_web::{
    FromRequest, Handler, HttpResponse, Resource, Responder, Route,
    dev::{HttpServiceFactory, Service},
    web::{self, ServiceConfig, delete, get, post, resource},
};

use super::{api, leave_routes as leave, login_route, metadata, revocations, session_key_routes as session_key};
use crate::{
    http::{Answer, OrProblem, ProblemCode, not_allowed, readable, viewer},
    settings::PublicPath as Path,
    telemetry::{Metrics, RouteMetrics},
};

/// The routes for mini programs and peers. `login_paths` are further paths of the login.
pub(super) fn public_routes(login_paths: &[String], metrics: &Metrics) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        for path in login_paths {
            config.service(login(metrics, path));
        }
        config
            .service(login(metrics, Path::LOGIN.as_str()))
            .service(only(metrics, delete(), "DELETE", Path::BINDING, leave::dissolve))
            .service(only(metrics, post(), "POST", Path::LOGOUT, leave::logout))
            .service(only(metrics, post(), "POST", Path::USER_DATA, session_key::user_data))
            .service(only(metrics, post(), "POST", Path::PHONE, session_key::phone))
            .service(only(metrics, get(), "GET", Path::SESSION, session_key::session))
            .service(only(metrics, post(), "POST", Path::SESSION_RESET, session_key::reset))
            .service(published(metrics, Path::JWKS, metadata::jwks))
            .service(published(metrics, Path::OPENID_CONFIGURATION, metadata::metadata))
            .service(published(metrics, Path::OAUTH_SERVER, metadata::metadata))
            .service(published(metrics, Path::REVOCATIONS, OrProblem(revocations::revocations)))
            .service(readable(Path::ROOT.as_str(), api::root))
            .service(readable(Path::OPENAPI.as_str(), api::openapi))
            .service(readable(Path::OPENAPI_IN_CHINESE.as_str(), api::openapi_in_chinese))
            .service(readable(Path::DOCS.as_str(), viewer::folder))
            .service(readable(Path::DOCS_FILE.as_str(), api::docs_file));
    }
}

/// The login has a histogram of its own, and one label in metrics on all its paths.
fn login(metrics: &Metrics, path: &str) -> impl HttpServiceFactory + use<> {
    let login = resource(path)
        .route(post().to(OrProblem(login_route::login_by_post)))
        .route(get().to(OrProblem(login_route::login_by_query)));
    counted(metrics.route(Path::LOGIN.as_str()), login.default_service(web::to(not_allowed("GET, POST"))))
}

/// A resource for verifiers, answered from memory.
fn published<F, Args>(metrics: &Metrics, path: Path, handler: F) -> impl HttpServiceFactory + use<F, Args>
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    counted(metrics.route(path.as_str()), readable(path.as_str(), handler))
}

/// A resource with one method. Its requests are timed, because they wait for other services.
fn only<F, Args>(
    metrics: &Metrics,
    route: Route,
    method: &'static str,
    path: Path,
    handler: F,
) -> impl HttpServiceFactory + use<F, Args>
where
    F: Handler<Args, Output = Answer>,
    Args: FromRequest + 'static,
{
    let only =
        resource(path.as_str()).route(route.to(OrProblem(handler))).default_service(web::to(not_allowed(method)));
    counted(metrics.route(path.as_str()).timed(), only)
}

/// Counts the answers of a resource by outcome.
fn counted(route: RouteMetrics, resource: Resource) -> impl HttpServiceFactory {
    let route = Rc::new(route);
    resource.wrap_fn(move |request, service| {
        let (route, begun, answering) = (Rc::clone(&route), Instant::now(), service.call(request));
        async move {
            let answer = answering.await?;
            route.answered(outcome(answer.response()), begun);
            Ok(answer)
        }
    })
}

/// `ok`, or the code of the problem that was answered.
fn outcome<B>(answer: &HttpResponse<B>) -> &'static str {
    if answer.status().as_u16() < 400 {
        return "ok";
    }
    answer.extensions().get().map_or(ProblemCode::InternalError, |code| *code).as_str()
}
