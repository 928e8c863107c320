//! Makes jsonwebtoken sign with aws-lc-rs and with key pairs that are parsed once.
//!
//! jsonwebtoken parses the private key on every `encode`. Here its [`EncodingKey`] contains a name instead of a key,
//! and the signer looks up the key pair that is registered under that name.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock, Weak};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{EncodingKey, signature};
use wxmint_verify::{Algorithm, KeyError};

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// Whether our provider is installed. jsonwebtoken accepts one provider per process, and another one would not know our
/// keys.
static INSTALLED: OnceLock<bool> = OnceLock::new();

/// The references are weak, so that a key that has left its set is forgotten here too.
static PAIRS: LazyLock<RwLock<HashMap<Name, Weak<KeyPair>>>> = LazyLock::new(RwLock::default);

type Name = [u8; 8];

static NEXT_NAME: AtomicU64 = AtomicU64::new(0);

/// jsonwebtoken 11 does not know the name `Ed25519`.
pub(crate) fn for_jsonwebtoken(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDsa | Algorithm::Ed25519 => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
    }
}

/// The value that makes jsonwebtoken's `encode` sign with `pair`. It works as long as `pair` lives.
pub(super) fn encoding_key(pair: &Arc<KeyPair>, algorithm: Algorithm) -> Result<EncodingKey, KeyError> {
    if !*INSTALLED.get_or_init(|| PROVIDER.install_default().is_ok()) {
        return Err(KeyError::Crypto("sign: another CryptoProvider of jsonwebtoken is installed in this process"));
    }
    // The name is not the `kid`, because a set that is read again holds the same keys at another address, and one of
    // the two may be dropped first.
    let name = NEXT_NAME.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut pairs = PAIRS.write().unwrap_or_else(PoisonError::into_inner);
    pairs.retain(|_, pair| pair.strong_count() > 0);
    pairs.insert(name, Arc::downgrade(pair));
    Ok(match algorithm {
        Algorithm::Es256 => EncodingKey::from_ec_der(&name),
        Algorithm::EdDsa | Algorithm::Ed25519 => EncodingKey::from_ed_der(&name),
        Algorithm::Rs256 => EncodingKey::from_rsa_der(&name),
    })
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
            Self::P256(pair) => pair.sign(&random, message).map(|signed| signed.as_ref().to_vec()).map_err(|_| ()),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| ())?;
                Ok(signature)
            }
        }
    }
}

struct RegisteredSigner {
    pair: Arc<KeyPair>,
    algorithm: jsonwebtoken::Algorithm,
}

impl signature::Signer<Vec<u8>> for RegisteredSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        self.pair.sign(message).map_err(|()| signature::Error::new())
    }
}

impl JwtSigner for RegisteredSigner {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.algorithm
    }
}

fn signer(algorithm: &jsonwebtoken::Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    let pairs = PAIRS.read().unwrap_or_else(PoisonError::into_inner);
    let name = Name::try_from(key.as_bytes()).map_err(|_| ErrorKind::InvalidKeyFormat)?;
    let pair = pairs.get(&name).and_then(Weak::upgrade).ok_or(ErrorKind::InvalidKeyFormat)?;
    Ok(Box::new(RegisteredSigner { pair, algorithm: *algorithm }))
}

/// Always fails, because wxmint verifies with `PublicKey::verifies`, which takes the algorithm from the key.
fn verifier(_: &jsonwebtoken::Algorithm, _: &jsonwebtoken::DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}
