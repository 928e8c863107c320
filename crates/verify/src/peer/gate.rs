//! Judges the requests of a proxy: finds the user of the token in `Authorization`, among the
//! remembered tokens or by its signature.
//!
//! `wxmint sidecar` and the module for Envoy answer by it, so both let the same requests through.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use super::remembered::{HeaderText, Remembered, RememberedUser, TokenHash};
use super::{NotVerified, Peer};
use crate::{Claims, NoBearer, bearer};

/// The headers that name the user, the client and the token of a request, in lower case.
pub const USER_HEADERS: [&str; 3] = ["x-user-id", "x-client-id", "x-token-id"];

/// Whether a claim may be handed on in this header: `x-` and letters, digits or `-`, in lower case. It
/// must not read as one of [`USER_HEADERS`] without its hyphens, nor be one of `x-forwarded-…`, which
/// proxies set.
pub fn may_carry_claim(header: &str) -> bool {
    let Some(rest) = header.strip_prefix("x-") else {
        return false;
    };
    let is_plain = rest
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let letters = |name: &str| name.replace('-', "");
    let is_ours = USER_HEADERS
        .iter()
        .any(|own| letters(own) == letters(header));
    !rest.is_empty() && is_plain && !rest.starts_with("forwarded-") && !is_ours
}

/// Judges the requests of one proxy. `Value` is the type of its header values.
pub struct Gate<Value: HeaderText> {
    peer: Arc<Peer>,
    remembered: Remembered<Value>,
    claims: Box<[String]>,
}

/// A request that is let through.
#[derive(Debug)]
pub struct Admitted<Value> {
    /// The user of its token.
    pub user: Arc<RememberedUser<Value>>,
    /// Whether the token was remembered. Otherwise its signature was checked.
    pub was_remembered: bool,
}

/// Why a request is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It has no token, or not exactly one.
    NoToken(NoBearer),
    /// Its token is not valid, or cannot be judged at the moment.
    NotVerified(NotVerified),
    /// The ids of its token cannot stand in a header. Ids of wxmint always can.
    Unspeakable,
}

/// The answer to a request that is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// The HTTP status: 401, because nginx, Traefik, Caddy and Envoy all pass that on; 503 if the
    /// token cannot be judged at the moment.
    pub status: u16,
    /// The code of the problem.
    pub code: &'static str,
    /// The code in words.
    pub title: &'static str,
    /// A text that says what was wrong, and what to do.
    pub detail: &'static str,
    /// The value of `WWW-Authenticate`.
    pub challenge: Option<&'static str>,
    /// Seconds to wait before the next try.
    pub retry_after: Option<u64>,
    /// A word for a metric's label.
    pub outcome: &'static str,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken(reason) => reason.fmt(f),
            Self::NotVerified(reason) => reason.fmt(f),
            Self::Unspeakable => f.write_str("no header can say its ids"),
        }
    }
}

impl Denied {
    /// The answer to the client. It is the same for every token that is not valid; only the log
    /// says which check failed.
    pub fn denial(self) -> Denial {
        let invalid = Denial {
            status: 401,
            code: "invalid_token",
            title: "The access token is missing or not valid",
            detail: "The access token is not valid here: it may have expired or been revoked. Call wx.login and log in again.",
            challenge: Some(
                r#"Bearer error="invalid_token", error_description="The access token is not valid here""#,
            ),
            retry_after: None,
            outcome: "refused",
        };
        let unavailable = Denial {
            status: 503,
            code: "keys_unavailable",
            title: "The issuer's keys are not known at the moment",
            challenge: None,
            retry_after: Some(1),
            outcome: "no_keys",
            ..invalid
        };
        match self {
            Self::NoToken(NoBearer::None) => Denial {
                detail: "Send the token of the login, as `Authorization: Bearer …`.",
                // Without `error` (RFC 6750 section 3.1).
                challenge: Some("Bearer"),
                outcome: "no_token",
                ..invalid
            },
            Self::NoToken(NoBearer::Several | NoBearer::Malformed) => Denial {
                code: "invalid_request",
                title: "The request is not valid",
                detail: "Send one Authorization header: `Bearer`, a space, and one token.",
                challenge: Some(
                    r#"Bearer error="invalid_request", error_description="Send one token, in one Authorization header""#,
                ),
                ..invalid
            },
            Self::NotVerified(NotVerified::Refused(_)) | Self::Unspeakable => invalid,
            Self::NotVerified(NotVerified::NoKeys) => Denial {
                detail: "The issuer's keys have not been fetched yet, so that no token can be verified. Try again.",
                ..unavailable
            },
            Self::NotVerified(NotVerified::StaleKeys) => Denial {
                detail: "The issuer has not confirmed its keys for too long, so that no token can be verified. Try again.",
                ..unavailable
            },
            Self::NotVerified(NotVerified::StaleRevocations) => Denial {
                code: "revocations_unavailable",
                title: "The revocations are not known at the moment",
                detail: "It is not known at the moment whether the token has been revoked. Try again.",
                outcome: "stale_ends",
                ..unavailable
            },
        }
    }
}

