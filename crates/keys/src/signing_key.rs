//! A private key that signs.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
    RsaPublicKeyComponents,
};
use aws_lc_rs::{hmac, rsa::KeyPairComponents};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike, Utc};
use derive_more::Debug;
use jsonwebtoken::signature::Signer;
use wxmint_verify::{Algorithm, KeyError, PublicKey};
use zeroize::Zeroizing;

use super::private_jwk::{Material, Member, PrivateJwk};
use super::{set::KeyLife, signing::KeyPair, signing::install};

/// A private key that signs. It has no `Serialize`, and its `Debug` prints only its algorithm and
/// `kid`.
#[derive(Clone, Debug)]
#[debug("SigningKey({} {})", public.algorithm(), public.kid())]
pub struct SigningKey {
    public: PublicKey,
    pub(super) pair: KeyPair,
    /// Makes the marks in token ids ([`crate::token::Minter::token_id`]). Only holders of this
    /// private key can recognize them.
    pub(super) marking: hmac::Key,
    /// The key's name in error messages.
    pub(super) label: String,
    pub(crate) life: KeyLife,
}

impl SigningKey {
    /// Checks that the members of `jwk` fit each other: `kty`, `crv` and `alg` belong together, the
    /// public members belong to the private ones, and `kid`, if present, is the thumbprint. `index`
    /// is the key's position in the set, for error messages.
    pub(super) fn from_jwk(jwk: &PrivateJwk, index: usize) -> Result<Self, KeyError> {
        let label = jwk.label(index);
        let unusable = |reason| KeyError::Unusable {
            key: label.clone(),
            reason,
        };
        let (public, pair) = jwk.key_pair().map_err(unusable)?;
        let life = jwk.life(&public).map_err(unusable)?;
        install()?;
        Ok(Self {
            public,
            pair,
            marking: jwk.marking(),
            label,
            life,
        })
    }

    /// The public key, as it is published in the JWKS.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message and verifies the signature with the public key, so that a key that cannot do
    /// both is never used.
    pub fn self_test(&self) -> Result<(), KeyError> {
        const MESSAGE: &[u8] = b"wxmint key self-test";
        let signature = self
            .pair
            .try_sign(MESSAGE)
            .map_err(|_| KeyError::Crypto("sign"))?;
        if self.public.verifies(MESSAGE, &signature)
            && !self.public.verifies(b"another message", &signature)
        {
            return Ok(());
        }
        Err(KeyError::Unusable {
            key: self.label.clone(),
            reason: "it does not verify what it signs".into(),
        })
    }
}

