//! Which check a token failed.

use std::fmt;

use super::{MAX_TOKEN, json::Malformed};

/// One of a token's three parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Before the first dot.
    Header,
    /// Between the dots.
    Claims,
    /// After the second dot.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

/// Why a token is not believed: for the log. Whoever sent it is told that it is not valid, and nothing else. Repeats
/// nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// More than [`MAX_TOKEN`].
    #[error("it is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// Not a JWS in its compact form.
    #[error("it does not consist of three parts")]
    NotThreeParts,
    /// Padded, of another alphabet, or with bits left over.
    #[error("its {0} is not base64url without padding")]
    NotBase64url(Part),
    /// Header or claims.
    #[error("its {0} is not a JSON object")]
    NotAnObject(Part),
    /// Header or claims, at any depth.
    #[error("a member of its {0} stands twice")]
    MemberTwice(Part),
    /// A parameter that would change how the token is to be read, or where its key is to be found.
    #[error("its header has `{0}`")]
    HeaderParameter(&'static str),
    /// A header parameter or claim.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A header parameter or claim of another type, or outside its range.
    #[error("`{0}` is not what it should be")]
    Malformed(&'static str),
    /// Another signed object, or `JWT` where that is not taken.
    #[error("its `typ` is not that of an access token")]
    Typ,
    /// No key of this name, or not any more.
    #[error("no key has its `kid`")]
    UnknownKey,
    /// `alg` is not that of the key.
    #[error("its `alg` is not the key's")]
    Algorithm,
    /// Not signed by the key that it names, or changed since.
    #[error("its signature is not the key's")]
    Signature,
    /// `iss` is another.
    #[error("another issuer issued it")]
    Issuer,
    /// `aud` names none of those that were asked for.
    #[error("it is meant for another audience")]
    Audience,
    /// `exp` has passed, and the leeway.
    #[error("it has expired")]
    Expired,
    /// `nbf` has not come, nor the leeway before it.
    #[error("it is not valid yet")]
    NotYetValid,
    /// `iat` has not come, nor the leeway before it.
    #[error("it was issued in the future")]
    IssuedInFuture,
    /// From `iat` to `exp` is more than the longest life, or less than nothing.
    #[error("it lives for longer than a token may, or not at all")]
    Life,
}

impl Malformed {
    pub(super) fn in_the(self, part: Part) -> Refused {
        match self {
            Self::NotAnObject => Refused::NotAnObject(part),
            Self::MemberTwice => Refused::MemberTwice(part),
        }
    }
}
