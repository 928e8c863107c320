//! The three parts of a token, and its header: what is read before anything is verified.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    MAX_TOKEN, Part, Refused,
    json::{Json, Object},
};
use crate::{verify::Algorithm, verify::TokenTyp};

/// Parameters that change what is signed, name extensions that must be understood, or bring a key along. None is ever
/// obeyed: a token with one of them is refused (RFC 8725 sections 3.1, 3.10; RFC 7797 for `b64`).
const NEVER: [&str; 9] = ["crit", "jwk", "jku", "x5u", "x5c", "zip", "enc", "b64", "cty"];

/// The three parts of a token, still encoded.
pub(super) struct Parts<'a> {
    pub(super) header: &'a str,
    pub(super) claims: &'a str,
    pub(super) signature: &'a str,
    /// The signed text: header, dot, claims.
    pub(super) signed: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(token: &'a str) -> Result<Self, Refused> {
        if token.len() > MAX_TOKEN {
            return Err(Refused::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::NotThreeParts)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::NotThreeParts)?;
        if claims.contains('.') {
            return Err(Refused::NotThreeParts);
        }
        Ok(Self { header, claims, signature, signed })
    }
}

/// Decodes strictly, without padding and without leftover bits, so that a token has only one spelling.
pub(super) fn decode(text: &str, part: Part) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::NotBase64url(part))
}

/// The header of a token that has not been verified. Use it only to find out which key the token claims to be signed
/// with.
#[derive(Debug)]
pub struct UnverifiedHeader {
    kid: Box<str>,
    pub(super) algorithm: Algorithm,
    pub(super) typ: TokenTyp,
}

impl UnverifiedHeader {
    /// Reads the header of a token in its compact form. Refuses a header that no token of wxmint can have.
    pub fn of(token: &str) -> Result<Self, Refused> {
        Self::read(Parts::of(token)?.header)
    }

    pub(super) fn read(encoded: &str) -> Result<Self, Refused> {
        let json = decode(encoded, Part::Header)?;
        let header = Object::read(&json).map_err(|malformed| malformed.in_the(Part::Header))?;
        if let Some(parameter) = NEVER.into_iter().find(|name| header.member(name).is_some()) {
            return Err(Refused::HeaderParameter(parameter));
        }
        Ok(Self {
            algorithm: header.text("alg")?.parse().map_err(|_| Refused::Algorithm)?,
            typ: TokenTyp::of_header(header.text("typ")?).ok_or(Refused::Typ)?,
            kid: header.text("kid")?.into(),
        })
    }

    /// The `kid` that the sender of the token has written.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

/// The `iss` of a token that has not been verified. Use it only to choose the issuer whose keys verify the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedIssuer(Box<str>);

impl UnverifiedIssuer {
    /// Reads `iss` from a token in its compact form.
    pub fn of(token: &str) -> Result<Self, Refused> {
        let json = decode(Parts::of(token)?.claims, Part::Claims)?;
        let claims = Object::read(&json).map_err(|malformed| malformed.in_the(Part::Claims))?;
        claims.text("iss").map(|issuer| Self(issuer.into()))
    }

    /// The issuer that the sender of the token has written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Object<'_> {
    /// The text of a required member.
    pub(super) fn text(&self, name: &'static str) -> Result<&str, Refused> {
        match self.member(name) {
            Some(Json::Text(text)) => Ok(text),
            Some(_) => Err(Refused::Malformed(name)),
            None => Err(Refused::Missing(name)),
        }
    }
}