/// Reads the members that a key's type requires. Errors name the member; the caller adds the key's
/// name.
impl PrivateJwk {
    fn key_pair(&self) -> Result<(PublicKey, KeyPair), String> {
        let (public, pair) = match self.algorithm()? {
            Algorithm::Es256 => self.p256()?,
            Algorithm::EdDsa | Algorithm::Ed25519 => self.ed25519()?,
            Algorithm::Rs256 => self.rsa()?,
        };
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err("`use` must be \"sig\"".into());
        }
        if self.kid.as_deref().is_some_and(|kid| kid != public.kid()) {
            return Err(
                "`kid` must be the key's RFC 7638 thumbprint; remove it to have it computed".into(),
            );
        }
        Ok((public, pair))
    }

    /// The algorithm of the key's type, which `alg` must confirm.
    fn algorithm(&self) -> Result<Algorithm, String> {
        let algorithm = match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            ("RSA", None) => Algorithm::Rs256,
            ("oct", _) => {
                return Err("`kty` is \"oct\", a shared secret, which cannot be published".into());
            }
            _ => {
                return Err(
                    "`kty` and `crv` must be EC and P-256, OKP and Ed25519, or RSA alone".into(),
                );
            }
        };
        let confirmed = Some(algorithm).filter(|algorithm| self.alg == algorithm.name());
        confirmed.ok_or_else(|| format!("`alg` must be {algorithm} for a key of this type"))
    }

    fn p256(&self) -> Result<(PublicKey, KeyPair), String> {
        let Material { x, y, d, .. } = &self.material;
        let x = fixed32("x", x)?;
        let y = fixed32("y", y)?;
        let d = fixed32("d", d)?;
        let point = [&[4][..], &x, &y].concat();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &d,
            &point,
        )
        .ok();
        let both = PublicKey::p256(&x, &y).zip(pair.map(|pair| KeyPair::P256(pair.into())));
        both.ok_or_else(|| "`x` and `y` are not a point on P-256, or not the one of `d`".into())
    }

    fn ed25519(&self) -> Result<(PublicKey, KeyPair), String> {
        let Material { x, d, .. } = &self.material;
        let x = fixed32("x", x)?;
        let d = fixed32("d", d)?;
        let pair = Ed25519KeyPair::from_seed_and_public_key(&d, &x).ok();
        let both = PublicKey::ed25519(&x).zip(pair.map(|pair| KeyPair::Ed25519(pair.into())));
        both.ok_or_else(|| "`x` is not the public key of `d`".into())
    }

    #[expect(clippy::many_single_char_names, reason = "RFC 8017 has these names")]
    fn rsa(&self) -> Result<(PublicKey, KeyPair), String> {
        let Material {
            n,
            e,
            d,
            p,
            q,
            dp,
            dq,
            qi,
            ..
        } = &self.material;
        let n = bytes("n", n)?;
        let e = bytes("e", e)?;
        let d = bytes("d", d)?;
        let p = bytes("p", p)?;
        let q = bytes("q", q)?;
        let dp = bytes("dp", dp)?;
        let dq = bytes("dq", dq)?;
        let qi = bytes("qi", qi)?;
        let public_key = RsaPublicKeyComponents {
            n: &n[..],
            e: &e[..],
        };
        let components = KeyPairComponents {
            public_key,
            d,
            p,
            q,
            dP: dp,
            dQ: dq,
            qInv: qi,
        };
        let pair = RsaKeyPair::from_components(&components).ok();
        let both = PublicKey::rsa(&n, &e).zip(pair.map(|pair| KeyPair::Rsa(pair.into())));
        both.ok_or_else(|| "the members are not an RSA key of 2048 to 8192 bits".into())
    }

    fn life(&self, public: &PublicKey) -> Result<KeyLife, String> {
        let kid = public.kid().to_owned();
        let algorithm = public.algorithm();
        let nbf = date("nbf", self.nbf.unwrap_or_default())?;
        let exp = self.exp.map(|exp| date("exp", exp)).transpose()?;
        Ok(KeyLife {
            kid,
            algorithm,
            nbf,
            exp,
        })
    }
}

fn fixed32(name: &str, value: &Member) -> Result<Zeroizing<Vec<u8>>, String> {
    let bytes = bytes(name, value)?;
    if bytes.len() == 32 {
        Ok(bytes)
    } else {
        Err(format!("`{name}` must be 32 bytes"))
    }
}

fn bytes(name: &str, value: &Member) -> Result<Zeroizing<Vec<u8>>, String> {
    let text = value
        .as_ref()
        .ok_or_else(|| format!("the member `{name}` is missing"))?;
    let bytes = URL_SAFE_NO_PAD.decode(text.as_str());
    bytes
        .map(Zeroizing::new)
        .map_err(|_| format!("`{name}` must be base64url without padding"))
}

fn date(name: &str, seconds: i64) -> Result<DateTime<Utc>, String> {
    // Later times could overflow when a duration is added. Mostly they are milliseconds by mistake.
    let date = DateTime::from_timestamp(seconds, 0).filter(|date| date.year() < 10_000);
    date.ok_or_else(|| {
        format!("`{name}` must be a number of seconds since 1970, before the year 10000")
    })
}
