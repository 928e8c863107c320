//! An API that takes wxmint's tokens: actix-web, with the extractor of wxmint's own verifier.

use std::env;

use actix_web::web::{Data, Json, get};
use actix_web::{App, HttpServer};
use serde_json::{Value, json};
use wxmint_verify::peer::{Peer, TrustedIssuer, actix::Caller};

/// wxmint's `WXMINT_ISSUER`, which is its `WXMINT_AUDIENCE` too unless that is set. https everywhere but on one
/// machine.
const ISSUER: &str = "http://127.0.0.1:8080";
const LISTEN: &str = "127.0.0.1:8000";

/// Not called without a valid token: `Caller` answers 401, or 503 while there are no keys yet.
async fn orders(caller: Caller) -> Json<Value> {
    Json(json!({"user_id": caller.user.as_str(), "client_id": caller.app.as_str()}))
}

async fn hello() -> &'static str {
    "hello\n"
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = env::var("ISSUER").unwrap_or_else(|_| ISSUER.to_owned());
    let listen = env::var("LISTEN").unwrap_or_else(|_| LISTEN.to_owned());
    // One for all workers: it holds the issuer's keys, and fetches them ahead of time for as long as it lives.
    let peer = Data::new(Peer::start(vec![TrustedIssuer::new(&issuer, [&issuer])?])?);
    let app = move || {
        App::new()
            .app_data(peer.clone())
            .route("/orders", get().to(orders))
            .route("/public/hello", get().to(hello))
    };
    Ok(HttpServer::new(app).bind(listen)?.run().await?)
}
