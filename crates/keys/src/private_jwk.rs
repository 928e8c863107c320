//! A private key as a JWK: the form in which it lies in the key file.

use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use aws_lc_rs::{hmac, rand::SystemRandom, rsa::KeySize};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use pkcs1::{RsaPrivateKey, der::Decode};
use pkcs8::PrivateKeyInfo;
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use wxmint_ids::unprintable;
use wxmint_verify::{Algorithm, KeyError};
use zeroize::Zeroizing;

use super::SigningKey;

/// A private JWK as it is stored in the key file (RFC 7517, RFC 7518 section 6, RFC 8037), with `nbf` and `exp` as
/// NumericDates. It is serialized into that file and nowhere else.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PrivateJwk {
    pub(super) kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) crv: Option<String>,
    pub(super) alg: String,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exp: Option<i64>,
    #[serde(flatten)]
    pub(super) material: Material,
}
unprintable!(PrivateJwk);

macro_rules! material {
    ($($member:ident)+) => {
        /// The members that are base64url. `kty` decides which of them are required. They are wiped when dropped.
        #[derive(Clone, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub(super) struct Material {
            $(#[serde(skip_serializing_if = "Option::is_none")] pub(super) $member: Member,)+
        }
    };
}
material!(x y n e d p q dp dq qi);

pub(super) type Member = Option<Zeroizing<String>>;

/// The algorithms of keys that sign, the default first. `Ed25519` is verified alone, because jsonwebtoken does not know
/// the name: such a key signs as `EdDSA`.
pub const SIGNED_WITH: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];

impl PrivateJwk {
    pub fn generate(algorithm: Algorithm, nbf: DateTime<Utc>) -> Result<Self, KeyError> {
        let (random, refused) = (SystemRandom::new(), |_| KeyError::Crypto("generate a key"));
        let mut jwk = match algorithm {
            Algorithm::Es256 => {
                let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(refused)?;
                Self::from_der(key.as_ref())?
            }
            Algorithm::EdDsa | Algorithm::Ed25519 => {
                Self::from_der(Ed25519KeyPair::generate_pkcs8(&random).map_err(refused)?.as_ref())?
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(refused)?;
                let key: Pkcs8V1Der<'_> = pair.as_der().map_err(refused)?;
                Self::from_der(key.as_ref())?
            }
        };
        jwk.nbf = Some(nbf.timestamp());
        jwk.name_itself(0)?;
        Ok(jwk)
    }

    /// Reads a private key that was made elsewhere: PEM of PKCS#8, PKCS#1 or SEC 1, or a JWK, alone or as the only key
    /// of a set. The key signs from `nbf` on, whatever `nbf` it has itself.
    pub fn import(content: &[u8], nbf: DateTime<Utc>) -> Result<Self, KeyError> {
        let mut jwk = match PrivateKeyDer::from_pem_slice(content) {
            Ok(der) => Self::from_der(der.secret_der())?,
            Err(_) => Self::from_json(content)?,
        };
        (jwk.kid, jwk.nbf, jwk.exp, jwk.usage) = (None, Some(nbf.timestamp()), None, Some("sig".into()));
        jwk.name_itself(0)?;
        Ok(jwk)
    }

    /// Derived, because the private part itself is for signing alone.
    pub(super) fn marking(&self) -> hmac::Key {
        let private = self.material.d.as_ref().map_or(&b""[..], |d| d.as_bytes());
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, private), b"wxmint mark of a binding");
        hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
    }

    fn from_der(bytes: &[u8]) -> Result<Self, KeyError> {
        let unread = |_| KeyError::Crypto("read a key");
        let unknown = "it must be an EC key on P-256, an Ed25519 key or an RSA key of 2048 bits or more";
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes)
            .or_else(|_| EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes))
        {
            let d: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().map_err(unread)?;
            let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
            let material = Material { x: encode(x), y: encode(y), d: encode(d.as_ref()), ..Material::default() };
            return Ok(Self::of(Algorithm::Es256, material));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
            let seed: Curve25519SeedBin<'_> = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(unread)?;
            let x = encode(pair.public_key().as_ref());
            return Ok(Self::of(Algorithm::EdDsa, Material { x, d: encode(seed.as_ref()), ..Material::default() }));
        }
        let inside = PrivateKeyInfo::from_der(bytes).map_or(bytes, |envelope| envelope.private_key);
        let key = RsaPrivateKey::from_der(inside).map_err(|_| unusable(unknown))?;
        let material = Material {
            n: encode(key.modulus.as_bytes()),
            e: encode(key.public_exponent.as_bytes()),
            d: encode(key.private_exponent.as_bytes()),
            p: encode(key.prime1.as_bytes()),
            q: encode(key.prime2.as_bytes()),
            dp: encode(key.exponent1.as_bytes()),
            dq: encode(key.exponent2.as_bytes()),
            qi: encode(key.coefficient.as_bytes()),
            ..Material::default()
        };
        Ok(Self::of(Algorithm::Rs256, material))
    }

    fn from_json(content: &[u8]) -> Result<Self, KeyError> {
        #[derive(Deserialize)]
        struct Set {
            keys: [PrivateJwk; 1],
        }
        let set = serde_json::from_slice::<Set>(content).map(|Set { keys: [jwk] }| jwk);
        set.or_else(|_| serde_json::from_slice(content))
            .map_err(|_| unusable("neither unencrypted PEM of a private key, nor one private JWK"))
    }

    fn of(algorithm: Algorithm, material: Material) -> Self {
        let (kty, crv) = match algorithm {
            Algorithm::Es256 => ("EC", Some("P-256")),
            Algorithm::EdDsa | Algorithm::Ed25519 => ("OKP", Some("Ed25519")),
            Algorithm::Rs256 => ("RSA", None),
        };
        let (kty, crv, usage) = (kty.into(), crv.map(Into::into), Some("sig".into()));
        Self { kty, crv, alg: algorithm.name().into(), usage, material, ..Self::default() }
    }

    /// The `kid`; empty if the key has none yet.
    pub fn kid(&self) -> &str {
        self.kid.as_deref().unwrap_or_default()
    }

    /// Computes the `kid` if it is missing. `index` is the key's position in the set, for error messages.
    pub(super) fn name_itself(&mut self, index: usize) -> Result<(), KeyError> {
        if self.kid.is_none() {
            self.kid = Some(SigningKey::from_jwk(self, index)?.public().kid().to_owned());
        }
        Ok(())
    }

    /// The key's name in error messages: its position in the set, and its `kid` if it has one.
    pub(super) fn label(&self, index: usize) -> String {
        let place = index + 1;
        self.kid.as_ref().map_or_else(|| place.to_string(), |kid| format!("{place} (kid {kid})"))
    }
}

fn unusable(reason: &str) -> KeyError {
    KeyError::Unusable { key: "in the file".into(), reason: reason.into() }
}

fn encode(bytes: &[u8]) -> Member {
    Some(URL_SAFE_NO_PAD.encode(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_private_key_is_said_to_be_none() {
        for label in ["PUBLIC KEY", "ENCRYPTED PRIVATE KEY"] {
            let pem = format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
            let refused = PrivateJwk::import(pem.as_bytes(), DateTime::UNIX_EPOCH).map(|_| ()).expect_err("no key");
            let said = refused.to_string();
            assert!(said.contains("neither unencrypted PEM of a private key") && !said.contains("JWK Set"), "{said}");
        }
    }
}
