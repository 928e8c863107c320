//! The claims of a token (RFC 9068 section 2.2).

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, Serializer};
use wxmint_verify::KeyError;
use wxmint_verify::ids::{AppId, TokenId, UserId};

use super::ExtraClaims;

/// The `jti` of a new token: 128 random bits from the system, in base64url.
pub fn new_token_id() -> Result<TokenId, KeyError> {
    let mut bits = [0; 16];
    rand::fill(&mut bits).map_err(|_| KeyError::Crypto("draw random bits"))?;
    Ok(URL_SAFE_NO_PAD.encode(bits).parse().expect("22 characters of base64url"))
}

/// The claims of a new token.
#[derive(Serialize)]
pub(super) struct MintedClaims<'a> {
    pub(super) iss: &'a str,
    pub(super) sub: &'a UserId,
    #[serde(serialize_with = "one_or_several")]
    pub(super) aud: &'a [String],
    pub(super) client_id: &'a AppId,
    /// In seconds. Never in the future, because PyJWT and others allow no leeway here.
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) jti: &'a TokenId,
    /// It has none of the names above.
    #[serde(flatten)]
    pub(super) extra: &'a ExtraClaims,
}

/// `aud`: one audience is a string, several are an array (RFC 7519 section 4.1.3).
fn one_or_several<S: Serializer>(audience: &&[String], serializer: S) -> Result<S::Ok, S::Error> {
    match *audience {
        [one] => one.serialize(serializer),
        several => several.serialize(serializer),
    }
}
