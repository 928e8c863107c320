//! The names that cross wxmint's border, parsed once and trusted from there on.
//!
//! The limits are wider than the forms WeChat uses today (`wechat` lists them), because those are observed and not
//! promised. What they must hold is that a value can stand in a Redis key, a log line and a URL and mean one thing.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// Why a text is not the identifier it should be. The text itself is not repeated: it may be a secret in the wrong
/// place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// More than the type's limit of bytes.
    #[error("must be at most {limit} characters")]
    TooLong {
        /// The longest form accepted, in bytes.
        limit: usize,
    },
    /// A character outside the type's alphabet.
    #[error("must consist of {alphabet}")]
    Alphabet {
        /// The characters accepted, in words.
        alphabet: &'static str,
    },
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $limit:expr, $alphabet:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// The longest accepted form, in bytes.
            pub const MAX_LEN: usize = $limit;

            /// The identifier as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let allowed: fn(u8) -> bool = $allowed;
                if text.is_empty() {
                    return Err(InvalidId::Empty);
                }
                if text.len() > Self::MAX_LEN {
                    return Err(InvalidId::TooLong { limit: Self::MAX_LEN });
                }
                if !text.bytes().all(allowed) {
                    return Err(InvalidId::Alphabet { alphabet: $alphabet });
                }
                Ok(Self(text.into()))
            }
        }
    };
}

macro_rules! printable {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

/// Identifiers of a person at WeChat, and codes that stand for one, are kept out of logs by their `Debug`.
macro_rules! unprintable {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

const WORD: &str = "letters, digits, `_` and `-`";

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

identifier! {
    /// One mini program, `wx` and 16 hexadecimal digits in practice. Public.
    AppId, 64, WORD, is_word
}
printable!(AppId);

impl AppId {
    /// Whether it looks as WeChat's AppIDs do today. WeChat does not promise the form, so that another one is a reason to
    /// warn and not to refuse.
    pub fn is_usual(&self) -> bool {
        let digits = self.as_str().strip_prefix("wx").unwrap_or_default();
        digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

identifier! {
    /// The one-time code of `wx.login`: 32 alphanumerics in practice, 5 minutes, one use. Spaces are allowed since
    /// developer tools without an AppID send `the code is a mock one`, which WeChat is to judge and not we.
    LoginCode, 256, "visible ASCII characters", |byte| (b' '..=b'~').contains(&byte)
}
unprintable!(LoginCode);

identifier! {
    /// The one-time code of the button `open-type="getPhoneNumber"`: 5 minutes, one use, and not wx.login's.
    PhoneCode, 256, "visible ASCII characters", |byte| (b' '..=b'~').contains(&byte)
}
unprintable!(PhoneCode);

identifier! {
    /// One person in one app, 28 characters in practice. Comes from WeChat's answer alone; never in a token or log.
    OpenId, 128, WORD, is_word
}
unprintable!(OpenId);

identifier! {
    /// One person in all apps of one owner. As private as [`OpenId`].
    UnionId, 128, WORD, is_word
}
unprintable!(UnionId);

identifier! {
    /// The business's own name for a person: the token's `sub`, 1 to 128 visible ASCII characters.
    UserId, 128, "visible ASCII characters without spaces", |byte| byte.is_ascii_graphic()
}
printable!(UserId);

identifier! {
    /// A token's `jti`.
    TokenId, 128, "visible ASCII characters without spaces", |byte| byte.is_ascii_graphic()
}
printable!(TokenId);

/// One person in one app: what all of this person's data is kept under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Person {
    /// The app.
    pub app: AppId,
    /// The person in it, as WeChat said.
    pub openid: OpenId,
}

/// A phone number that WeChat has verified. Never in a token or log.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone {
    /// With the country code where it is a foreign one.
    pub number: String,
    /// Without it.
    pub pure_number: String,
    /// `86`
    pub country_code: String,
}
unprintable!(Phone);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wechat_sends_today_is_accepted() {
        assert!("wx4f4bc4dec97d474b".parse::<AppId>().is_ok());
        assert!("the code is a mock one".parse::<LoginCode>().is_ok());
        assert!("oGZUI0egBJY1zhBYw2KhdUfwVJJE".parse::<OpenId>().is_ok());
        assert!("0193f5b2-9c5e-7cc0-8000-000000000000".parse::<UserId>().is_ok());
    }

    #[test]
    fn an_appid_of_another_form_is_accepted_and_not_usual() {
        let is_usual = |text: &str| text.parse::<AppId>().expect("an AppID").is_usual();
        assert!(is_usual("wx4f4bc4dec97d474b"));
        assert!(
            !["foo", "wx", "wx4f4bc4dec97d474", "wx4f4bc4dec97d474g", "xx4f4bc4dec97d474b"].into_iter().any(is_usual)
        );
    }

    #[test]
    fn each_limit_is_named() {
        assert_eq!("".parse::<AppId>(), Err(InvalidId::Empty));
        assert_eq!("a".repeat(65).parse::<AppId>(), Err(InvalidId::TooLong { limit: 64 }));
        for wrong in ["wx}{", "wx:1", "wx 1", "wx\0", "wx\u{e9}"] {
            assert_eq!(wrong.parse::<AppId>(), Err(InvalidId::Alphabet { alphabet: WORD }), "{wrong:?}");
        }
        assert!("two words".parse::<UserId>().is_err());
        assert!("line\nbreak".parse::<LoginCode>().is_err());
    }

    #[test]
    fn a_code_and_a_persons_ids_do_not_print() {
        let code: LoginCode = "0a1b2c".parse().expect("a code");
        let openid: OpenId = "oGZUI0egBJY1zhBYw2KhdUfwVJJE".parse().expect("an openid");
        assert_eq!(format!("{code:?} {openid:?}"), "LoginCode(…) OpenId(…)");
    }
}
