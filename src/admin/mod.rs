//! The admin listener: probes and metrics for everybody who reaches it, and for holders of a secret what operators and peers ask
//! about users.

mod tokens;
mod users;

use std::{io, net::TcpListener};

use actix_web::{
    dev::ServerHandle,
    web::{self, Data, ServiceConfig, delete, post, put, resource},
};

pub use self::tokens::{AdminTokens, BadAdminTokens, CurrentAdminTokens};
use self::users::Operating;
use crate::{
    http::{OrProblem, Readiness, not_allowed, readable, serve_admin},
    store::Store,
};

const PATHS: &str = "This listener has /livez, /readyz and /metrics, and /users if WXMINT_ADMIN_TOKENS_FILE is set.";

/// Starts the listener, which runs until the handle stops it. `tokens` are the secrets of operators, without which there are no
/// paths about users; `store` opens a connection to the store.
pub fn start(
    listener: TcpListener,
    readiness: Readiness,
    metrics: impl Fn() -> String + Clone + Send + 'static,
    tokens: Option<CurrentAdminTokens>,
    store: impl Fn() -> Box<dyn Store> + Clone + Send + 'static,
) -> io::Result<ServerHandle> {
    let users = move |config: &mut ServiceConfig| {
        if let Some(tokens) = tokens.clone() {
            config.app_data(Data::new(Operating { tokens, store: store() })).configure(user_routes);
        }
    };
    serve_admin(listener, readiness, metrics, users, PATHS)
}

/// Each handler asks for an operator's secret.
fn user_routes(config: &mut ServiceConfig) {
    let otherwise = |methods| web::to(not_allowed(methods));
    let dissolve = resource("/users/{user_id}/wechat/{appid}").route(delete().to(OrProblem(users::dissolve)));
    let end = resource("/users/{user_id}/end").route(post().to(OrProblem(users::end)));
    let block = resource("/users/{user_id}/block")
        .route(put().to(OrProblem(users::block)))
        .route(delete().to(OrProblem(users::unblock)));
    config
        .service(readable("/users/{user_id}", OrProblem(users::show)))
        .service(readable("/users/{user_id}/wechat", OrProblem(users::wechat_of_user)))
        .service(dissolve.default_service(otherwise("DELETE")))
        .service(end.default_service(otherwise("POST")))
        .service(block.default_service(otherwise("PUT, DELETE")));
}
