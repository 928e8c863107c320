//! Reads an issuer's JWKS. Every key is checked, and an unusable key does not affect the others.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{KeyError, KeySource, PublicKey};

/// Members that only private and symmetric keys have (RFC 7518 sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The usable public keys of a set, and why the other keys of the set are unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKeys {
    /// The usable keys, in the order of the set.
    pub keys: Vec<PublicKey>,
    /// One error for each unusable key, in the order of the set.
    pub refused: Vec<KeyError>,
}

#[derive(Deserialize)]
struct Set<'a> {
    /// Each key is parsed by itself, so that a key that is not an object, or is nested too deeply,
    /// does not affect the others.
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

impl PublishedKeys {
    /// Reads a JWK Set (RFC 7517 section 5). Fails only if `json` is not a JWK Set. A key ends up
    /// in `refused` if it is not a JWK, is private, has an unknown type, is not on its curve, is
    /// not for verifying, or repeats the `kid` of another key.
    pub fn read(json: &[u8]) -> Result<Self, KeyError> {
        Self::read_as(json, false)
    }

    /// Reads the JWK Set of an issuer that is not wxmint, such as Kubernetes or SPIFFE. As
    /// [`PublishedKeys::read`], but a `kid` may be any text, and `alg` may be missing.
    pub fn read_of_others(json: &[u8]) -> Result<Self, KeyError> {
        Self::read_as(json, true)
    }

    fn read_as(json: &[u8], of_others: bool) -> Result<Self, KeyError> {
        // Serde would read a JSON array as the values of the struct's members, so an array is made
        // invalid.
        let json = if json.trim_ascii_start().starts_with(b"[") {
            b"["
        } else {
            json
        };
        let set: Set<'_> = serde_json::from_slice(json).map_err(|error| {
            KeyError::Syntax(format!("line {}, column {}", error.line(), error.column()))
        })?;
        let mut read = Self {
            keys: Vec::new(),
            refused: Vec::new(),
        };
        for (index, jwk) in set.keys.iter().enumerate() {
            match read.key(jwk, index + 1, of_others) {
                Ok(key) => read.keys.push(key),
                Err(error) => read.refused.push(error),
            }
        }
        Ok(read)
    }

    fn key(&self, jwk: &RawValue, place: usize, of_others: bool) -> Result<PublicKey, KeyError> {
        let members = serde_json::from_str(jwk.get()).map(|jwk| Members {
            jwk,
            place,
            of_others,
        });
        let members = members.map_err(|_| KeyError::Unusable {
            key: place.to_string(),
            reason: "it must be a JSON object, and is not one that can be read".into(),
        })?;
        let key = members.public_key()?;
        let is_new = self.keys.iter().all(|other| other.kid() != key.kid());
        is_new
            .then_some(key)
            .ok_or_else(|| members.unusable("another key has this `kid`"))
    }
}

/// The time is ignored: the set is as fresh as its last fetch.
impl KeySource for PublishedKeys {
    fn key(&self, kid: &str, _: DateTime<Utc>) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.kid() == kid)
    }
}

/// One key of a set. Its private members, if it has any, are never shown.
struct Members {
    jwk: Map<String, Value>,
    place: usize,
    of_others: bool,
}

impl Members {
    fn public_key(&self) -> Result<PublicKey, KeyError> {
        if let Some(private) = PRIVATE
            .iter()
            .find(|member| self.jwk.contains_key(**member))
        {
            return Err(self.unusable(format!(
                "it has the private member `{private}`: whoever has read it can sign"
            )));
        }
        let is =
            |alg| self.text("alg") == Some(alg) || self.of_others && !self.jwk.contains_key("alg");
        let key = match (self.text("kty"), self.text("crv")) {
            (Some("EC"), Some("P-256")) if is("ES256") => self.p256()?,
            (Some("OKP"), Some("Ed25519")) if is("EdDSA") => self.ed25519()?,
            (Some("OKP"), Some("Ed25519")) if is("Ed25519") => self.ed25519()?.fully_specified(),
            (Some("RSA"), None) if is("RS256") => self.rsa()?,
            _ => {
                return Err(self.unusable(
                    "`kty`, `crv` and `alg` are not those of ES256, EdDSA, Ed25519 or RS256",
                ));
            }
        };
        // Keys in SPIFFE bundles have the `use` `jwt-svid`.
        if self
            .jwk
            .get("use")
            .is_some_and(|usage| usage != "sig" && !(self.of_others && usage == "jwt-svid"))
        {
            return Err(self.unusable("`use` must be \"sig\""));
        }
        if self
            .jwk
            .get("key_ops")
            .is_some_and(|operations| !includes_verify(operations))
        {
            return Err(self.unusable("`key_ops` must be an array that includes \"verify\""));
        }
        let kid = self
            .text("kid")
            .filter(|kid| self.of_others || *kid == key.kid());
        let kid =
            kid.ok_or_else(|| self.unusable("`kid` must be the key's RFC 7638 thumbprint"))?;
        Ok(key.named(kid))
    }

    fn p256(&self) -> Result<PublicKey, KeyError> {
        let (x, y) = (self.bytes("x")?, self.bytes("y")?);
        PublicKey::p256(&x, &y).ok_or_else(|| self.unusable("`x` and `y` are not a point on P-256"))
    }

    fn ed25519(&self) -> Result<PublicKey, KeyError> {
        PublicKey::ed25519(&self.bytes("x")?)
            .ok_or_else(|| self.unusable("`x` is not an Ed25519 key"))
    }

    fn rsa(&self) -> Result<PublicKey, KeyError> {
        let (n, e) = (self.bytes("n")?, self.bytes("e")?);
        PublicKey::rsa(&n, &e)
            .ok_or_else(|| self.unusable("`n` and `e` are not an RSA key of 2048 to 8192 bits"))
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.jwk.get(member)?.as_str()
    }

    fn bytes(&self, member: &'static str) -> Result<Vec<u8>, KeyError> {
        let text = self.text(member).ok_or_else(|| KeyError::Missing {
            key: self.label(),
            member,
        })?;
        URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| self.unusable(format!("`{member}` must be base64url without padding")))
    }

    fn label(&self) -> String {
        let place = self.place;
        self.text("kid")
            .map_or_else(|| place.to_string(), |kid| format!("{place} (kid {kid})"))
    }

    fn unusable(&self, reason: impl Into<String>) -> KeyError {
        KeyError::Unusable {
            key: self.label(),
            reason: reason.into(),
        }
    }
}

/// Whether `key_ops` contains `verify` (RFC 7517 section 4.3).
fn includes_verify(operations: &Value) -> bool {
    operations
        .as_array()
        .is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
}
