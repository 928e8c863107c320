//! Header `typ` and claims (RFC 9068 section 2).

use std::str::FromStr;

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use crate::{
    ids::{AppId, TokenId, UserId},
    keys::KeyError,
};

/// What stands before every media type, and is left out in a header (RFC 7515 section 4.1.9).
const APPLICATION: &str = "application/";

/// The header's `typ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenTyp {
    /// `at+jwt` (RFC 9068 section 2.1): no other signed object of ours can be taken for an access token.
    AccessToken,
    /// `JWT`, for verifiers that know no other.
    Jwt,
}

impl TokenTyp {
    const ALL: [Self; 2] = [Self::AccessToken, Self::Jwt];

    /// As it stands in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "at+jwt",
            Self::Jwt => "JWT",
        }
    }

    /// Of a header: a media type has no case, and may be written out.
    pub(super) fn of_header(text: &str) -> Option<Self> {
        let written_out = text.get(..APPLICATION.len()).is_some_and(|start| start.eq_ignore_ascii_case(APPLICATION));
        let bare = if written_out { &text[APPLICATION.len()..] } else { text };
        Self::ALL.into_iter().find(|typ| typ.as_str().eq_ignore_ascii_case(bare))
    }
}

impl FromStr for TokenTyp {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|typ| typ.as_str() == text).ok_or("must be at+jwt or JWT")
    }
}

impl TokenId {
    /// 128 bits of the system's generator, base64url.
    pub fn random() -> Result<Self, KeyError> {
        let mut bits = [0; 16];
        rand::fill(&mut bits).map_err(|_| KeyError::Crypto("draw random bits"))?;
        Ok(URL_SAFE_NO_PAD.encode(bits).parse().expect("22 characters of base64url"))
    }
}

/// RFC 7519 section 4.1.3: one audience is a string, several are an array.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl From<Vec<String>> for Audience {
    fn from(mut audiences: Vec<String>) -> Self {
        match audiences.len() {
            1 => Self::One(audiences.remove(0)),
            _ => Self::Several(audiences),
        }
    }
}

/// All that a token says, on its way out.
#[derive(Serialize)]
pub(super) struct MintedClaims<'a> {
    pub(super) iss: &'a str,
    pub(super) sub: &'a UserId,
    pub(super) aud: &'a Audience,
    pub(super) client_id: &'a AppId,
    /// NumericDate, seconds. Never in the future: PyJWT and others allow no leeway here.
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) jti: &'a TokenId,
}
