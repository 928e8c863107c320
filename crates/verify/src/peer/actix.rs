//! An extractor for actix-web that verifies the token of a request. The app needs the peer as
//! `app_data(web::Data<Peer>)`:
//!
//! ```no_run
//! use actix_web::{App, HttpServer, web};
//! use wxmint_verify::peer::{Peer, TrustedIssuer, actix::Caller};
//!
//! async fn orders(caller: Caller) -> String {
//!     format!("orders of {}\n", caller.user.as_str())
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let trusted = TrustedIssuer::new("https://login.example.com", ["https://api.example.com"])?;
//! let peer = web::Data::new(Peer::start(vec![trusted])?);
//! let app = move || App::new().app_data(peer.clone()).route("/orders", web::get().to(orders));
//! HttpServer::new(app)
//!     .bind("127.0.0.1:3000")?
//!     .run()
//!     .await?;
//! # Ok(()) }
//! ```

use std::{fmt, ops::Deref, pin::Pin};

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};

use super::{NotVerified, Peer, now};
use crate::{Claims, NoBearer, Verified, bearer};

/// The caller of a request: the claims of its valid token. Without a valid token the handler is not
/// called; the client gets 401 with `WWW-Authenticate`, or 503 if the token cannot be judged at the
/// moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(Verified<Claims>);

impl Deref for Caller {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.0
    }
}

/// Why a handler was not called. The log says what was wrong with a token; the client is told only
/// that the token is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The request has no token, or several.
    NoToken(NoBearer),
    /// The token is not valid, or cannot be judged at the moment.
    NotVerified(NotVerified),
    /// The app has no `web::Data<Peer>`, which is a bug of the app.
    NoPeer,
}

impl FromRequest for Caller {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let peer = request.app_data::<Data<Peer>>().ok_or(Rejection::NoPeer)?;
            let values = request
                .headers()
                .get_all(AUTHORIZATION)
                .map(HeaderValue::as_bytes);
            let token = bearer(values).map_err(Rejection::NoToken)?;
            peer.verify(token, now()).await.map(Self).map_err(|reason| {
                tracing::debug!(%reason, "token refused");
                Rejection::NotVerified(reason)
            })
        })
    }
}

impl Rejection {
    /// The status, the value of `WWW-Authenticate` and the text. There is no `error` if no token
    /// was sent (RFC 6750 section 3).
    fn row(self) -> (StatusCode, Option<&'static str>, &'static str) {
        const SEND: &str = "send one access token, as `Authorization: Bearer …`";
        match self {
            Self::NoToken(NoBearer::None) => (StatusCode::UNAUTHORIZED, Some("Bearer"), SEND),
            Self::NoToken(_) => (
                StatusCode::BAD_REQUEST,
                Some(r#"Bearer error="invalid_request""#),
                SEND,
            ),
            Self::NotVerified(NotVerified::Refused(_)) => {
                let challenge = r#"Bearer error="invalid_token""#;
                (
                    StatusCode::UNAUTHORIZED,
                    Some(challenge),
                    "the access token is not valid here: log in again",
                )
            }
            Self::NotVerified(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                None,
                "tokens cannot be verified at the moment: try again",
            ),
            Self::NoPeer => (
                StatusCode::INTERNAL_SERVER_ERROR,
                None,
                "this service has made a mistake",
            ),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().2)
    }
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        self.row().0
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(challenge) = self.row().1 {
            response.insert_header((WWW_AUTHENTICATE, challenge));
        }
        if self.status_code() == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, "1"));
        }
        response
            .content_type("text/plain; charset=utf-8")
            .body(format!("{self}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Refused;

    #[test]
    fn each_rejection_has_its_status_and_says_whether_another_token_or_another_time_helps() {
        let invalid = Rejection::NotVerified(NotVerified::Refused(Refused::Expired));
        for (rejection, status, challenge, retry_after) in [
            (
                Rejection::NoToken(NoBearer::None),
                401,
                Some("Bearer"),
                None,
            ),
            (
                Rejection::NoToken(NoBearer::Several),
                400,
                Some("Bearer error=\"invalid_request\""),
                None,
            ),
            (
                Rejection::NoToken(NoBearer::Malformed),
                400,
                Some("Bearer error=\"invalid_request\""),
                None,
            ),
            (invalid, 401, Some("Bearer error=\"invalid_token\""), None),
            (
                Rejection::NotVerified(NotVerified::NoKeys),
                503,
                None,
                Some("1"),
            ),
            (
                Rejection::NotVerified(NotVerified::StaleKeys),
                503,
                None,
                Some("1"),
            ),
            (
                Rejection::NotVerified(NotVerified::StaleRevocations),
                503,
                None,
                Some("1"),
            ),
            (Rejection::NoPeer, 500, None, None),
        ] {
            let response = rejection.error_response();
            let header = |name| {
                response
                    .headers()
                    .get(name)
                    .and_then(|value| value.to_str().ok())
            };
            let found = (
                response.status().as_u16(),
                header(WWW_AUTHENTICATE),
                header(RETRY_AFTER),
            );
            assert_eq!(found, (status, challenge, retry_after), "{rejection:?}");
        }
    }
}
