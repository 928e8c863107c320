//! `/verify`: who is asking, in headers that a proxy passes on.
//!
//! Every way out of here but [`allow`] is a refusal. A refusal is 401 whatever was wrong, since that is what nginx, Traefik,
//! Caddy and Envoy all pass on; 503 only where nobody could tell.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{AUTHORIZATION, HeaderName, HeaderValue},
    },
    web::Data,
};

use super::{Sidecar, metrics::Outcome, remembered::Identity};
use crate::{
    http::{Problem, ProblemCode, no_token, no_valid_token, now, unreadable_token},
    path_rules::{Demand, PathSource},
    verify::peer::NotVerified,
    verify::{NoBearer, bearer},
};

const USER: HeaderName = HeaderName::from_static("x-user-id");
const CLIENT: HeaderName = HeaderName::from_static("x-client-id");
const TOKEN: HeaderName = HeaderName::from_static("x-token-id");

/// Where proxies ask.
pub(super) const PATH: &str = "/verify";

/// Any method, on `/verify` and below.
pub(super) async fn verify(request: HttpRequest, sidecar: Data<Sidecar>) -> HttpResponse {
    let (answer, outcome) = match sidecar.judge(&request).await {
        Ok((answer, outcome)) => (answer, outcome),
        Err((problem, outcome)) => (problem.respond(&request), outcome),
    };
    sidecar.metrics.answered(outcome);
    answer
}

impl Sidecar {
    async fn judge(&self, request: &HttpRequest) -> Result<(HttpResponse, Outcome), (Problem, Outcome)> {
        let demand = self.settings.rules.of(self.target(request));
        let values = request.headers().get_all(AUTHORIZATION).map(HeaderValue::as_bytes);
        let token = match (bearer(values), &demand) {
            (Ok(token), _) => token,
            (Err(NoBearer::None), Demand::Nothing) => return Ok((allow(None), Outcome::Anonymous)),
            (Err(NoBearer::None), _) => return Err((no_token(), Outcome::NoToken)),
            (Err(NoBearer::Several | NoBearer::Malformed), _) => {
                return Err((unreadable_token().with_status(StatusCode::UNAUTHORIZED), Outcome::Refused));
            }
        };
        let (identity, outcome) = self.identify(token).await?;
        let is_wanted = match demand {
            Demand::AnyToken | Demand::Nothing => true,
            Demand::Audiences(lists) => lists.iter().all(|audiences| identity.is_for(audiences)),
            Demand::Unclear => false,
        };
        if !is_wanted {
            tracing::debug!("token refused: the path wants another audience, or is not clear");
            return Err((no_valid_token(), Outcome::Refused));
        }
        Ok((allow(Some(&identity)), outcome))
    }

    /// Whose token it is, by what is remembered or by its signature.
    async fn identify(&self, token: &str) -> Result<(Arc<Identity>, Outcome), (Problem, Outcome)> {
        let (hash, now) = (self.remembered.hash(token), now());
        if let Some(identity) = self.remembered.recall(&hash, now, |proof| self.peer.holds(proof)) {
            return Ok((identity, Outcome::Remembered));
        }
        let (claims, proof) = self.peer.prove(token, now).await.map_err(refusal)?;
        let identity = Identity::of(&claims, proof).map(Arc::new).ok_or((no_valid_token(), Outcome::Refused))?;
        self.remembered.remember(hash, Arc::clone(&identity));
        Ok((identity, Outcome::Verified))
    }

    /// What the proxy says was asked for. A header that is there twice was not set by the proxy alone, and says nothing.
    fn target<'a>(&self, request: &'a HttpRequest) -> Option<&'a str> {
        match &self.settings.rules.source {
            PathSource::Path => request.uri().path_and_query()?.as_str().strip_prefix(PATH),
            PathSource::Header(name) => {
                let mut values = request.headers().get_all(name.as_str());
                values.next().filter(|_| values.next().is_none())?.to_str().ok()
            }
        }
    }
}

/// All three headers always: Envoy lets a client's own copy pass where ours is missing.
fn allow(identity: Option<&Identity>) -> HttpResponse {
    const NOBODY: HeaderValue = HeaderValue::from_static("");
    let [user, client, token] = identity.map_or([NOBODY, NOBODY, NOBODY], |identity| {
        [&identity.user, &identity.client, &identity.token].map(HeaderValue::clone)
    });
    HttpResponse::Ok()
        .insert_header((USER, user))
        .insert_header((CLIENT, client))
        .insert_header((TOKEN, token))
        .finish()
}

fn refusal(reason: NotVerified) -> (Problem, Outcome) {
    match reason {
        NotVerified::Refused(reason) => {
            tracing::debug!(%reason, "token refused");
            (no_valid_token(), Outcome::Refused)
        }
        NotVerified::NoKeys => {
            let detail = "The issuer's keys have not been fetched yet, so that no token can be verified. Try again.";
            let problem =
                Problem::new(ProblemCode::KeysUnavailable, detail).retry_after(std::time::Duration::from_secs(1));
            (problem, Outcome::NoKeys)
        }
    }
}
