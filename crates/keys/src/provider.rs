//! Makes jsonwebtoken sign with aws-lc-rs and with key pairs that are parsed once.
//!
//! jsonwebtoken parses the private key on every `encode`. Here its [`EncodingKey`] is empty, and the signer takes the
//! key pair that [`encode`] has laid down for it.

use std::cell::Cell;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::Serialize;
use wxmint_verify::KeyError;

use super::SigningKey;

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// jsonwebtoken accepts one provider per process, and another one would not know our keys.
static IS_INSTALLED: LazyLock<bool> = LazyLock::new(|| PROVIDER.install_default().is_ok());

thread_local! {
    /// The pair of the call of [`encode`] that this thread is in.
    static PAIR: Cell<Option<KeyPair>> = const { Cell::new(None) };
}

/// Fails where jsonwebtoken cannot sign with our keys.
pub(super) fn install() -> Result<(), KeyError> {
    let is_other = KeyError::Crypto("sign: another CryptoProvider of jsonwebtoken is installed in this process");
    if *IS_INSTALLED { Ok(()) } else { Err(is_other) }
}

pub(super) fn encode(key: &SigningKey, typ: &str, claims: &impl Serialize) -> Result<String, Error> {
    let (algorithm, family) = (key.pair.algorithm(), key.pair.family());
    let header = Header { typ: Some(typ.to_owned()), kid: Some(key.life.kid.clone()), ..Header::new(algorithm) };
    PAIR.set(Some(key.pair.clone()));
    jsonwebtoken::encode(&header, claims, &family)
}

/// A parsed key pair. It is parsed only once, because parsing takes as long as signing, and longer for RSA.
#[derive(Clone)]
pub(super) enum KeyPair {
    P256(Arc<EcdsaKeyPair>),
    Ed25519(Arc<Ed25519KeyPair>),
    Rsa(Arc<RsaKeyPair>),
}

impl KeyPair {
    /// No key, only the family of one, which `encode` compares with the algorithm's.
    fn family(&self) -> EncodingKey {
        match self {
            Self::P256(_) => EncodingKey::from_ec_der(&[]),
            Self::Ed25519(_) => EncodingKey::from_ed_der(&[]),
            Self::Rsa(_) => EncodingKey::from_rsa_der(&[]),
        }
    }
}

impl Signer<Vec<u8>> for KeyPair {
    /// The raw signature of a JWS (RFC 7515); for ES256 the concatenation of r and s.
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let (random, failed) = (SystemRandom::new(), |_| signature::Error::new());
        match self {
            Self::P256(pair) => pair.sign(&random, message).map(|signed| signed.as_ref().to_vec()).map_err(failed),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

impl JwtSigner for KeyPair {
    /// jsonwebtoken 11 does not know the name `Ed25519`.
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::ES256,
            Self::Ed25519(_) => Algorithm::EdDSA,
            Self::Rsa(_) => Algorithm::RS256,
        }
    }
}

fn signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Ok(Box::new(PAIR.take().ok_or(ErrorKind::InvalidKeyFormat)?))
}

/// Always fails, because wxmint verifies with `PublicKey::verifies`, which takes the algorithm from the key.
fn verifier(_: &Algorithm, _: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}
