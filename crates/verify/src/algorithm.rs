//! The signature algorithms that a key may have.

use std::{fmt, str::FromStr};

/// A JWS algorithm (RFC 7518 section 3.1, RFC 8037, RFC 9864). A verifier takes it from the key,
/// never from the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256. The default, because every verifier that we know supports it.
    Es256,
    /// Ed25519. The cheapest to sign with, but HAProxy and jwks-rsa do not support it.
    EdDsa,
    /// Ed25519 under the name that says the curve. RFC 9864 section 2.2 registers this name. Its
    /// section 4.1.2 deprecates `EdDSA`, because that name does not say the curve. With an Ed25519
    /// key both names mean the same signature.
    Ed25519,
    /// RSA PKCS#1 v1.5 with SHA-256 and keys of at least 2048 bits, for verifiers that support
    /// nothing else. Signing takes 17 times as long.
    Rs256,
}

impl Algorithm {
    /// All algorithms, the default first.
    pub const ALL: [Self; 4] = [Self::Es256, Self::EdDsa, Self::Ed25519, Self::Rs256];

    /// The registered name, as it stands in the `alg` of a header or a JWK.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Ed25519 => "Ed25519",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm under its fully-specified name (RFC 9864). Compare algorithms by this name:
    /// every key that we accept for `EdDSA` is an Ed25519 key.
    pub fn fully_specified(self) -> Self {
        if self == Self::EdDsa {
            Self::Ed25519
        } else {
            self
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or("must be ES256, EdDSA, Ed25519 or RS256")
    }
}
