//! A login of a site gives a code, for the code its first tokens, and for each refresh token the next ones. All
//! of them are a family, which is named by the `jti` of its first access token (`sid`) and ends as one.
//!
//! Only hashes of codes and refresh tokens are kept. A refresh token is followed by one that is derived from it and a
//! salt, so that whoever repeats the request, because the answer was lost, gets the same answer.

use std::{fmt::Display, time::Duration};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use wxmint_ids::{AppId, is_base64url, parsed};
use wxmint_keys::token::{ExtraClaims, Issued};
use wxmint_store::short_digest;

/// How long a code can be used, and how much longer it is known that it was.
pub(super) const CODE_TTL: Duration = Duration::from_secs(60);
pub(super) const CODE_KNOWN: Duration = Duration::from_secs(10 * 60);
/// The logins of a user at a client that can live at a time: three browsers that log in anew on each of 30 days. The
/// oldest ends when there are more, so that nobody fills the store.
pub(super) const MOST_LOGINS: usize = 100;
pub(super) const LOGIN: &str = "a login of a site";

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct CodeGrant {
    pub(super) family: Family,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
    pub(super) claims: ExtraClaims,
    /// Seconds since 1970.
    pub(super) made_at: i64,
}

/// The facts of a login that hold as long as its tokens can be renewed. The store keeps no openid for it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Family {
    /// The first access token. Its `app` is the client, and it was issued when the person logged in.
    pub(super) first: Issued,
    /// Through which the person has come, and the mark of the binding.
    #[serde(deserialize_with = "parsed")]
    pub(super) app: AppId,
    pub(super) mark: String,
    /// The site's scopes that are known here.
    pub(super) scope: String,
    /// Until when its tokens can be renewed. `None` if they cannot.
    pub(super) until: Option<i64>,
    /// The hash of what all of its refresh tokens have. Whoever does not know it has never seen one.
    pub(super) key: String,
}

/// A refresh token was used, or the code, which is number 0: what was given for it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Rotation {
    pub(super) salt: String,
    pub(super) token: Issued,
    /// The hash of the next refresh token.
    pub(super) next: String,
    /// By the clock of the machine that has given it, in seconds since 1970. Earlier versions did not note it.
    pub(super) given_at: Option<i64>,
}

/// `SID~NUMBER~KEY~SECRET`
pub(super) struct RefreshToken<'a> {
    pub(super) sid: &'a str,
    pub(super) number: u32,
    pub(super) key: &'a str,
    secret: &'a str,
}

impl<'a> RefreshToken<'a> {
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let [sid, number, key, secret] = text.splitn(5, '~').collect::<Vec<_>>().try_into().ok()?;
        let number = number.parse().ok().filter(|number| *number > 0 && *number < u32::MAX)?;
        let is_one = |part: &str| !part.is_empty() && part.bytes().all(is_base64url);
        [sid, key, secret].into_iter().all(is_one).then_some(Self { sid, number, key, secret })
    }

    /// The one that follows it.
    pub(super) fn next(&self, salt: &str) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes()), salt.as_bytes());
        written(self.sid, self.number + 1, self.key, &URL_SAFE_NO_PAD.encode(tag))
    }
}

pub(super) fn written(sid: &str, number: u32, key: &str, secret: &str) -> String {
    format!("{sid}~{number}~{key}~{secret}")
}

/// 43 characters of base64url.
pub(super) fn random() -> String {
    URL_SAFE_NO_PAD.encode(*wxmint_keys::random::<32>())
}

pub(super) fn hash(text: &str) -> String {
    short_digest(text).to_string()
}

impl Family {
    pub(super) fn sid(&self) -> &str {
        self.first.id.as_str()
    }

    /// The logins of one user at one client count together.
    pub(super) fn list(&self) -> String {
        key("families", format_args!("{}:{}", self.first.app, self.first.user))
    }

    /// For how long anything of it can be valid.
    pub(super) fn life(&self, now: DateTime<Utc>) -> Duration {
        let until = self.first.expires_at.max(self.until.unwrap_or_default());
        Duration::from_secs(u64::try_from(until - now.timestamp()).unwrap_or_default())
    }
}

/// The name of what Redis keeps of a login. `family`, `last` and `rotation` are by its `sid`; `sid` tells that of the
/// login by which an access token was renewed, and is by the token's `jti`.
pub(super) fn key(kind: &str, name: impl Display) -> String {
    format!("wxmint:oidc:{kind}:{name}")
}

pub(super) fn rotation_key(sid: &str, number: u32) -> String {
    key("rotation", format_args!("{sid}:{number}"))
}

/// For a code, or what else Redis must not tell.
pub(super) fn hashed_key(kind: &str, secret: &str) -> String {
    key(kind, short_digest(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_is_followed_by_one_that_only_its_holder_can_derive() {
        let text = written("sid-1", 1, "key", &random());
        let token = RefreshToken::read(&text).expect("a token");
        let (next, again, other) = (token.next("salt"), token.next("salt"), token.next("pepper"));
        assert!(next == again && next != other && next.starts_with("sid-1~2~key~") && next.len() == text.len());
        for wrong in ["", "a", "a~1~b", "a~0~b~c", "a~-1~b~c", "a~1~b~c~d", "a~1~~c", "a~1~b~c=", "~1~b~c", "a.1.b.c"] {
            assert!(RefreshToken::read(wrong).is_none(), "{wrong}");
        }
    }
}
