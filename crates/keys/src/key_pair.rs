//! A parsed key pair, by algorithm.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};

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
