//! The one bearer token of a request (RFC 6750), whatever the server that received it.

/// Why a request has no one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoBearer {
    /// No `Authorization`, another scheme, or a token of no characters: nobody tried.
    #[error("there is no bearer token")]
    None,
    /// Several `Authorization` headers: nobody could say which is meant.
    #[error("there are several Authorization headers")]
    Several,
    /// `Bearer`, and then something that is not one token.
    #[error("the Authorization header is not `Bearer`, a space, and one token")]
    Malformed,
}

/// The token of `Authorization: Bearer …` (RFC 6750 section 2.1), of which there may be one. `values` are all that the
/// request's `Authorization` headers hold. A token in a query or a body is none (section 2.3: it ends up in logs).
pub fn bearer<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, NoBearer> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (None, _) => Err(NoBearer::None),
        (Some(value), None) => token_of(value),
        (Some(_), Some(_)) => Err(NoBearer::Several),
    }
}

fn token_of(value: &[u8]) -> Result<&str, NoBearer> {
    let printable = value.iter().all(|byte| *byte == b'\t' || (b' '..=b'~').contains(byte));
    let text = str::from_utf8(value).ok().filter(|_| printable).ok_or(NoBearer::Malformed)?.trim();
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let token = token.trim_start();
    // wx.getStorageSync returns "" for a token that was never stored: then there is none, and to log in is what helps.
    if !scheme.eq_ignore_ascii_case("Bearer") || token.is_empty() {
        return Err(NoBearer::None);
    }
    if token.bytes().all(is_token_byte) { Ok(token) } else { Err(NoBearer::Malformed) }
}

/// `b64token` of RFC 6750 section 2.1. No space and no comma, by which a proxy would join two credentials.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}
