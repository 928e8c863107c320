//! The secrets of WeChat's protocol. They cannot be printed or serialized, and are wiped when dropped.

use std::str::FromStr;

use derive_more::From;
use wxmint_ids::unprintable;
use zeroize::Zeroizing;

macro_rules! secrets {
    ($($(#[$doc:meta])* $name:ident;)+) => { $(
        $(#[$doc])*
        #[derive(Clone, From)]
        pub struct $name(Zeroizing<String>);

        impl $name {
            pub fn new(text: impl Into<String>) -> Self {
                Self(Zeroizing::new(text.into()))
            }

            /// The secret itself, for the line that sends or seals it.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        unprintable!($name);
    )+ };
}

secrets! {
    /// The AppSecret, which authenticates an app to WeChat: in practice 32 hexadecimal digits.
    AppSecret;
    /// WeChat's `session_key`, base64 of 16 bytes. Signatures use this text as their key, ciphers the bytes.
    SessionKey;
    /// WeChat's `access_token`, which authenticates the app in most of the server API for at most two hours. It has
    /// nothing to do with the tokens that wxmint signs.
    AppAccessToken;
    /// The `access_token` of OAuth2, with which WeChat tells about one person. It is dropped at once.
    PersonAccessToken;
    /// `component_verify_ticket`, which WeChat pushes every ten minutes: with it a platform gets its token.
    ComponentTicket;
    /// With which a platform asks who has authorised it. Good for one use.
    AuthorizationCode;
    /// `authorizer_refresh_token`, with which a platform gets a merchant's access token, while the merchant stays.
    RefreshToken;
}

impl FromStr for AppSecret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (16..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits { Ok(Self::new(text)) } else { Err("must be the AppSecret that WeChat shows: 32 hexadecimal digits") }
    }
}
