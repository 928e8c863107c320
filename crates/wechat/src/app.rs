//! An app, and the secrets of WeChat's protocol: they cannot be printed or serialized, and are wiped when dropped.

use std::{str::FromStr, time::Duration};

use derive_more::From;
use serde::{Deserialize, Serialize};
use wxmint_ids::{AppId, unprintable};
use zeroize::Zeroizing;

use super::{CallError, Result};

/// An app of the business's at WeChat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub id: AppId,
    pub kind: AppKind,
    /// The AppSecret, which is sent to WeChat alone. `None` for a merchant's app, for which a third-party platform acts
    /// by a token of its own.
    pub secret: Option<AppSecret>,
}

impl App {
    pub fn mini_program(id: AppId, secret: AppSecret) -> Self {
        Self { id, kind: AppKind::MiniProgram, secret: Some(secret) }
    }

    /// For the calls that send it.
    pub(super) fn own_secret(&self) -> Result<&AppSecret> {
        let reason = "the app has no AppSecret: a platform acts for it";
        self.secret.as_ref().ok_or_else(|| CallError::NotSent { reason: reason.into(), retry_after: Duration::ZERO })
    }
}

/// The kind of an app at WeChat, which decides how its codes are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AppKind {
    /// 小程序
    #[default]
    MiniProgram,
    /// 公众号: its pages in WeChat
    OfficialAccount,
    /// 网站应用 of the Open Platform
    Website,
    /// 移动应用 of the Open Platform
    MobileApp,
}

impl AppKind {
    /// As its file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MiniProgram => "mini_program",
            Self::OfficialAccount => "official_account",
            Self::Website => "website",
            Self::MobileApp => "mobile_app",
        }
    }

    /// Whether WeChat gives session keys of its people. Only then has it user data and phone codes.
    pub fn has_session_keys(self) -> bool {
        self == Self::MiniProgram
    }
}

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
    #[derive(PartialEq, Eq)]
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
