//! Private keys: the wire form in the key file, and the key that signs.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    encoding::{AsBigEndian, AsDer, Curve25519SeedBin, EcPrivateKeyBin, Pkcs8V1Der},
    hmac,
    rand::SystemRandom,
    rsa::{KeyPairComponents, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::rotation::KeyLife;
use crate::verify::{Algorithm, KeyError, PublicKey};

/// A private JWK as it lies in the key file (RFC 7517, RFC 7518 section 6, RFC 8037), with `nbf` and `exp` as
/// NumericDates. Serialized into that file and nowhere else.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PrivateJwk {
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    alg: String,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(flatten)]
    material: Material,
}

/// Base64url members. Which are needed depends on `kty`. Wiped when dropped.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Material {
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Member,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Member,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Member,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Member,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Member,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Member,
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Member,
    #[serde(skip_serializing_if = "Option::is_none")]
    dp: Member,
    #[serde(skip_serializing_if = "Option::is_none")]
    dq: Member,
    #[serde(skip_serializing_if = "Option::is_none")]
    qi: Member,
}

type Member = Option<Zeroizing<String>>;

impl PrivateJwk {
    /// A new key of `algorithm` that signs from `nbf` on.
    pub fn generate(algorithm: Algorithm, nbf: DateTime<Utc>) -> Result<Self, KeyError> {
        let material = match algorithm {
            Algorithm::Es256 => Material::p256()?,
            Algorithm::EdDsa => Material::ed25519()?,
            Algorithm::Rs256 => Material::rsa2048()?,
        };
        let mut jwk = Self::of(algorithm, material);
        jwk.nbf = Some(nbf.timestamp());
        jwk.name_itself(0)?;
        Ok(jwk)
    }

    /// Reads a private key that was made elsewhere: PEM of PKCS#8, PKCS#1 or SEC 1, or a JWK (alone or the only one of a
    /// set). It signs from `nbf` on, whatever it says itself.
    pub fn import(content: &[u8], nbf: DateTime<Utc>) -> Result<Self, KeyError> {
        let mut jwk = match PrivateKeyDer::from_pem_slice(content) {
            Ok(der) => Self::from_der(&der)?,
            Err(_) => Self::from_json(content)?,
        };
        (jwk.nbf, jwk.exp, jwk.usage) = (Some(nbf.timestamp()), None, Some("sig".into()));
        jwk.kid = None;
        jwk.name_itself(0)?;
        Ok(jwk)
    }

    /// Derived, because the private part itself is for signing alone.
    fn marking(&self) -> hmac::Key {
        let private = self.material.d.as_ref().map_or(&b""[..], |d| d.as_bytes());
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, private), b"wxmint mark of a binding");
        hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
    }

    fn from_der(der: &PrivateKeyDer<'_>) -> Result<Self, KeyError> {
        let unknown = || KeyError::Unusable {
            key: "in the file".into(),
            reason: "it must be an EC key on P-256, an Ed25519 key or an RSA key of 2048 bits or more".into(),
        };
        let bytes = der.secret_der();
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes)
            .or_else(|_| EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes))
        {
            return Ok(Self::of(Algorithm::Es256, Material::of_p256(&pair)?));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
            return Ok(Self::of(Algorithm::EdDsa, Material::of_ed25519(&pair)?));
        }
        let pkcs1 = pkcs8::PrivateKeyInfo::try_from(bytes).map_or(bytes, |info| info.private_key);
        let key = pkcs1::RsaPrivateKey::try_from(pkcs1).map_err(|_| unknown())?;
        Ok(Self::of(Algorithm::Rs256, Material::of_rsa(&key)))
    }

    fn from_json(content: &[u8]) -> Result<Self, KeyError> {
        #[derive(Deserialize)]
        struct Set {
            keys: [PrivateJwk; 1],
        }
        let set = serde_json::from_slice::<Set>(content).map(|Set { keys: [jwk] }| jwk);
        set.or_else(|_| serde_json::from_slice(content))
            .map_err(|_| KeyError::Syntax("neither PEM of a private key, nor one private JWK".into()))
    }

    fn of(algorithm: Algorithm, material: Material) -> Self {
        let (kty, crv) = match algorithm {
            Algorithm::Es256 => ("EC", Some("P-256")),
            Algorithm::EdDsa => ("OKP", Some("Ed25519")),
            Algorithm::Rs256 => ("RSA", None),
        };
        Self {
            kty: kty.into(),
            crv: crv.map(Into::into),
            alg: algorithm.name().into(),
            usage: Some("sig".into()),
            kid: None,
            nbf: None,
            exp: None,
            material,
        }
    }

    /// The key's name, where it has one already.
    pub fn kid(&self) -> &str {
        self.kid.as_deref().unwrap_or_default()
    }

    /// Whether this is the key of that name.
    pub(super) fn is(&self, kid: &str) -> bool {
        self.kid.as_deref() == Some(kid)
    }

    /// Fills in a `kid` that was left out.
    pub(super) fn name_itself(&mut self, index: usize) -> Result<(), KeyError> {
        if self.kid.is_none() {
            self.kid = Some(SigningKey::from_jwk(self, index)?.public().kid().to_owned());
        }
        Ok(())
    }

    pub(super) fn set_nbf(&mut self, nbf: DateTime<Utc>) {
        self.nbf = Some(nbf.timestamp());
    }

    pub(super) fn set_exp(&mut self, exp: Option<DateTime<Utc>>) {
        self.exp = exp.map(|exp| exp.timestamp());
    }

    /// How messages name this key: by its place in the set, and its `kid` if it has one.
    fn label(&self, index: usize) -> String {
        let place = index + 1;
        self.kid.as_ref().map_or_else(|| place.to_string(), |kid| format!("{place} (kid {kid})"))
    }
}

