//! Why a token is refused.

use std::fmt;

use super::MAX_TOKEN;

/// A part of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The part before the first dot.
    Header,
    /// The part between the dots.
    Claims,
    /// The part after the second dot.
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

/// The check that a token failed. The reason is for the log: tell the client only that the token is
/// not valid. The text quotes no part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// The token is longer than [`MAX_TOKEN`].
    #[error("it is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// The token is not a JWS in its compact form.
    #[error("it does not consist of three parts")]
    NotThreeParts,
    /// The part is padded, uses another alphabet, or has leftover bits.
    #[error("its {0} is not base64url without padding")]
    NotBase64url(Part),
    /// The header or the claims are not a JSON object.
    #[error("its {0} is not a JSON object")]
    NotAnObject(Part),
    /// The header or the claims repeat a member, at any depth.
    #[error("its {0} repeats a member")]
    MemberTwice(Part),
    /// The header has a parameter that would change how the token is read, or where its key is
    /// found.
    #[error("its header has the parameter `{0}`, which is never accepted")]
    HeaderParameter(&'static str),
    /// A required header parameter or claim is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A header parameter or claim has the wrong type or is out of range.
    #[error("`{0}` has the wrong type or is out of range")]
    Malformed(&'static str),
    /// The token is another kind of signed object, or its `typ` is `JWT` and the policy does not
    /// accept that.
    #[error("its `typ` is not that of an access token")]
    Typ,
    /// The issuer has revoked the token, its user's tokens, or its key.
    #[error("it was revoked before it expired")]
    Revoked,
    /// No published key has this `kid`.
    #[error("no published key has its `kid`")]
    UnknownKey,
    /// `alg` differs from the key's algorithm.
    #[error("its `alg` is not the key's algorithm")]
    Algorithm,
    /// The key did not sign this token, or the token was changed after it was signed.
    #[error("its signature is wrong")]
    Signature,
    /// `iss` is not the expected issuer.
    #[error("its `iss` names another issuer")]
    Issuer,
    /// `sub` is not the expected subject.
    #[error("its `sub` names another subject")]
    Subject,
    /// `aud` contains none of the expected audiences.
    #[error("its `aud` names another audience")]
    Audience,
    /// `exp` and the leeway have passed.
    #[error("it has expired")]
    Expired,
    /// `nbf` lies further in the future than the leeway.
    #[error("it is not valid yet")]
    NotYetValid,
    /// `iat` lies further in the future than the leeway.
    #[error("it was issued in the future")]
    IssuedInFuture,
    /// The time from `iat` to `exp` is longer than the policy allows, or not positive.
    #[error("its life is longer than the policy allows, or not positive")]
    Life,
}
