//! The admin listener: probes and metrics for everybody who reaches it, and for holders of a secret what operators and peers ask
//! about users, and what they do with WeChat in a user's name.

mod act;
mod api;
mod console;
mod doctor;
mod people;
mod recent;
mod tokens;
mod users;
mod wechat;

use std::{io, net::TcpListener};

use actix_web::{
    dev::ServerHandle,
    web::{self, Data, ServiceConfig, delete, get, head, post, put, resource},
};

pub use self::tokens::{AdminTokens, CurrentAdminTokens};
use self::{act::Operating, doctor::Consultation};
use crate::{
    findings::Doctor,
    http::{OrProblem, Readiness, not_allowed, readable, serve_admin, viewer},
    login::LoginWorker,
};

const PATHS: &str = "This listener has /livez, /readyz and /metrics, and if WXMINT_ADMIN_TOKENS_FILE is set, the \
                     console at /console and what /docs describes.";

/// Starts the listener, which runs until the handle stops it. `tokens` are the secrets of operators, without which there are no
/// paths about users; `worker` makes a worker with connections of its own, and `doctor` examines the configuration.
pub fn start(
    listener: TcpListener,
    readiness: Readiness,
    metrics: impl Fn() -> String + Clone + Send + 'static,
    tokens: Option<CurrentAdminTokens>,
    worker: impl Fn() -> LoginWorker + Clone + Send + 'static,
    doctor: Doctor,
) -> io::Result<ServerHandle> {
    let users = move |config: &mut ServiceConfig| {
        if let Some(tokens) = tokens.clone() {
            config.app_data(Data::new(Operating { tokens, worker: worker() })).configure(user_routes);
            config.app_data(Data::new(Consultation::of(doctor))).configure(console::pages);
        }
    };
    serve_admin(listener, readiness, metrics, users, PATHS)
}

/// Each handler but those of the description asks for a secret that has the right.
fn user_routes(config: &mut ServiceConfig) {
    let otherwise = |methods| web::to(not_allowed(methods));
    let dissolve = resource("/users/{user_id}/wechat/{appid}").route(delete().to(OrProblem(users::dissolve)));
    let end = resource("/users/{user_id}/end").route(post().to(OrProblem(users::end)));
    let end_person = resource("/wechat/{appid}/people/{openid}/end").route(post().to(OrProblem(people::end)));
    let person = readable("/wechat/{appid}/people/{openid}", OrProblem(people::look_up))
        .route(delete().to(OrProblem(people::erase)));
    let block = resource("/users/{user_id}/block")
        .route(put().to(OrProblem(users::block)))
        .route(delete().to(OrProblem(users::unblock)));
    let sign = resource("/users/{user_id}/wechat/{appid}/signature").route(post().to(OrProblem(wechat::sign)));
    let access_token = resource("/wechat/{appid}/access-token")
        .route(get().to(OrProblem(wechat::access_token)))
        .route(head().to(OrProblem(wechat::access_token)))
        .route(post().to(OrProblem(wechat::replace_access_token)));
    config
        .service(readable("/openapi.json", api::openapi))
        .service(readable("/openapi.zh-CN.json", api::openapi_in_chinese))
        .service(readable("/docs", viewer::folder))
        .service(readable("/docs/{file:.*}", api::docs_file))
        .service(readable("/whoami", OrProblem(console::whoami)))
        .service(readable("/doctor", OrProblem(doctor::doctor)))
        .service(readable("/users/{user_id}/wechat/{appid}/encrypt-keys", OrProblem(wechat::encrypt_keys)))
        .service(sign.default_service(otherwise("POST")))
        .service(access_token.default_service(otherwise("GET, HEAD, POST")))
        .service(readable("/activity", OrProblem(recent::activity)))
        .service(readable("/find", OrProblem(recent::find)))
        .service(readable("/users/{user_id}/events", OrProblem(recent::events)))
        .service(readable("/users/{user_id}", OrProblem(users::show)))
        .service(readable("/users/{user_id}/wechat", OrProblem(users::wechat_of_user)))
        .service(dissolve.default_service(otherwise("DELETE")))
        .service(end.default_service(otherwise("POST")))
        .service(end_person.default_service(otherwise("POST")))
        .service(person.default_service(otherwise("GET, HEAD, DELETE")))
        .service(block.default_service(otherwise("PUT, DELETE")));
}
