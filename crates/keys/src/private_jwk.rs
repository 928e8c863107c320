//! A private key as a JWK, as it is stored in the key file.

use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, EcPrivateKeyBin, Pkcs8V1Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use aws_lc_rs::{error::Unspecified, hmac, rsa::KeySize};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use pkcs1::{RsaPrivateKey, der::Decode};
use pkcs8::PrivateKeyInfo;
use serde::{Deserialize, Serialize};
use wxmint_ids::unprintable;
use wxmint_verify::{Algorithm, KeyError};
use zeroize::Zeroizing;

use super::SigningKey;

/// A private JWK as it is stored in the key file (RFC 7517, RFC 7518 section 6, RFC 8037), with
/// `nbf` and `exp` as NumericDates. It is serialized into the key file and nowhere else.
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
        /// The members whose values are base64url. `kty` decides which of them are required. Their
        /// memory is wiped when they are dropped.
        #[derive(Clone, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub(super) struct Material {
            $(#[serde(skip_serializing_if = "Option::is_none")] pub(super) $member: Member,)+
        }
    };
}
material!(x y n e d p q dp dq qi);

pub(super) type Member = Option<Zeroizing<String>>;

/// The algorithms that wxmint signs with, the default first. `Ed25519` is not among them, because
/// jsonwebtoken does not know the name: an Ed25519 key signs as `EdDSA`. Verifiers accept both
/// names.
pub const SIGNED_WITH: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];

impl PrivateJwk {
    /// Generates a key that signs from `nbf` on. An RSA key has 2048 bits.
    pub fn generate(algorithm: Algorithm, nbf: DateTime<Utc>) -> Result<Self, KeyError> {
        let (alg, kty, crv, material) = match algorithm {
            Algorithm::Es256 => (Algorithm::Es256, "EC", Some("P-256"), Material::of_p256()),
            Algorithm::EdDsa | Algorithm::Ed25519 => (
                Algorithm::EdDsa,
                "OKP",
                Some("Ed25519"),
                Material::of_ed25519(),
            ),
            Algorithm::Rs256 => (Algorithm::Rs256, "RSA", None, Material::of_rsa()),
        };
        let material = material.map_err(|_| KeyError::Crypto("generate a key"))?;
        let kty = kty.into();
        let crv = crv.map(Into::into);
        let alg = alg.name().into();
        let mut jwk = Self {
            kty,
            crv,
            alg,
            usage: Some("sig".into()),
            nbf: Some(nbf.timestamp()),
            material,
            ..Self::default()
        };
        jwk.name_itself(0)?;
        Ok(jwk)
    }

    /// The HMAC key for marks of bindings. It is derived from `d`, because the private key itself
    /// is for signing alone.
    pub(super) fn marking(&self) -> hmac::Key {
        let private = self.material.d.as_ref().map_or(&b""[..], |d| d.as_bytes());
        let derived = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, private),
            b"wxmint mark of a binding",
        );
        hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
    }

    /// The `kid`; empty if the key has none yet.
    pub fn kid(&self) -> &str {
        self.kid.as_deref().unwrap_or_default()
    }

    /// Computes the `kid` if it is missing. `index` is the key's position in the set, for error
    /// messages.
    pub(super) fn name_itself(&mut self, index: usize) -> Result<(), KeyError> {
        if self.kid.is_none() {
            self.kid = Some(SigningKey::from_jwk(self, index)?.public().kid().to_owned());
        }
        Ok(())
    }

    /// The key's name in error messages: its position in the set, and its `kid` if it has one.
    pub(super) fn label(&self, index: usize) -> String {
        let place = index + 1;
        match &self.kid {
            Some(kid) => format!("{place} (kid {kid})"),
            None => place.to_string(),
        }
    }
}

/// The members of a new key pair.
impl Material {
    fn of_p256() -> Result<Self, Unspecified> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let d: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes()?;
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        Ok(Self {
            x: encode(x),
            y: encode(y),
            d: encode(d.as_ref()),
            ..Self::default()
        })
    }

    fn of_ed25519() -> Result<Self, Unspecified> {
        let pair = Ed25519KeyPair::generate()?;
        let seed: Curve25519SeedBin<'_> = pair.seed()?.as_be_bytes()?;
        Ok(Self {
            x: encode(pair.public_key().as_ref()),
            d: encode(seed.as_ref()),
            ..Self::default()
        })
    }

    fn of_rsa() -> Result<Self, Unspecified> {
        let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa2048)?.as_der()?;
        let envelope = PrivateKeyInfo::from_der(der.as_ref()).map_err(|_| Unspecified)?;
        let key = RsaPrivateKey::from_der(envelope.private_key).map_err(|_| Unspecified)?;
        Ok(Self {
            n: encode(key.modulus.as_bytes()),
            e: encode(key.public_exponent.as_bytes()),
            d: encode(key.private_exponent.as_bytes()),
            p: encode(key.prime1.as_bytes()),
            q: encode(key.prime2.as_bytes()),
            dp: encode(key.exponent1.as_bytes()),
            dq: encode(key.exponent2.as_bytes()),
            qi: encode(key.coefficient.as_bytes()),
            ..Self::default()
        })
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "which members a key has depends on its algorithm"
)]
fn encode(bytes: &[u8]) -> Member {
    Some(URL_SAFE_NO_PAD.encode(bytes).into())
}
