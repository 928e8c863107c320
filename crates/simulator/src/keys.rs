//! The demo's signing keys, for the page: when each signs, and a rotation. Private keys never come here.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{self, Data, Json, ServiceConfig},
};
use serde::Serialize;
use serde_json::{Value, json};

/// A key's life; times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyTimes {
    /// The key's thumbprint, which is public.
    pub kid: String,
    /// `published`, `signing` or `retired`.
    pub state: &'static str,
    /// When the key first signs.
    pub nbf: i64,
    /// When the key leaves the JWKS, if that is decided.
    pub exp: Option<i64>,
}

/// The keys that are in the JWKS, by `nbf`.
pub type ReadKeys = Arc<dyn Fn() -> Vec<KeyTimes> + Send + Sync>;
/// Publishes the next key, unless one is waiting to sign. `false` if it could not be made.
pub type Rotate = Arc<dyn Fn() -> bool + Send + Sync>;

/// `GET /demo/keys` and `PUT /demo/keys/next`. A key is published for `lead` seconds before it signs.
pub fn key_routes(read: ReadKeys, rotate: Rotate, lead: i64) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        let keys = web::resource("/demo/keys").app_data(Data::new(read));
        let show = move |read: Data<ReadKeys>| async move { show(&read, lead) };
        // A page of another origin cannot send PUT, because the demo answers no preflight request.
        let next = web::resource("/demo/keys/next").app_data(Data::new(rotate));
        config.service(keys.route(web::get().to(show))).service(next.route(web::put().to(rotate_keys)));
    }
}

fn show(read: &ReadKeys, lead: i64) -> Json<Value> {
    Json(json!({"lead": lead, "keys": read()}))
}

async fn rotate_keys(rotate: Data<Rotate>) -> HttpResponse {
    HttpResponse::new(if rotate() { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR })
}
