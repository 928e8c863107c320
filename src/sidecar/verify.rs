//! `/verify`: tells the proxy who the user is, in headers that it passes on.
//!
//! Every path through this file that does not end in `allow` is a refusal. A refusal is always 401, because nginx,
//! Traefik, Caddy and Envoy all pass that on, except 503 if the token cannot be judged at the moment.

use std::{sync::Arc, time::Duration};

use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use wxmint_http::path_rules::{Demand, PathSource};
use wxmint_http::{Answer, Problem, ProblemCode, no_token, no_valid_token, unreadable_token};
use wxmint_verify::{NoBearer, bearer, peer::NotVerified};

use super::{EMPTY, Sidecar, claims::value, metrics::VerifyOutcome, remembered::RememberedUser};
use crate::clock::now;

const OWN: [HeaderName; 3] = [
    HeaderName::from_static("x-user-id"),
    HeaderName::from_static("x-client-id"),
    HeaderName::from_static("x-token-id"),
];

pub(super) const PATH: &str = "/verify";

/// Any method, on `/verify` and below.
pub(super) async fn verify(request: HttpRequest, sidecar: Data<Sidecar>) -> Answer {
    let judged = sidecar.judge(&request).await;
    let (Ok((_, outcome)) | Err((_, outcome))) = judged;
    sidecar.metrics.answered(outcome);
    judged.map(|(answer, _)| answer).map_err(|(problem, _)| problem)
}

impl Sidecar {
    async fn judge(&self, request: &HttpRequest) -> Result<(HttpResponse, VerifyOutcome), (Problem, VerifyOutcome)> {
        let demand = self.settings.rules.of(self.target(request));
        let values = request.headers().get_all(AUTHORIZATION).map(HeaderValue::as_bytes);
        let token = match (bearer(values), &demand) {
            (Ok(token), _) => token,
            (Err(NoBearer::None), Demand::Nothing) => return Ok((self.allow(None), VerifyOutcome::Anonymous)),
            (Err(NoBearer::None), _) => return Err((no_token(), VerifyOutcome::NoToken)),
            (Err(NoBearer::Several | NoBearer::Malformed), _) => {
                return Err((unreadable_token().with_status(StatusCode::UNAUTHORIZED), VerifyOutcome::Refused));
            }
        };
        let (identity, outcome) = self.identify(token).await?;
        if let Demand::Token(lists) = demand
            && !lists.iter().all(|audiences| identity.is_for(audiences))
        {
            tracing::debug!("token refused: the path wants another audience");
            return Err((no_valid_token(), VerifyOutcome::Refused));
        }
        Ok((self.allow(Some(&identity)), outcome))
    }

    /// Finds the user of a token, in the memory or by its signature.
    async fn identify(&self, token: &str) -> Result<(Arc<RememberedUser>, VerifyOutcome), (Problem, VerifyOutcome)> {
        let (hash, now) = (self.remembered.hash(token), now());
        if let Some(identity) = self.remembered.recall(&hash, now, |proof| self.peer.holds(proof, now)) {
            return Ok((identity, VerifyOutcome::Remembered));
        }
        let (claims, proof) = self.peer.prove(token, now).await.map_err(refusal)?;
        let handed_on = self.settings.claims.iter().map(|(name, _)| value(name, &claims));
        let identity = RememberedUser::of(&claims, handed_on, proof);
        let identity = identity.map(Arc::new).ok_or((no_valid_token(), VerifyOutcome::Refused))?;
        self.remembered.cache.insert(hash, Arc::clone(&identity));
        Ok((identity, VerifyOutcome::Verified))
    }

    /// The path of the client's request, as the proxy states it. A header that occurs twice was not set by the proxy
    /// alone, and is ignored.
    fn target<'a>(&self, request: &'a HttpRequest) -> Option<&'a str> {
        match &self.settings.rules.source {
            PathSource::Path => request.uri().path_and_query()?.as_str().strip_prefix(PATH),
            PathSource::Header(name) => {
                let mut values = request.headers().get_all(name.as_str());
                values.next().filter(|_| values.next().is_none())?.to_str().ok()
            }
        }
    }

    /// Always sets all headers, because Envoy passes on the client's own header if one is missing.
    fn allow(&self, identity: Option<&RememberedUser>) -> HttpResponse {
        let names = OWN.into_iter().chain(self.settings.claims.iter().map(|(_, name)| name.clone()));
        let mut values = identity.into_iter().flat_map(|identity| identity.headers.iter().cloned());
        let mut answer = HttpResponse::Ok();
        for name in names {
            answer.insert_header((name, values.next().unwrap_or(EMPTY)));
        }
        answer.finish()
    }
}

fn refusal(reason: NotVerified) -> (Problem, VerifyOutcome) {
    let without_keys = |detail| (unavailable(ProblemCode::KeysUnavailable, detail), VerifyOutcome::NoKeys);
    match reason {
        NotVerified::Refused(reason) => {
            tracing::debug!(%reason, "token refused");
            (no_valid_token(), VerifyOutcome::Refused)
        }
        NotVerified::NoKeys => {
            without_keys("The issuer's keys have not been fetched yet, so that no token can be verified. Try again.")
        }
        NotVerified::StaleKeys => without_keys(
            "The issuer has not confirmed its keys for too long, so that no token can be verified. Try again.",
        ),
        NotVerified::StaleEnds => {
            let detail = "It is not known at the moment whether the token has been revoked. Try again.";
            (unavailable(ProblemCode::RevocationsUnavailable, detail), VerifyOutcome::StaleEnds)
        }
    }
}

fn unavailable(code: ProblemCode, detail: &str) -> Problem {
    Problem::new(code, detail).retry_after(Duration::from_secs(1))
}
