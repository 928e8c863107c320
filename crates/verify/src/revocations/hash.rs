//! The hash by which the revocation feed names a user, a user in an app, or a token.

use std::{borrow::Cow, fmt};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::ids::{AppId, TokenId, UserId};

/// The first 12 bytes of SHA-256(`iss` NUL value). In JSON it is base64url without padding, 16
/// characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationHash([u8; 12]);

impl RevocationHash {
    /// The hash of `value`, an id that `issuer` has given.
    pub fn of(issuer: &str, value: &str) -> Self {
        Self::of_parts(&[issuer, value])
    }

    /// Names all tokens of a user, by the hash of `sub`.
    pub fn of_user(issuer: &str, user: &UserId) -> Self {
        Self::of(issuer, user.as_str())
    }

    /// Names a user's tokens of one app, by the hash of `sub` NUL AppID.
    pub fn of_user_in_app(issuer: &str, user: &UserId, app: &AppId) -> Self {
        Self::of_parts(&[issuer, user.as_str(), app.as_str()])
    }

    /// Names one token, by the hash of `jti`.
    pub fn of_token(issuer: &str, token: &TokenId) -> Self {
        Self::of(issuer, token.as_str())
    }

    /// The first 32 bits, by which hashes are ordered.
    pub(super) fn leading(&self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }

    /// The last 16 bits, which are independent of the order.
    pub(super) fn part(&self) -> usize {
        usize::from(u16::from_be_bytes([self.0[10], self.0[11]]))
    }

    /// Hashes the parts, separated by NUL. The result is unambiguous because no part contains NUL:
    /// `iss` is a URL, and ids are visible ASCII.
    fn of_parts(parts: &[&str]) -> Self {
        let digest = digest::digest(&digest::SHA256, parts.join("\0").as_bytes());
        let mut hash = [0; 12];
        hash.copy_from_slice(&digest.as_ref()[..12]);
        Self(hash)
    }
}

impl fmt::Display for RevocationHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for RevocationHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RevocationHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RevocationHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let Text(text) = Text::deserialize(deserializer)?;
        let mut hash = [0; 12];
        match URL_SAFE_NO_PAD.decode_slice(text.as_bytes(), &mut hash) {
            Ok(12) => Ok(Self(hash)),
            _ => Err(D::Error::custom(
                "a hash must be 16 characters of base64url",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_beginning_of_sha_256_of_issuer_nul_value() {
        let issuer = "https://login.example.com";
        let (user, app) = (
            "user-1".parse().expect("a user"),
            "wx0123456789abcdef".parse().expect("an app"),
        );
        // printf 'https://login.example.com\0user-1' |
        //     openssl sha256 -binary | head -c 12 | basenc --base64url
        assert_eq!(
            RevocationHash::of_user(issuer, &user).to_string(),
            "yDEjkCaLAH6yATyo"
        );
        // printf 'https://login.example.com\0user-1\0wx0123456789abcdef' | …
        assert_eq!(
            RevocationHash::of_user_in_app(issuer, &user, &app).to_string(),
            "Iy_oB4__XHI4MjY-"
        );
        assert_eq!(
            RevocationHash::of(issuer, "user-1\0wx0123456789abcdef"),
            RevocationHash::of_user_in_app(issuer, &user, &app)
        );
    }
}
