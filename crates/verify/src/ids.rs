//! The identifiers that come from outside. Each is parsed once, where it enters; all other code
//! trusts the type.
//!
//! The alphabets and lengths guarantee that a value can stand in a log line, a URL and a key of a
//! store without being escaped.

use std::fmt;

use serde::Serialize;

/// Why a text is not a valid identifier. The error does not repeat the text, because the text may
/// be a secret that was pasted in the wrong place.
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

/// Defines a type for texts of a maximal length and an alphabet: `identifier! { /// DOCS NAME,
/// LIMIT, "ALPHABET IN WORDS", |byte| … }`.
#[doc(hidden)]
#[macro_export]
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $limit:expr, $alphabet:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(::std::sync::Arc<str>);

        impl $name {
            /// The most bytes that an identifier may have.
            pub const MAX_LEN: usize = $limit;

            /// The identifier, unchanged.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::ids::InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let allowed: fn(u8) -> bool = $allowed;
                match text {
                    "" => Err(Self::Err::Empty),
                    text if !text.bytes().all(allowed) => Err(Self::Err::Alphabet { alphabet: $alphabet }),
                    text if text.len() > Self::MAX_LEN => Err(Self::Err::TooLong { limit: Self::MAX_LEN }),
                    text => Ok(Self(text.into())),
                }
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

const WORD: &str = "letters, digits, `_`, `-` and `.`";

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

identifier! {
    /// The app that a token was issued to, the token's `client_id`. It is the AppID of a mini
    /// program (in practice `wx` and 16 hexadecimal digits), or the id of a page that a mini
    /// program has logged in. An AppID is public.
    AppId, 64, WORD, is_word
}
printable!(AppId);

impl AppId {
    /// Whether the AppID has the form that all of WeChat's AppIDs have today. WeChat does not
    /// promise this form, so warn about another form, but do not refuse it.
    pub fn is_usual(&self) -> bool {
        let digits = self.as_str().strip_prefix("wx").unwrap_or_default();
        digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

identifier! {
    /// The business's own id of a user, which becomes the token's `sub`: 1 to 128 visible ASCII
    /// characters.
    UserId, 128, "visible ASCII characters without spaces", |byte| byte.is_ascii_graphic()
}
printable!(UserId);

identifier! {
    /// The `jti` of a token: 1 to 128 visible ASCII characters.
    TokenId, 128, "visible ASCII characters without spaces", |byte| byte.is_ascii_graphic()
}
printable!(TokenId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appid_of_an_unusual_form_is_accepted() {
        let is_usual = |text: &str| text.parse::<AppId>().expect("an AppID").is_usual();
        assert!(is_usual("wx4f4bc4dec97d474b"));
        assert!(
            ![
                "foo",
                "wx",
                "wx4f4bc4dec97d474",
                "wx4f4bc4dec97d474g",
                "xx4f4bc4dec97d474b"
            ]
            .into_iter()
            .any(is_usual)
        );
    }

    #[test]
    fn the_error_names_the_broken_rule() {
        assert_eq!("".parse::<AppId>(), Err(InvalidId::Empty));
        assert_eq!(
            "a".repeat(65).parse::<AppId>(),
            Err(InvalidId::TooLong { limit: 64 })
        );
        let bytes_are_no_characters = "微".repeat(30).parse::<AppId>();
        assert_eq!(
            bytes_are_no_characters,
            Err(InvalidId::Alphabet { alphabet: WORD })
        );
        for wrong in ["wx}{", "wx:1", "wx 1", "wx\0", "wx\u{e9}"] {
            assert_eq!(
                wrong.parse::<AppId>(),
                Err(InvalidId::Alphabet { alphabet: WORD }),
                "{wrong:?}"
            );
        }
        assert!("two words".parse::<UserId>().is_err());
        assert!(
            "0193f5b2-9c5e-7cc0-8000-000000000000"
                .parse::<UserId>()
                .is_ok()
        );
    }
}
