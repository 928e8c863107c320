//! A team writes this on a free afternoon: the same exchange with actix-web, reqwest and redis-rs, one client and one
//! connection for all workers, and a signature for which the key is parsed each time, as jsonwebtoken does it. Like the
//! bare limit it claims no code, limits nobody, seals and binds nothing, and logs nothing. What wxmint costs beside it
//! is what its promises cost.

use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::rt::System;
use actix_web::web::{self, Data, Json};
use actix_web::{App, HttpResponse, HttpServer};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use redis::aio::MultiplexedConnection;
use reqwest::{Client, Url};
use serde::Deserialize;

use crate::Fault;
use crate::bare::{SESSION_TTL, Session, address, signed};
use crate::processes::{APP, BARE_LISTEN, BARE_REDIS, BARE_WECHAT, SECRET};

struct Shared {
    http: Client,
    wechat: String,
    redis: MultiplexedConnection,
    /// PKCS #8.
    key: Vec<u8>,
}

#[derive(Deserialize)]
struct Asked {
    code: String,
}

/// Serves until the process is killed.
pub(crate) fn serve() -> Result<(), Fault> {
    let workers = std::thread::available_parallelism()?.get();
    // reqwest's features here leave the choice to the program.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    System::new().block_on(async {
        let redis = redis::Client::open(format!("redis://{}/", address(BARE_REDIS)?))?;
        let shared = Data::new(Shared {
            http: Client::builder()
                .timeout(Duration::from_secs(5))
                .no_proxy()
                .build()?,
            wechat: format!("http://{}/sns/jscode2session", address(BARE_WECHAT)?),
            redis: redis.get_multiplexed_async_connection().await?,
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?
                .to_pkcs8v1()?
                .as_ref()
                .into(),
        });
        let app = move || {
            App::new()
                .app_data(shared.clone())
                .route("/login", web::post().to(login))
        };
        Ok(HttpServer::new(app)
            .workers(workers)
            .bind(address(BARE_LISTEN)?)?
            .run()
            .await?)
    })
}

async fn login(shared: Data<Shared>, asked: Json<Asked>) -> HttpResponse {
    match log_in(&shared, &asked.code).await {
        Ok(answer) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .content_type("application/json")
            .body(answer),
        Err(fault) => HttpResponse::InternalServerError().body(fault.to_string()),
    }
}

async fn log_in(shared: &Shared, code: &str) -> Result<String, Fault> {
    let query = [
        ("appid", APP),
        ("secret", SECRET),
        ("js_code", code),
        ("grant_type", "authorization_code"),
    ];
    let answer = shared
        .http
        .get(Url::parse_with_params(&shared.wechat, query)?)
        .send()
        .await?
        .bytes()
        .await?;
    let Session {
        openid,
        session_key,
    } = serde_json::from_slice(&answer)?;
    let mut store = redis::pipe();
    store.get(format!("wx:bind:{APP}:{openid}"));
    store
        .set_ex(format!("wx:sess:{APP}:{openid}"), session_key, SESSION_TTL)
        .ignore();
    let (user,): (Option<String>,) = store.query_async(&mut shared.redis.clone()).await?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &shared.key)?;
    signed(&key, &user.unwrap_or_else(|| format!("wx:{openid}")))
}
