//! The bearer token of a request (RFC 6750), for any HTTP server.

/// Why no token can be read from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoBearer {
    /// There is no `Authorization` header, it has another scheme, or the token is empty: the client
    /// did not try to authenticate.
    #[error("there is no bearer token")]
    None,
    /// There are several `Authorization` headers, so it is unclear which one counts.
    #[error("there are several Authorization headers")]
    Several,
    /// The text after `Bearer` is not one token.
    #[error("the Authorization header is not `Bearer`, a space and one token")]
    Malformed,
}

/// Reads the token of `Authorization: Bearer …` (RFC 6750 section 2.1). `values` are the values of
/// all `Authorization` headers of the request; exactly one is allowed. A token in the query or the
/// body is ignored, because it would end up in logs (section 2.3).
pub fn bearer<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, NoBearer> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (None, _) => Err(NoBearer::None),
        (Some(value), None) => token_of(value),
        (Some(_), Some(_)) => Err(NoBearer::Several),
    }
}

fn token_of(value: &[u8]) -> Result<&str, NoBearer> {
    let printable = value
        .iter()
        .all(|byte| *byte == b'\t' || (b' '..=b'~').contains(byte));
    let text = str::from_utf8(value)
        .ok()
        .filter(|_| printable)
        .ok_or(NoBearer::Malformed)?
        .trim();
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let token = token.trim_start();
    // wx.getStorageSync returns "" if no token was ever stored. Such a client has to log in, so
    // this counts as no token.
    if !scheme.eq_ignore_ascii_case("Bearer") || token.is_empty() {
        return Err(NoBearer::None);
    }
    if token.bytes().all(is_token_byte) {
        Ok(token)
    } else {
        Err(NoBearer::Malformed)
    }
}

/// A character of `b64token` (RFC 6750 section 2.1). Space and comma are excluded because a proxy
/// may join two credentials with them.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}
