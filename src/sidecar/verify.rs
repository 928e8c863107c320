//! `/verify`: tells the proxy who the user is, in headers that the proxy passes on.
//!
//! Every path through this file that does not end in `allow` is a refusal. A refusal is always 401,
//! because nginx, Traefik, Caddy and Envoy all pass that on, except 503 if the token cannot be
//! judged at the moment.

use std::{sync::Arc, time::Duration};

use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use serde_json::Value;
use wxmint_http::{Answer, Problem, ProblemCode, no_token, refused_token, unreadable_token};
use wxmint_verify::{Claims, NoBearer, bearer, peer::NotVerified};

use super::{Sidecar, metrics::Outcome, remembered::RememberedUser};
use crate::clock::now;

const OWN: [HeaderName; 3] = [
    HeaderName::from_static("x-user-id"),
    HeaderName::from_static("x-client-id"),
    HeaderName::from_static("x-token-id"),
];

/// The value of a header whose claim the token does not have.
const EMPTY: HeaderValue = HeaderValue::from_static("");

/// Answers any method, on `/verify` and below.
pub(super) async fn verify(request: HttpRequest, sidecar: Data<Sidecar>) -> Answer {
    let judged = sidecar.judge(&request).await;
    let (Ok((_, outcome)) | Err((_, outcome))) = judged;
    sidecar
        .metrics
        .verifications
        .get_or_create(&[("outcome", outcome)])
        .inc();
    judged
        .map(|(answer, _)| answer)
        .map_err(|(problem, _)| problem)
}

impl Sidecar {
    async fn judge(
        &self,
        request: &HttpRequest,
    ) -> Result<(HttpResponse, Outcome), (Problem, Outcome)> {
        let values = request
            .headers()
            .get_all(AUTHORIZATION)
            .map(HeaderValue::as_bytes);
        let token = bearer(values).map_err(|reason| match reason {
            NoBearer::None => (no_token(), "no_token"),
            NoBearer::Several | NoBearer::Malformed => (
                unreadable_token().with_status(StatusCode::UNAUTHORIZED),
                "refused",
            ),
        })?;
        let (identity, outcome) = self.identify(token).await?;
        Ok((self.allow(&identity), outcome))
    }

    /// Finds the user of a token, among the remembered tokens or by its signature.
    async fn identify(
        &self,
        token: &str,
    ) -> Result<(Arc<RememberedUser>, Outcome), (Problem, Outcome)> {
        let hash = self.remembered.hash(token);
        let now = now();
        if let Some(identity) = self
            .remembered
            .recall(&hash, now, |proof| self.peer.holds(proof, now))
        {
            return Ok((identity, "remembered"));
        }
        let (claims, proof) = self.peer.prove(token, now).await.map_err(refusal)?;
        let handed_on = self
            .settings
            .claims
            .iter()
            .map(|(name, _)| value(name, &claims));
        let identity = RememberedUser::of(&claims, handed_on, proof);
        let identity = identity
            .map(Arc::new)
            .ok_or_else(|| refused("no header can say its ids"))?;
        self.remembered.cache.insert(hash, Arc::clone(&identity));
        Ok((identity, "verified"))
    }

    /// Always sets all headers, because Envoy passes on the client's own header if one is missing.
    fn allow(&self, identity: &RememberedUser) -> HttpResponse {
        let names = OWN
            .into_iter()
            .chain(self.settings.claims.iter().map(|(_, name)| name.clone()));
        let mut answer = HttpResponse::Ok();
        for header in names.zip(identity.headers.iter().cloned()) {
            answer.insert_header(header);
        }
        answer.finish()
    }
}

fn refused(reason: &str) -> (Problem, Outcome) {
    (refused_token(reason), "refused")
}

const NO_KEYS: &str =
    "The issuer's keys have not been fetched yet, so that no token can be verified. Try again.";
const STALE_KEYS: &str = "The issuer has not confirmed its keys for too long, so that no token can be verified. Try again.";
const STALE_REVOCATIONS: &str =
    "It is not known at the moment whether the token has been revoked. Try again.";

fn refusal(reason: NotVerified) -> (Problem, Outcome) {
    let (code, detail, outcome) = match reason {
        NotVerified::Refused(reason) => return refused(&reason.to_string()),
        NotVerified::NoKeys => (ProblemCode::KeysUnavailable, NO_KEYS, "no_keys"),
        NotVerified::StaleKeys => (ProblemCode::KeysUnavailable, STALE_KEYS, "no_keys"),
        NotVerified::StaleRevocations => (
            ProblemCode::RevocationsUnavailable,
            STALE_REVOCATIONS,
            "stale_ends",
        ),
    };
    (
        Problem::new(code, detail).retry_after(Duration::from_secs(1)),
        outcome,
    )
}

/// The value of a claim's header. It is empty if the token has no such claim, or if a header cannot
/// express the claim.
fn value(name: &str, claims: &Claims) -> HeaderValue {
    match claims.others.get(name) {
        None | Some(Value::Null) => EMPTY,
        Some(claim) => value_of(claim).unwrap_or_else(|| {
            tracing::debug!(
                claim = name,
                "a header cannot say this claim, so its header is empty"
            );
            EMPTY
        }),
    }
}

/// The claim as a header value: visible ASCII, without a space at either end, which the next server
/// would cut off.
fn value_of(claim: &Value) -> Option<HeaderValue> {
    let text = text_of(claim)?;
    let is_whole = text.trim() == text && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_whole.then(|| HeaderValue::from_str(&text).ok())?
}

/// The text of a claim. A list is joined by commas. A list with a comma within an element has no
/// text, because that element would be read as two.
fn text_of(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let parts = list
                .iter()
                .map(|element| text_of(element).filter(|text| !text.contains(',')));
            Some(parts.collect::<Option<Vec<_>>>()?.join(","))
        }
        Value::Null => None,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(ascii(&claim.to_string())),
    }
}

/// The same JSON with `\u` escapes in place of characters that are not ASCII, which occur only in
/// strings.
fn ascii(json: &str) -> String {
    json.encode_utf16()
        .map(|unit| match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
            _ => format!("\\u{unit:04x}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_handed_on_in_one_unambiguous_spelling_or_not_at_all() {
        for (claim, header) in [
            (json!("north"), Some("north")),
            (json!(""), Some("")),
            (json!("a b"), Some("a b")),
            (json!(7), Some("7")),
            (json!(true), Some("true")),
            (json!(["admin", "ops"]), Some("admin,ops")),
            (json!([1, "a"]), Some("1,a")),
            (json!([]), Some("")),
            (
                json!({"id": 7, "名": "华东😀"}),
                Some(r#"{"id":7,"\u540d":"\u534e\u4e1c\ud83d\ude00"}"#),
            ),
            (
                json!({"line": "a\r\nX-User-Id: root"}),
                Some(r#"{"line":"a\r\nX-User-Id: root"}"#),
            ),
            (json!("a\r\nX-User-Id: root"), None),
            (json!("a\nb"), None),
            (json!("a\0b"), None),
            (json!("a\tb"), None),
            (json!("华东"), None),
            (json!(" admin"), None),
            (json!("admin "), None),
            (json!(["user,admin"]), None),
            (json!(["user", "a\nb"]), None),
            (json!(["user", null]), None),
            (json!([{"a": 1, "b": 2}]), None),
        ] {
            let value = value_of(&claim);
            assert_eq!(
                value.as_ref().map(|value| value.to_str().expect("ASCII")),
                header,
                "{claim}"
            );
        }
    }
}
