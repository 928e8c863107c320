//! A JWS in its compact form (RFC 7515 section 7.1): its three parts, its header and its signature.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};

use super::{Algorithm, KeySource, Part, Refused, json::Object};

/// Parameters that change what is signed, name extensions that must be understood, or bring a key
/// along. A token with any of these parameters is refused (RFC 8725 sections 3.1, 3.10; RFC 7797
/// for `b64`).
const NEVER: [&str; 9] = [
    "crit", "jwk", "jku", "x5u", "x5c", "zip", "enc", "b64", "cty",
];

/// The three parts of a token, still encoded.
pub(super) struct Jws<'a> {
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
    /// The signed text: header, dot, claims.
    signed: &'a str,
}

/// The header of an object that has not been verified.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) kid: Box<str>,
    pub(super) algorithm: Algorithm,
    pub(super) typ: Option<Box<str>>,
}

impl<'a> Jws<'a> {
    /// Splits a token in its compact form. The caller has checked its length.
    pub(super) fn of(text: &'a str) -> Result<Self, Refused> {
        let (signed, signature) = text.rsplit_once('.').ok_or(Refused::NotThreeParts)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::NotThreeParts)?;
        if claims.contains('.') {
            return Err(Refused::NotThreeParts);
        }
        Ok(Self {
            header,
            claims,
            signature,
            signed,
        })
    }

    pub(super) fn header(&self) -> Result<Header, Refused> {
        let json = decode(self.header, Part::Header)?;
        let header = Object::read(&json).map_err(|malformed| malformed.in_the(Part::Header))?;
        if let Some(parameter) = NEVER.into_iter().find(|name| header.member(name).is_some()) {
            return Err(Refused::HeaderParameter(parameter));
        }
        Ok(Header {
            algorithm: header
                .text("alg")?
                .parse()
                .map_err(|_| Refused::Algorithm)?,
            typ: header
                .member("typ")
                .map(|_| header.text("typ").map(Into::into))
                .transpose()?,
            kid: header.text("kid")?.into(),
        })
    }

    pub(super) fn claims(&self) -> Result<Vec<u8>, Refused> {
        decode(self.claims, Part::Claims)
    }

    pub(super) fn signature(&self) -> Result<Vec<u8>, Refused> {
        decode(self.signature, Part::Signature)
    }

    /// Checks `signature` with the key that the header names, by the key's algorithm.
    pub(super) fn check(
        &self,
        header: &Header,
        signature: &[u8],
        keys: &(impl KeySource + ?Sized),
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        let key = keys.key(&header.kid, now).ok_or(Refused::UnknownKey)?;
        if key.algorithm().fully_specified() != header.algorithm.fully_specified() {
            return Err(Refused::Algorithm);
        }
        key.verifies(self.signed.as_bytes(), signature)
            .then_some(())
            .ok_or(Refused::Signature)
    }
}

/// Decodes strictly, without padding and without leftover bits, so that a token has only one
/// spelling.
fn decode(text: &str, part: Part) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Refused::NotBase64url(part))
}
