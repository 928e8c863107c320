//! The secrets of WeChat's protocol. None of them can be printed or serialized, and all are wiped when dropped.

use std::{fmt, str::FromStr};

use zeroize::Zeroizing;

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Zeroizing<String>);

        impl $name {
            /// Takes the text into custody.
            pub fn new(text: impl Into<String>) -> Self {
                Self(Zeroizing::new(text.into()))
            }

            /// The secret itself, for the line that sends or seals it.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

secret! {
    /// The password of an app at WeChat, 32 hexadecimal digits in practice.
    AppSecret
}

secret! {
    /// `session_key` as WeChat gives it: base64 of 16 bytes. Signatures are keyed with this text, ciphers with its
    /// bytes.
    SessionKey
}

secret! {
    /// WeChat's `access_token`: stands for the app in most of the server API, for two hours at most. Not to be taken for
    /// the tokens that wxmint signs.
    AppAccessToken
}

impl FromStr for AppSecret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (16..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits { Ok(Self::new(text)) } else { Err("must be the AppSecret that WeChat shows: 32 hexadecimal digits") }
    }
}
