//! The identifiers that come from outside. Each is parsed once, where it enters, and trusted from there on.
//!
//! The limits are wider than the forms that WeChat uses today, because WeChat does not promise those forms. What the
//! limits guarantee: a value can stand in a Redis key, a log line and a URL, and means one thing in each.

#![warn(missing_docs)]

use std::{fmt, str::FromStr, sync::Arc};

use serde::Serialize;

/// Why a text is not a valid identifier. The error does not repeat the text, because the text may be a secret that was
/// pasted in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than the type allows.
    #[error("must be at most {limit} characters")]
    TooLong {
        /// The most bytes that the type allows.
        limit: usize,
    },
    /// The text has a character that the type does not allow.
    #[error("must consist of {alphabet}")]
    Alphabet {
        /// The characters that the type allows, in words.
        alphabet: &'static str,
    },
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $limit:expr, $alphabet:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The most bytes that an identifier may have.
            pub const MAX_LEN: usize = $limit;

            /// The identifier, unchanged.
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

/// `Debug` hides the value, because a person's WeChat identifiers and one-time codes must not reach a log.
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
    /// The AppID of a mini program: in practice `wx` and 16 hexadecimal digits. It is public.
    AppId, 64, WORD, is_word
}
printable!(AppId);

impl AppId {
    /// Whether the AppID has the form that all of WeChat's have today. WeChat does not promise that form, so another
    /// form is a reason to warn and not to refuse.
    pub fn is_usual(&self) -> bool {
        let digits = self.as_str().strip_prefix("wx").unwrap_or_default();
        digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

identifier! {
    /// The one-time code of `wx.login`: in practice 32 letters and digits, valid for 5 minutes and for one use. Spaces
    /// are allowed because developer tools without an AppID send `the code is a mock one`, and WeChat shall be the one
    /// to refuse it.
    LoginCode, 256, "visible ASCII characters", |byte| (b' '..=b'~').contains(&byte)
}
unprintable!(LoginCode);

identifier! {
    /// The one-time code of the button `open-type="getPhoneNumber"`, valid for 5 minutes and for one use. It is not the
    /// code of wx.login.
    PhoneCode, 256, "visible ASCII characters", |byte| (b' '..=b'~').contains(&byte)
}
unprintable!(PhoneCode);

identifier! {
    /// One person in one app, in practice 28 characters. It comes from WeChat's response alone, and never stands in a
    /// token or a log.
    OpenId, 128, WORD, is_word
}
unprintable!(OpenId);

identifier! {
    /// One person in all apps of one owner. As private as [`OpenId`].
    UnionId, 128, WORD, is_word
}
unprintable!(UnionId);

identifier! {
    /// The business's own name for a person, which becomes the token's `sub`: 1 to 128 visible ASCII characters.
    UserId, 128, "visible ASCII characters without spaces", |byte| byte.is_ascii_graphic()
}
printable!(UserId);

identifier! {
    /// The `jti` of a token.
    TokenId, 128, "visible ASCII characters without spaces", |byte| byte.is_ascii_graphic()
}
printable!(TokenId);

/// One person in one app. All of a person's data is stored under this pair.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Person {
    /// The app in which the person is known by `openid`.
    pub app: AppId,
    /// The person's openid in that app.
    pub openid: OpenId,
}

/// A phone number that WeChat has verified. It never stands in a token or a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone {
    /// The number, preceded by the country code if it is a foreign number.
    pub number: String,
    /// The number without the country code.
    pub pure_number: String,
    /// The country code, such as `86`.
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
    fn an_appid_of_an_unusual_form_is_accepted() {
        let is_usual = |text: &str| text.parse::<AppId>().expect("an AppID").is_usual();
        assert!(is_usual("wx4f4bc4dec97d474b"));
        assert!(
            !["foo", "wx", "wx4f4bc4dec97d474", "wx4f4bc4dec97d474g", "xx4f4bc4dec97d474b"].into_iter().any(is_usual)
        );
    }

    #[test]
    fn the_error_names_the_broken_rule() {
        assert_eq!("".parse::<AppId>(), Err(InvalidId::Empty));
        assert_eq!("a".repeat(65).parse::<AppId>(), Err(InvalidId::TooLong { limit: 64 }));
        for wrong in ["wx}{", "wx:1", "wx 1", "wx\0", "wx\u{e9}"] {
            assert_eq!(wrong.parse::<AppId>(), Err(InvalidId::Alphabet { alphabet: WORD }), "{wrong:?}");
        }
        assert!("two words".parse::<UserId>().is_err());
        assert!("line\nbreak".parse::<LoginCode>().is_err());
    }

    #[test]
    fn codes_and_a_persons_ids_are_not_printed() {
        let code: LoginCode = "0a1b2c".parse().expect("a code");
        let openid: OpenId = "oGZUI0egBJY1zhBYw2KhdUfwVJJE".parse().expect("an openid");
        assert_eq!(format!("{code:?} {openid:?}"), "LoginCode(…) OpenId(…)");
    }
}
