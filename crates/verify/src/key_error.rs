//! Errors of public and private keys.

/// Why a key or a set of keys cannot be used. The error never contains a private member of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not JSON, or the JSON is not a JWK Set.
    #[error("not a JWK Set (`{{\"keys\":[…]}}`): {0}")]
    Syntax(String),
    /// The set has no key.
    #[error("the set has no key; make one with `wxmint keys generate --replace`")]
    Empty,
    /// The key lacks a member that its type requires.
    #[error("key {key}: the member `{member}` is missing")]
    Missing {
        /// The key's position in the set, counted from 1, and its `kid`.
        key: String,
        /// The name of the missing member.
        member: &'static str,
    },
    /// The key's members contradict each other, or keys of its kind are not supported.
    #[error("key {key}: {reason}")]
    Unusable {
        /// The key's position in the set, counted from 1, and its `kid`.
        key: String,
        /// The fault of the key.
        reason: String,
    },
    /// Two keys have the same `kid` or the same `nbf`, so it is unclear which one is meant.
    #[error("keys {first} and {second} have the same `{member}`")]
    Ambiguous {
        /// The position and the `kid` of one of the two keys.
        first: String,
        /// The position and the `kid` of the other key.
        second: String,
        /// The member that is the same: `kid` or `nbf`.
        member: &'static str,
    },
    /// The `nbf` of every key lies in the future.
    #[error("no key may sign yet: the earliest `nbf` is {earliest}")]
    NoneSigning {
        /// When the first key may sign, in the format of RFC 3339.
        earliest: String,
    },
    /// The issuer has revoked the key, so verifiers refuse all tokens that it signs.
    #[error("the key that signs is revoked: see `wxmint doctor`")]
    Revoked,
    /// The cryptographic library failed without giving a reason.
    #[error("the cryptographic library could not {0}")]
    Crypto(&'static str),
}
