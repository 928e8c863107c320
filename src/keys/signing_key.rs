//! A private key that signs.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeyPairComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::EncodingKey;
use wxmint_verify::{Algorithm, KeyError, PublicKey};
use zeroize::Zeroizing;

use super::{
    private_jwk::{Member, PrivateJwk},
    provider::encoding_key,
    rotation::KeyLife,
};

/// A private key that signs. It has no `Serialize`, and its `Debug` prints only its algorithm and `kid`.
#[derive(Clone)]
pub struct SigningKey {
    public: PublicKey,
    pub(super) pair: Arc<KeyPair>,
    encoding: EncodingKey,
    marking: hmac::Key,
    /// The key's name in error messages.
    label: String,
    life: KeyLife,
}

impl SigningKey {
    /// Checks that the members of `jwk` fit each other: `kty`, `crv` and `alg` belong together, the public members
    /// belong to the private ones, and `kid`, if present, is the thumbprint. `index` is the key's position in the set,
    /// for error messages.
    pub(super) fn from_jwk(jwk: &PrivateJwk, index: usize) -> Result<Self, KeyError> {
        let members = JwkMembers { jwk, index };
        let (public, pair) = match members.algorithm()? {
            Algorithm::Es256 => members.p256()?,
            Algorithm::EdDsa => members.ed25519()?,
            Algorithm::Rs256 => members.rsa()?,
        };
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err(members.unusable("`use` must be \"sig\""));
        }
        if jwk.kid.as_deref().is_some_and(|kid| kid != public.kid()) {
            return Err(members.unusable("`kid` must be the key's RFC 7638 thumbprint; remove it to have it computed"));
        }
        let life = KeyLife {
            kid: public.kid().to_owned(),
            algorithm: public.algorithm(),
            nbf: members.date("nbf", jwk.nbf.or(Some(0)))?.unwrap_or_default(),
            exp: members.date("exp", jwk.exp)?,
        };
        let (pair, label) = (Arc::new(pair), jwk.label(index));
        let encoding = encoding_key(&pair, life.algorithm)?;
        Ok(Self { public, pair, encoding, marking: jwk.marking(), label, life })
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// For marks that only the holders of this key can tell from others.
    pub(crate) fn marking(&self) -> &hmac::Key {
        &self.marking
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// When the key may first sign.
    pub fn nbf(&self) -> DateTime<Utc> {
        self.life.nbf
    }

    pub(super) fn life(&self) -> KeyLife {
        self.life.clone()
    }

    /// What jsonwebtoken signs with.
    pub(crate) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    /// Signs a message and verifies the signature with the public key, so that a key that cannot do both is never used.
    pub fn self_test(&self) -> Result<(), KeyError> {
        const MESSAGE: &[u8] = b"wxmint key self-test";
        let signature = self.pair.sign(MESSAGE).map_err(|()| KeyError::Crypto("sign"))?;
        if self.public.verifies(MESSAGE, &signature) && !self.public.verifies(b"another message", &signature) {
            return Ok(());
        }
        let reason = "it does not verify what it signs".into();
        Err(KeyError::Unusable { key: self.label.clone(), reason })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.public.algorithm(), self.public.kid())
    }
}

/// A parsed key pair. It is parsed only once, because parsing takes as long as signing, and longer for RSA.
pub(super) enum KeyPair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl KeyPair {
    /// The raw signature of a JWS (RFC 7515); for ES256 the concatenation of r and s.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ()> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(|_| ())
            }
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| ())?;
                Ok(signature)
            }
        }
    }
}

/// Reads the members that a key's type requires. Errors name the key and the member.
struct JwkMembers<'a> {
    jwk: &'a PrivateJwk,
    index: usize,
}

impl JwkMembers<'_> {
    /// The algorithm of the key's type, which `alg` must confirm.
    fn algorithm(&self) -> Result<Algorithm, KeyError> {
        let algorithm = match (self.jwk.kty.as_str(), self.jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            ("RSA", None) => Algorithm::Rs256,
            ("oct", _) => return Err(self.unusable("`kty` is \"oct\", a shared secret, which cannot be published")),
            _ => return Err(self.unusable("`kty` and `crv` must be EC and P-256, OKP and Ed25519, or RSA alone")),
        };
        if self.jwk.alg != algorithm.name() {
            return Err(self.unusable(format!("`alg` must be {algorithm} for a key of this type")));
        }
        Ok(algorithm)
    }

    fn p256(&self) -> Result<(PublicKey, KeyPair), KeyError> {
        let material = &self.jwk.material;
        let [x, y, d] = [("x", &material.x), ("y", &material.y), ("d", &material.d)].map(|member| self.fixed32(member));
        let (x, y, d) = (x?, y?, d?);
        let point = [&[4][..], &x, &y].concat();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &d, &point).ok();
        let both = PublicKey::p256(&x, &y).zip(pair.map(KeyPair::P256));
        both.ok_or_else(|| self.unusable("`x` and `y` are not a point on P-256, or not the one of `d`"))
    }

    fn ed25519(&self) -> Result<(PublicKey, KeyPair), KeyError> {
        let (x, d) = (self.fixed32(("x", &self.jwk.material.x))?, self.fixed32(("d", &self.jwk.material.d))?);
        let pair = Ed25519KeyPair::from_seed_and_public_key(&d, &x).ok();
        let both = PublicKey::ed25519(&x).zip(pair.map(KeyPair::Ed25519));
        both.ok_or_else(|| self.unusable("`x` is not the public key of `d`"))
    }

    fn rsa(&self) -> Result<(PublicKey, KeyPair), KeyError> {
        let material = &self.jwk.material;
        let read = |name, member| self.bytes((name, member));
        let (n, e) = (read("n", &material.n)?, read("e", &material.e)?);
        let components = KeyPairComponents {
            public_key: RsaPublicKeyComponents { n: &n[..], e: &e[..] },
            d: read("d", &material.d)?,
            p: read("p", &material.p)?,
            q: read("q", &material.q)?,
            dP: read("dp", &material.dp)?,
            dQ: read("dq", &material.dq)?,
            qInv: read("qi", &material.qi)?,
        };
        let pair = RsaKeyPair::from_components(&components).ok();
        let both = PublicKey::rsa(&n, &e).zip(pair.map(KeyPair::Rsa));
        both.ok_or_else(|| self.unusable("the members are not an RSA key of 2048 to 8192 bits"))
    }

    fn fixed32(&self, member: (&'static str, &Member)) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let bytes = self.bytes(member)?;
        if bytes.len() != 32 {
            return Err(self.unusable(format!("`{}` must be 32 bytes", member.0)));
        }
        Ok(bytes)
    }

    fn bytes(&self, (name, value): (&'static str, &Member)) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let text = value.as_ref().ok_or_else(|| KeyError::Missing { key: self.jwk.label(self.index), member: name })?;
        let bytes = URL_SAFE_NO_PAD.decode(text.as_str());
        bytes.map(Zeroizing::new).map_err(|_| self.unusable(format!("`{name}` must be base64url without padding")))
    }

    fn date(&self, name: &'static str, seconds: Option<i64>) -> Result<Option<DateTime<Utc>>, KeyError> {
        let date = |seconds| {
            DateTime::from_timestamp(seconds, 0)
                .ok_or_else(|| self.unusable(format!("`{name}` must be a number of seconds since 1970")))
        };
        seconds.map(date).transpose()
    }

    fn unusable(&self, reason: impl Into<String>) -> KeyError {
        KeyError::Unusable { key: self.jwk.label(self.index), reason: reason.into() }
    }
}