impl fmt::Debug for PrivateJwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateJwk({} {})", self.alg, self.kid.as_deref().unwrap_or("without kid"))
    }
}

impl Material {
    fn p256() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| cannot_generate())?;
        Self::of_p256(&pair)
    }

    fn of_p256(pair: &EcdsaKeyPair) -> Result<Self, KeyError> {
        let d: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().map_err(|_| cannot_generate())?;
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        Ok(Self { x: encode(x), y: encode(y), d: encode(d.as_ref()), ..Self::default() })
    }

    fn ed25519() -> Result<Self, KeyError> {
        Self::of_ed25519(&Ed25519KeyPair::generate().map_err(|_| cannot_generate())?)
    }

    fn of_ed25519(pair: &Ed25519KeyPair) -> Result<Self, KeyError> {
        let seed: Curve25519SeedBin<'_> =
            pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| cannot_generate())?;
        Ok(Self { x: encode(pair.public_key().as_ref()), d: encode(seed.as_ref()), ..Self::default() })
    }

    fn rsa2048() -> Result<Self, KeyError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| cannot_generate())?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| cannot_generate())?;
        let info = pkcs8::PrivateKeyInfo::try_from(der.as_ref()).map_err(|_| cannot_generate())?;
        let key = pkcs1::RsaPrivateKey::try_from(info.private_key).map_err(|_| cannot_generate())?;
        Ok(Self::of_rsa(&key))
    }

    fn of_rsa(key: &pkcs1::RsaPrivateKey<'_>) -> Self {
        Self {
            n: encode(key.modulus.as_bytes()),
            e: encode(key.public_exponent.as_bytes()),
            d: encode(key.private_exponent.as_bytes()),
            p: encode(key.prime1.as_bytes()),
            q: encode(key.prime2.as_bytes()),
            dp: encode(key.exponent1.as_bytes()),
            dq: encode(key.exponent2.as_bytes()),
            qi: encode(key.coefficient.as_bytes()),
            ..Self::default()
        }
    }
}

fn cannot_generate() -> KeyError {
    KeyError::Crypto("generate a key")
}

fn encode(bytes: &[u8]) -> Member {
    Some(URL_SAFE_NO_PAD.encode(bytes).into())
}

/// A key that signs. Has no `Serialize`, and its `Debug` prints its `kid`.
#[derive(Clone)]
pub struct SigningKey {
    public: PublicKey,
    pair: Arc<KeyPair>,
    marking: hmac::Key,
    /// How messages name it.
    label: String,
    nbf: DateTime<Utc>,
    exp: Option<DateTime<Utc>>,
}

impl SigningKey {
    /// Checks the members of `jwk` against each other: `kty`, `crv` and `alg` belong together, the public part is the
    /// private part's, `kid` (if given) is the thumbprint. `index` is the key's place in the set, for messages.
    pub(super) fn from_jwk(jwk: &PrivateJwk, index: usize) -> Result<Self, KeyError> {
        let members = Members { jwk, index };
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
        let (nbf, exp) = (members.date("nbf", jwk.nbf.or(Some(0)))?, members.date("exp", jwk.exp)?);
        let (pair, label, nbf) = (Arc::new(pair), jwk.label(index), nbf.unwrap_or_default());
        Ok(Self { public, pair, marking: jwk.marking(), label, nbf, exp })
    }

    /// What verifiers get.
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

    /// The first moment at which this key may sign.
    pub fn nbf(&self) -> DateTime<Utc> {
        self.nbf
    }

    /// The moment at which this key leaves the JWKS, once it has been replaced.
    pub fn exp(&self) -> Option<DateTime<Utc>> {
        self.exp
    }

    pub(super) fn life(&self) -> KeyLife {
        let (kid, algorithm) = (self.public.kid().to_owned(), self.public.algorithm());
        KeyLife { kid, algorithm, nbf: self.nbf, exp: self.exp }
    }

    pub(super) fn pair(&self) -> &Arc<KeyPair> {
        &self.pair
    }

    /// Signs a message and verifies it with the published part, so that a key that cannot do both is never used.
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

/// A parsed key pair: parsed once, since parsing costs as much as signing (RSA: more).
pub(super) enum KeyPair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl KeyPair {
    /// The raw signature of a JWS (RFC 7515): fixed length r‖s for ES256.
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

/// Reads the members that a key's type needs, with errors that name key and member.
struct Members<'a> {
    jwk: &'a PrivateJwk,
    index: usize,
}

impl Members<'_> {
    /// What the key's type signs with, which `alg` must say too.
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
        let Some(seconds) = seconds else { return Ok(None) };
        let date = DateTime::from_timestamp(seconds, 0)
            .ok_or_else(|| self.unusable(format!("`{name}` must be a number of seconds since 1970")))?;
        Ok(Some(date))
    }

    fn unusable(&self, reason: impl Into<String>) -> KeyError {
        KeyError::Unusable { key: self.jwk.label(self.index), reason: reason.into() }
    }
}
