//! The bare limit of a login on this machine: one exchange, one round trip to Redis, one ES256 signature, and nothing
//! that makes a login safe: no claim of the code, no limit, no sealing, no binding, no log, no metric. What wxmint
//! costs more is the price of those.
//!
//! The benchmark starts itself again as this server ([`BARE_LISTEN`]), so that it is a process of its own.

use std::{cell::RefCell, env, io, net::SocketAddr, sync::Arc};

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::rt::System;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;
use wxmint::clock::now;

use crate::Fault;
use crate::processes::{APP, BARE_LISTEN, BARE_REDIS, BARE_WECHAT, SECRET};

/// `{"typ":"JWT","alg":"ES256","kid":"k1"}`
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0.";
const BEGINNING: &str = r#"{"access_token":""#;
const LIFE: i64 = 7200;
pub(crate) const SESSION_TTL: u64 = 259_200;
/// More than an answer of the stand-in has.
const MOST_HEADERS: usize = 32;

struct Worker {
    redis: MultiplexedConnection,
    wechat: SocketAddr,
    /// Connections to WeChat, each with its buffer.
    idle: RefCell<Vec<(TcpStream, Vec<u8>)>>,
    key: Arc<EcdsaKeyPair>,
}

#[derive(Deserialize)]
struct Asked<'a> {
    code: &'a str,
}

#[derive(Deserialize)]
pub(crate) struct Session<'a> {
    pub(crate) openid: &'a str,
    pub(crate) session_key: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: &'a str,
}

/// Serves until the process is killed.
pub(crate) fn serve() -> Result<(), Fault> {
    let (listen, redis, wechat) = (
        address(BARE_LISTEN)?,
        address(BARE_REDIS)?,
        address(BARE_WECHAT)?,
    );
    let key = Arc::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?);
    let app = move || {
        let key = Arc::clone(&key);
        App::new()
            .route("/login", web::post().to(login))
            .data_factory(move || {
                let key = Arc::clone(&key);
                async move {
                    let redis = redis::Client::open(format!("redis://{redis}/"))?;
                    let redis = redis.get_multiplexed_async_connection().await?;
                    Ok::<_, redis::RedisError>(Worker {
                        redis,
                        wechat,
                        idle: RefCell::default(),
                        key,
                    })
                }
            })
    };
    let workers = std::thread::available_parallelism()?.get();
    Ok(System::new().block_on(async {
        HttpServer::new(app)
            .workers(workers)
            .bind(listen)?
            .run()
            .await
    })?)
}

/// The address that this variable names.
pub(crate) fn address(name: &str) -> Result<SocketAddr, Fault> {
    Ok(env::var(name)?.parse()?)
}

async fn login(worker: Data<Worker>, body: Bytes) -> HttpResponse {
    match log_in(&worker, &body).await {
        Ok(answer) => HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "application/json"))
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(answer),
        Err(fault) => HttpResponse::InternalServerError().body(fault.to_string()),
    }
}

async fn log_in(worker: &Worker, body: &[u8]) -> Result<String, Fault> {
    let Asked { code } = serde_json::from_slice(body)?;
    let answer = worker.code2session(code).await?;
    let Session {
        openid,
        session_key,
    } = serde_json::from_slice(&answer)?;
    let mut store = redis::pipe();
    store.get(format!("wx:bind:{APP}:{openid}"));
    store
        .set_ex(format!("wx:sess:{APP}:{openid}"), session_key, SESSION_TTL)
        .ignore();
    let (user,): (Option<String>,) = store.query_async(&mut worker.redis.clone()).await?;
    signed(&worker.key, &user.unwrap_or_else(|| format!("wx:{openid}")))
}

impl Worker {
    /// The body of WeChat's answer.
    async fn code2session(&self, code: &str) -> Result<Vec<u8>, Fault> {
        let idle = self.idle.borrow_mut().pop();
        let (mut stream, mut buffer) = match idle {
            Some(connection) => connection,
            None => (
                TcpStream::connect(self.wechat).await?,
                Vec::with_capacity(4096),
            ),
        };
        stream.set_nodelay(true)?;
        let path = format!(
            "GET /sns/jscode2session?appid={APP}&secret={SECRET}&js_code={code}&grant_type=authorization_code HTTP/1.1\r\n\
             host: localhost\r\n\r\n"
        );
        stream.write_all(path.as_bytes()).await?;
        buffer.clear();
        let body = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if let Some((head, length)) = complete(&buffer)? {
                break buffer[head..head + length].to_vec();
            }
        };
        self.idle.borrow_mut().push((stream, buffer));
        Ok(body)
    }
}

/// The answer to a login: a token for `user`.
pub(crate) fn signed(key: &EcdsaKeyPair, user: &str) -> Result<String, Fault> {
    let (now, mut id) = (now().timestamp(), Uuid::encode_buffer());
    let jti = &*Uuid::new_v4().simple().encode_lower(&mut id);
    let (iss, aud) = ("https://auth.example.com", "miniapp-api");
    let claims = serde_json::to_vec(&Claims {
        iss,
        aud,
        sub: user,
        iat: now,
        nbf: now,
        exp: now + LIFE,
        jti,
    })?;
    let mut answer = String::with_capacity(640);
    answer.push_str(BEGINNING);
    answer.push_str(HEADER);
    URL_SAFE_NO_PAD.encode_string(claims, &mut answer);
    let signature = key.sign(&SystemRandom::new(), &answer.as_bytes()[BEGINNING.len()..])?;
    answer.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut answer);
    answer.push_str(r#"","token_type":"Bearer","expires_in":7200}"#);
    Ok(answer)
}

/// The lengths of head and body, once both are there.
fn complete(read: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(read)? else {
        return Ok(None);
    };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: usize =
        str::from_utf8(length.ok_or("an answer without a length")?.value)?.parse()?;
    Ok((read.len() >= head + length).then_some((head, length)))
}
