//! `/verify`: tells the proxy who the user is, in headers that the proxy passes on.
//!
//! Every path through this file that does not end in `allow` is a refusal. A refusal is always 401,
//! because nginx, Traefik, Caddy and Envoy all pass that on, except 503 if the token cannot be
//! judged at the moment.

use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web::Data};
use wxmint_http::{Answer, denied};
use wxmint_verify::peer::{Admitted, Denied, RememberedUser, USER_HEADERS, token_of};

use super::Sidecar;
use crate::clock::now;

/// Answers any method, on `/verify` and below.
pub(super) async fn verify(request: HttpRequest, sidecar: Data<Sidecar>) -> Answer {
    let judged = sidecar.judge(&request).await;
    let outcome = match &judged {
        Ok(admitted) if admitted.was_remembered => "remembered",
        Ok(_) => "verified",
        Err(denied) => denied.denial().outcome,
    };
    sidecar
        .metrics
        .verifications
        .get_or_create(&[("outcome", outcome)])
        .inc();
    judged
        .map(|admitted| sidecar.allow(&admitted.user))
        .map_err(denied)
}

impl Sidecar {
    async fn judge(&self, request: &HttpRequest) -> Result<Admitted<HeaderValue>, Denied> {
        let values = request.headers().get_all(AUTHORIZATION);
        let token = token_of(values.map(HeaderValue::as_bytes))?;
        self.gate.admit(token, now()).await
    }

    /// Always sets all headers, because Envoy passes on the client's own header if one is missing.
    fn allow(&self, user: &RememberedUser<HeaderValue>) -> HttpResponse {
        let names = USER_HEADERS
            .into_iter()
            .map(HeaderName::from_static)
            .chain(self.claims.iter().cloned());
        let mut answer = HttpResponse::Ok();
        for header in names.zip(user.headers.iter().cloned()) {
            answer.insert_header(header);
        }
        answer.finish()
    }
}
