//! The parts of a token that can be read before it is verified.

use super::MAX_TOKEN;
use crate::json::Object;
use crate::jws::{Header, Jws};
use crate::token_typ::TokenTyp;
use crate::{Part, Refused};

/// Splits a token into its parts, after a check of its length ([`MAX_TOKEN`]).
pub(super) fn parts(token: &str) -> Result<Jws<'_>, Refused> {
    if token.len() > MAX_TOKEN {
        Err(Refused::TooLong)
    } else {
        Jws::of(token)
    }
}

/// The `typ` of an access token.
pub(super) fn typ(header: &Header) -> Result<TokenTyp, Refused> {
    TokenTyp::of_header(header.typ.as_deref().ok_or(Refused::Missing("typ"))?).ok_or(Refused::Typ)
}

/// The `iss` of a token that has not been verified. Use it only to choose the issuer whose keys
/// verify the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedIssuer(Box<str>);

impl UnverifiedIssuer {
    /// Reads `iss` from a token in its compact form.
    pub fn of(token: &str) -> Result<Self, Refused> {
        let json = parts(token)?.claims()?;
        let claims = Object::read(&json).map_err(|malformed| malformed.in_the(Part::Claims))?;
        claims.text("iss").map(|issuer| Self(issuer.into()))
    }

    /// The value of `iss`. Anybody can have written it, because no signature was checked.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
