//! jsonwebtoken's cryptography, by aws-lc-rs with key pairs that are parsed once.
//!
//! jsonwebtoken parses the private key on every `encode`. Here the [`EncodingKey`] that it is given holds a `kid` in
//! place of the key, and the signer that jsonwebtoken asks for is the pair registered under it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock, Weak},
};

use jsonwebtoken::{
    EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};

use super::{Algorithm, KeyError, SigningKey, private::KeyPair};

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

/// jsonwebtoken takes one provider a process; somebody else's would not know our keys.
static INSTALLED: OnceLock<bool> = OnceLock::new();

/// Weak, so that a key that has left its set is forgotten here too.
static PAIRS: LazyLock<RwLock<HashMap<Vec<u8>, Weak<KeyPair>>>> = LazyLock::new(RwLock::default);

/// What jsonwebtoken's `encode` takes to sign with `key`, for as long as `key` lives.
pub(crate) fn encoding_key(key: &SigningKey) -> Result<EncodingKey, KeyError> {
    if !*INSTALLED.get_or_init(|| PROVIDER.install_default().is_ok()) {
        return Err(KeyError::Crypto("sign: another CryptoProvider of jsonwebtoken is installed in this process"));
    }
    let kid = key.public().kid().as_bytes();
    let mut pairs = PAIRS.write().unwrap_or_else(PoisonError::into_inner);
    pairs.retain(|_, pair| pair.strong_count() > 0);
    pairs.insert(kid.to_vec(), Arc::downgrade(key.pair()));
    Ok(match key.public().algorithm() {
        Algorithm::Es256 => EncodingKey::from_ec_der(kid),
        Algorithm::EdDsa => EncodingKey::from_ed_der(kid),
        Algorithm::Rs256 => EncodingKey::from_rsa_der(kid),
    })
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
    let pair = pairs.get(key.as_bytes()).and_then(Weak::upgrade).ok_or(ErrorKind::InvalidKeyFormat)?;
    Ok(Box::new(RegisteredSigner { pair, algorithm: *algorithm }))
}

/// wxmint verifies with `PublicKey::verifies`, which takes the algorithm from the key.
fn verifier(_: &jsonwebtoken::Algorithm, _: &jsonwebtoken::DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}
