//! All routes on one screen.

use std::sync::Arc;

use actix_web::{
    Resource, Route,
    web::{self, Data, ServiceConfig, delete, get, post, resource},
};

use super::{Issuer, admin, api, binding, handlers, metadata, session};
use crate::http::{livez, not_allowed, not_found, readable, readyz};

/// Further routes for the public listener.
pub type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// What mini programs and peers reach. `login_paths` are further paths of the login.
pub(super) fn public_routes(login_paths: &[String]) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        for path in login_paths {
            config.service(login(path));
        }
        config
            .service(login("/login"))
            .service(only(delete(), "DELETE", "/binding", binding::dissolve))
            .service(only(post(), "POST", "/logout", session::logout))
            .service(only(post(), "POST", "/wechat/userdata", session::user_data))
            .service(only(post(), "POST", "/wechat/phone", session::phone))
            .service(only(get(), "GET", "/wechat/session", session::session))
            .service(only(post(), "POST", "/wechat/session/reset", session::reset))
            .service(readable("/.well-known/jwks.json", metadata::jwks))
            .service(readable("/.well-known/openid-configuration", metadata::metadata))
            .service(readable("/.well-known/oauth-authorization-server", metadata::metadata))
            .service(readable("/openapi.json", api::openapi))
            .service(readable("/docs", api::docs_folder))
            .service(readable("/docs/{file:.*}", api::docs_file));
    }
}

fn login(path: &str) -> Resource {
    resource(path)
        .route(post().to(handlers::login_by_post))
        .route(get().to(handlers::login_by_query))
        .default_service(web::to(not_allowed("GET, POST")))
}

const ADMIN_PATHS: &str = "This listener has /livez, /readyz, /metrics and /users/{user_id}/wechat.";

/// What only the operator reaches.
pub(super) fn admin_routes(issuer: &Arc<Issuer>) -> impl FnOnce(&mut ServiceConfig) + use<> {
    let issuer = Arc::clone(issuer);
    let store = issuer.store().expect("made once already by `Issuer::new`, from the same settings");
    move |config| {
        config
            .app_data(Data::new(issuer.readiness.clone()))
            .app_data(Data::from(issuer))
            .app_data(Data::new(admin::AdminStore(store)))
            .service(readable("/livez", livez))
            .service(readable("/readyz", readyz))
            .service(readable("/metrics", admin::metrics))
            .service(readable("/users/{user_id}/wechat", admin::wechat_of_user))
            .default_service(web::to(not_found(ADMIN_PATHS)));
    }
}

/// A resource with one method.
fn only<F, Args>(route: Route, method: &'static str, path: &str, handler: F) -> Resource
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    resource(path).route(route.to(handler)).default_service(web::to(not_allowed(method)))
}
