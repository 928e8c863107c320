//! Why a key is refused, where it is published and where it is kept.

/// Why a key or a set of keys cannot be used. Never contains a key's private part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not JSON, or not a JWK Set.
    #[error("not a JWK Set (`{{\"keys\":[…]}}`): {0}")]
    Syntax(String),
    /// A set without a key.
    #[error("the set has no key; make one with `wxmint keys generate`")]
    Empty,
    /// A member that the key's type needs is missing.
    #[error("key {key}: the member `{member}` is missing")]
    Missing {
        /// The key's place in the set, counted from 1, and its `kid`.
        key: String,
        /// The missing member's name.
        member: &'static str,
    },
    /// A key whose members do not agree with each other, or of a kind that does not sign here.
    #[error("key {key}: {reason}")]
    Unusable {
        /// The key's place in the set, counted from 1, and its `kid`.
        key: String,
        /// What does not fit.
        reason: String,
    },
    /// Two keys with one `kid` or one `nbf`, so that nobody could tell which is meant.
    #[error("keys {first} and {second} have the same `{member}`")]
    Ambiguous {
        /// One of the two, by its place in the set and its `kid`.
        first: String,
        /// The other.
        second: String,
        /// `kid` or `nbf`.
        member: &'static str,
    },
    /// No key's `nbf` has come.
    #[error("no key may sign yet: the earliest `nbf` is {earliest}")]
    NoneSigning {
        /// When the first key begins to sign, RFC 3339.
        earliest: String,
    },
    /// The cryptographic library refused without a reason.
    #[error("the cryptographic library could not {0}")]
    Crypto(&'static str),
}
