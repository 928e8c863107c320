//! An API that takes wxmint's tokens: axum, with an extractor around wxmint's own verifier. For another framework on
//! tower the lines of `from_request_parts` are the same.

use std::{env, sync::Arc};

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use wxmint_verify::peer::{NotVerified, Peer, TrustedIssuer};
use wxmint_verify::{Claims, NoBearer, Verified, bearer};

/// wxmint's `WXMINT_ISSUER`, which is its `WXMINT_AUDIENCE` too unless that is set. https everywhere but on one
/// machine.
const ISSUER: &str = "http://127.0.0.1:8080";
const LISTEN: &str = "127.0.0.1:8000";

/// Whoever sent the one valid token of a request.
struct Caller(Verified<Claims>);

impl FromRequestParts<Arc<Peer>> for Caller {
    type Rejection = Response;

    #[expect(
        clippy::disallowed_methods,
        reason = "time is an argument of the verifier; this is where it comes from"
    )]
    async fn from_request_parts(parts: &mut Parts, peer: &Arc<Peer>) -> Result<Self, Response> {
        let values = parts
            .headers
            .get_all(AUTHORIZATION)
            .into_iter()
            .map(HeaderValue::as_bytes);
        let token = bearer(values).map_err(|reason| match reason {
            NoBearer::None => refused(StatusCode::UNAUTHORIZED, "Bearer"),
            _ => refused(StatusCode::BAD_REQUEST, r#"Bearer error="invalid_request""#),
        })?;
        peer.verify(token, chrono::Utc::now())
            .await
            .map(Self)
            .map_err(|reason| match reason {
                // The name of the check that it failed is for the log, not for whoever sent it.
                NotVerified::Refused(_) => {
                    refused(StatusCode::UNAUTHORIZED, r#"Bearer error="invalid_token""#)
                }
                // Keys or revocations are missing or too old.
                _ => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    AppendHeaders([(RETRY_AFTER, "1")]),
                )
                    .into_response(),
            })
    }
}

fn refused(status: StatusCode, challenge: &'static str) -> Response {
    (status, AppendHeaders([(WWW_AUTHENTICATE, challenge)])).into_response()
}

/// Not called without a valid token.
async fn orders(Caller(caller): Caller) -> Json<Value> {
    Json(json!({"user_id": caller.user.as_str(), "client_id": caller.app.as_str()}))
}

async fn hello() -> &'static str {
    "hello\n"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = env::var("ISSUER").unwrap_or_else(|_| ISSUER.to_owned());
    let listen = env::var("LISTEN").unwrap_or_else(|_| LISTEN.to_owned());
    // One for the whole program: it holds the issuer's keys, and fetches them ahead of time for as long as it lives.
    let peer = Arc::new(Peer::start(vec![TrustedIssuer::new(&issuer, [&issuer])?])?);
    let app = Router::new()
        .route("/orders", get(orders))
        .route("/public/hello", get(hello))
        .with_state(peer);
    Ok(axum::serve(tokio::net::TcpListener::bind(listen).await?, app).await?)
}
