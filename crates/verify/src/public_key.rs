//! Public keys. A verifier needs no other keys, and an issuer publishes no others.

use std::{fmt, ops::RangeInclusive};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Algorithm;

/// The length in bytes of an RSA modulus of 2048 to 8192 bits.
const RSA_BYTES: RangeInclusive<usize> = 256..=1024;

/// A public JWK (RFC 7517) with `use`, `alg` and `kid`, parsed once and ready to verify. Its `kid`
/// is its RFC 7638 thumbprint.
#[derive(Clone, Serialize)]
pub struct PublicKey {
    #[serde(flatten)]
    material: Material,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    kid: String,
    #[serde(skip)]
    algorithm: Algorithm,
    #[serde(skip)]
    parsed: ParsedPublicKey,
}

/// The members that the thumbprint covers, in the lexicographic order that RFC 7638 section 3.3
/// requires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Material {
    Ec {
        crv: &'static str,
        kty: &'static str,
        x: String,
        y: String,
    },
    Okp {
        crv: &'static str,
        kty: &'static str,
        x: String,
    },
    Rsa {
        e: String,
        kty: &'static str,
        n: String,
    },
}

impl PublicKey {
    /// Makes an EC key on P-256 from its affine coordinates of 32 bytes each.
    pub fn p256(x: &[u8], y: &[u8]) -> Option<Self> {
        // The uncompressed form of a point, because aws-lc accepts other encodings too, which no
        // JWK has.
        let point = [&[4], x, y].concat();
        let parsed = (x.len() == 32)
            .then(|| ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point))?
            .ok()?;
        let material = Material::Ec {
            crv: "P-256",
            kty: "EC",
            x: encode(x),
            y: encode(y),
        };
        Some(Self::new(Algorithm::Es256, material, parsed))
    }

    /// Makes an Ed25519 key from its 32 bytes. Its `alg` is `EdDSA`.
    pub fn ed25519(x: &[u8]) -> Option<Self> {
        let parsed = (x.len() == 32)
            .then(|| ParsedPublicKey::new(&ED25519, x))?
            .ok()?;
        Some(Self::new(
            Algorithm::EdDsa,
            Material::Okp {
                crv: "Ed25519",
                kty: "OKP",
                x: encode(x),
            },
            parsed,
        ))
    }

    /// Makes an RSA key of 2048 to 8192 bits from modulus and exponent, big-endian without leading
    /// zeros (RFC 7518 section 6.3.1).
    pub fn rsa(n: &[u8], e: &[u8]) -> Option<Self> {
        // Checked here, because aws-lc checks the numbers only when it verifies. With the exponent
        // 1, anybody could make a valid signature.
        let is_odd = |number: &[u8]| {
            number.first() != Some(&0) && number.last().is_some_and(|byte| byte % 2 == 1)
        };
        let fits = RSA_BYTES.contains(&n.len()) && is_odd(n) && is_odd(e) && e != [1];
        let components = RsaPublicKeyComponents { n, e };
        let parsed = fits
            .then(|| components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256))?
            .ok()?;
        Some(Self::new(
            Algorithm::Rs256,
            Material::Rsa {
                e: encode(e),
                kty: "RSA",
                n: encode(n),
            },
            parsed,
        ))
    }

    /// The same key with the fully-specified name of its algorithm as `alg` (RFC 9864): `Ed25519`
    /// in place of `EdDSA`.
    pub fn fully_specified(self) -> Self {
        let algorithm = self.algorithm.fully_specified();
        Self {
            alg: algorithm.name(),
            algorithm,
            ..self
        }
    }

    /// The same key under the `kid` that an issuer of another make gives it.
    pub(super) fn named(self, kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            ..self
        }
    }

    fn new(algorithm: Algorithm, material: Material, parsed: ParsedPublicKey) -> Self {
        let kid = thumbprint(&material);
        Self {
            material,
            usage: "sig",
            alg: algorithm.name(),
            kid,
            algorithm,
            parsed,
        }
    }

    /// The RFC 7638 thumbprint. It may begin with `-`.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The only algorithm that this key verifies, under the name that its `alg` has.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` (raw, as in a JWS) is this key's signature of `message`. The algorithm
    /// comes from the key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.kid, &self.material) == (&other.kid, &other.material)
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm, self.kid)
    }
}

fn thumbprint(material: &Material) -> String {
    let canonical = serde_json::to_vec(material).expect("a struct of strings serializes");
    encode(digest::digest(&digest::SHA256, &canonical).as_ref())
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A source of public keys, in which a verifier looks up the key that a token names.
pub trait KeySource {
    /// The public key with this `kid`, if the tokens that it signed are valid at `now`.
    fn key(&self, kid: &str, now: DateTime<Utc>) -> Option<&PublicKey>;
}

/// A JWK Set (RFC 7517 section 5). The type guarantees that it contains only public keys.
#[derive(Debug, Clone, Serialize)]
pub struct PublicKeySet<'a> {
    keys: Vec<&'a PublicKey>,
}

impl<'a> FromIterator<&'a PublicKey> for PublicKeySet<'a> {
    fn from_iter<I: IntoIterator<Item = &'a PublicKey>>(keys: I) -> Self {
        Self {
            keys: keys.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    }

    #[test]
    fn the_thumbprint_is_the_one_of_rfc_7638_section_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        assert_eq!(
            PublicKey::rsa(&decode(n), &[1, 0, 1]).expect("a key").kid(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn the_thumbprint_is_the_one_of_rfc_8037_appendix_a_3() {
        let key = PublicKey::ed25519(&decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))
            .expect("a key");
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