/// Reads the token of a request. `values` are those of all its `Authorization` headers.
pub fn token_of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, Denied> {
    bearer(values).map_err(Denied::NoToken)
}

impl<Value: HeaderText> Gate<Value> {
    /// A gate that hands on these `claims` of a token, beside its ids.
    pub fn new(peer: Arc<Peer>, claims: impl IntoIterator<Item = String>) -> Self {
        Self {
            peer,
            remembered: Remembered::nothing(),
            claims: claims.into_iter().collect(),
        }
    }

    /// The verifier that judges the tokens.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// How many tokens are remembered.
    pub fn remembered(&self) -> usize {
        self.remembered.cache.len()
    }

    /// The user of a token that was verified before. It never waits.
    pub fn recall(&self, token: &str, now: DateTime<Utc>) -> Option<Admitted<Value>> {
        self.recall_hash(&self.remembered.hash(token), now)
    }

    fn recall_hash(&self, hash: &TokenHash, now: DateTime<Utc>) -> Option<Admitted<Value>> {
        let user = self
            .remembered
            .recall(hash, now, |proof| self.peer.holds(proof, now))?;
        Some(Admitted {
            user,
            was_remembered: true,
        })
    }

    /// The user of a token. If the token names an unknown key, this waits up to 2 s for the
    /// issuer's keys.
    pub async fn admit(&self, token: &str, now: DateTime<Utc>) -> Result<Admitted<Value>, Denied> {
        let hash = self.remembered.hash(token);
        if let Some(admitted) = self.recall_hash(&hash, now) {
            return Ok(admitted);
        }
        let (claims, proof) = self
            .peer
            .prove(token, now)
            .await
            .map_err(Denied::NotVerified)?;
        let handed_on = self.claims.iter().map(|name| value(name, &claims));
        let user = RememberedUser::of(&claims, handed_on, proof).map(Arc::new);
        let user = user.ok_or(Denied::Unspeakable)?;
        self.remembered.cache.insert(hash, Arc::clone(&user));
        Ok(Admitted {
            user,
            was_remembered: false,
        })
    }
}

/// The value of a claim's header. It is empty if the token has no such claim, or if a header cannot
/// express the claim.
fn value<Value: HeaderText>(name: &str, claims: &Claims) -> Value {
    let text = match claims.others.get(name) {
        None | Some(Json::Null) => None,
        Some(claim) => {
            let text = value_of(claim);
            if text.is_none() {
                tracing::debug!(
                    claim = name,
                    "a header cannot say this claim, so its header is empty"
                );
            }
            text
        }
    };
    let value = Value::try_from(text.as_deref().unwrap_or_default());
    value.unwrap_or_else(|_| unreachable!("visible ASCII can stand in every header"))
}

/// The claim as a header value: visible ASCII, without a space at either end, which the next server
/// would cut off.
fn value_of(claim: &Json) -> Option<String> {
    let text = text_of(claim)?;
    let is_whole = text.trim() == text && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_whole.then_some(text)
}

/// The text of a claim. A list is joined by commas. A list with a comma within an element has no
/// text, because that element would be read as two.
fn text_of(claim: &Json) -> Option<String> {
    match claim {
        Json::String(text) => Some(text.clone()),
        Json::Array(list) => {
            let parts = list
                .iter()
                .map(|element| text_of(element).filter(|text| !text.contains(',')));
            Some(parts.collect::<Option<Vec<_>>>()?.join(","))
        }
        Json::Null => None,
        Json::Bool(_) | Json::Number(_) | Json::Object(_) => Some(ascii(&claim.to_string())),
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
    fn a_claims_header_is_an_x_header_that_nobody_takes_for_another() {
        for (header, may) in [
            ("x-user-roles", true),
            ("x-a", true),
            ("x-2", true),
            ("x-", false),
            ("roles", false),
            ("x-user-id", false),
            ("x-userid", false),
            ("x-u-ser-id", false),
            ("x-token-id", false),
            ("x-client-id", false),
            ("x-forwarded-for", false),
            ("X-Roles", false),
            ("x-user_roles", false),
            ("x-röles", false),
        ] {
            assert_eq!(may_carry_claim(header), may, "{header}");
        }
    }

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
            assert_eq!(value_of(&claim).as_deref(), header, "{claim}");
        }
    }
}
