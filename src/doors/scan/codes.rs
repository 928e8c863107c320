//! The two codes of a page that waits for a phone (RFC 8628).

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use derive_more::Display;
use wxmint_ids::unprintable;
use wxmint_keys::random;

/// The letters of user codes (RFC 8628 section 6.1). There are no vowels, so that no code is a
/// word, and no characters that people confuse.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The user code: eight letters that the phone sends. The code gives access to the request, so
/// `Debug` hides it. `Display` is for a Redis key and for the `scene` of a mini-program code.
#[derive(Clone, PartialEq, Eq, Display)]
pub(in crate::doors) struct UserCode(String);

/// The device code: 256 random bits with which the page asks for its token. The first eight bytes
/// determine the user code, under which the request is stored. The user code reveals 35 of the bits
/// and leaves 221 unknown.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::doors) struct DeviceCode(UserCode, String);

unprintable!(UserCode);
unprintable!(DeviceCode);

impl FromStr for UserCode {
    type Err = ();

    /// Ignores case, blanks and hyphens.
    fn from_str(text: &str) -> Result<Self, ()> {
        let code = text.replace([' ', '-'], "").to_ascii_uppercase();
        let fits = code.len() == 8 && code.bytes().all(|letter| LETTERS.contains(&letter));
        if fits { Ok(Self(code)) } else { Err(()) }
    }
}

impl UserCode {
    /// As a person reads it: `WDJB-MJHT`.
    pub(in crate::doors) fn shown(&self) -> String {
        [&self.0[..4], "-", &self.0[4..]].concat()
    }

    /// The user code of a device code. The letters are nearly equally likely: 256 is 12 times 20,
    /// and 16.
    fn of(secret: &[u8; 32]) -> Self {
        Self(
            secret[..8]
                .iter()
                .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
                .collect(),
        )
    }
}

impl DeviceCode {
    pub(super) fn random() -> Self {
        let secret = random();
        Self(UserCode::of(&secret), URL_SAFE_NO_PAD.encode(*secret))
    }

    /// The code under which the request is stored.
    pub(in crate::doors) fn user_code(&self) -> &UserCode {
        &self.0
    }

    pub(in crate::doors) fn expose(&self) -> &str {
        &self.1
    }
}

impl FromStr for DeviceCode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let secret = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(())?;
        Ok(Self(UserCode::of(&secret), text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_code_is_read_without_regard_to_case_blanks_and_hyphens() {
        let code: UserCode = "WDJBMJHT".parse().expect("a code");
        for written in ["WDJB-MJHT", "wdjb mjht", " w-d-j-b-m-j-h-t "] {
            assert_eq!(written.parse(), Ok(code.clone()), "{written}");
        }
        assert_eq!(
            (code.shown().as_str(), format!("{code:?}").as_str()),
            ("WDJB-MJHT", "UserCode(…)")
        );
        for wrong in [
            "",
            "WDJBMJH",
            "WDJBMJHTW",
            "WDJBMJHA",
            "WDJBMJH1",
            "WDJB_MJHT",
            "ＷDJBMJHT",
        ] {
            assert_eq!(wrong.parse::<UserCode>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_device_code_names_its_request_and_does_not_follow_from_the_user_code() {
        for _ in 0..100 {
            let code = DeviceCode::random();
            assert_eq!(code.expose().len(), 43);
            let read: DeviceCode = code.expose().parse().expect("a device code");
            assert!(read == code && read.user_code() == code.user_code());
        }
        let codes: std::collections::HashSet<_> = (0..1000)
            .map(|_| DeviceCode::random().user_code().to_string())
            .collect();
        assert_eq!(codes.len(), 1000);
        for wrong in [
            "",
            "WDJBMJHT",
            &"A".repeat(42),
            &"A".repeat(44),
            &"+".repeat(43),
        ] {
            assert!(wrong.parse::<DeviceCode>().is_err(), "{wrong}");
        }
    }
}
