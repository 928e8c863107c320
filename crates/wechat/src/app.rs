//! An app, and the secrets of its platform's protocol. The secrets cannot be printed or serialized, and
//! are wiped when dropped.

use std::{str::FromStr, time::Duration};

use derive_more::From;
use serde::{Deserialize, Serialize};
use wxmint_ids::{AppId, Platform, UnionScope, unprintable};
use zeroize::Zeroizing;

use super::{AlipayKeys, CallError, Result};

/// An app of the business at WeChat or at another platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub id: AppId,
    /// The kind, which decides how codes are exchanged.
    pub kind: AppKind,
    /// Exchanges the app's codes and fetches its access tokens.
    pub exchanger: AppExchanger,
}

/// The party that exchanges the codes of an app and fetches its access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppExchanger {
    /// WeChat, for the app's own AppSecret. It is sent only to WeChat.
    Secret(AppSecret),
    /// The third-party platform with this component AppID. The app is a merchant's, and the platform
    /// makes its calls with the platform's token.
    Component(AppId),
    /// Another platform than WeChat.
    Platform(PlatformApp),
}

/// An app at another platform than WeChat, with all that the exchange of its codes needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformApp {
    pub platform: Platform,
    /// Whether the app is a mini game, whose codes Douyin exchanges by another call.
    pub is_game: bool,
    pub credentials: PlatformCredentials,
    /// The apps with which this one shares its unionids.
    pub unions: UnionScope,
}

/// The proof by which another platform than WeChat knows the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformCredentials {
    Secret(PlatformSecret),
    Alipay(AlipayKeys),
}

impl AppExchanger {
    /// The platform that names the persons of the app.
    pub fn platform(&self) -> Platform {
        match self {
            Self::Secret(_) | Self::Component(_) => Platform::WeChat,
            Self::Platform(app) => app.platform,
        }
    }
}

impl App {
    /// The platform that names the persons of the app.
    pub fn platform(&self) -> Platform {
        self.exchanger.platform()
    }

    /// Whether a third-party platform acts for the app. No file of ours configures such an app.
    pub fn is_of_component(&self) -> bool {
        matches!(self.exchanger, AppExchanger::Component(_))
    }

    /// A mini program with its AppSecret.
    pub fn mini_program(id: AppId, secret: AppSecret) -> Self {
        Self {
            id,
            kind: AppKind::MiniProgram,
            exchanger: AppExchanger::Secret(secret),
        }
    }

    /// The AppSecret at WeChat. `None` if a third-party platform acts for the app, or if the app is of
    /// another platform than WeChat.
    pub fn secret(&self) -> Option<&AppSecret> {
        match &self.exchanger {
            AppExchanger::Secret(secret) => Some(secret),
            AppExchanger::Component(_) | AppExchanger::Platform(_) => None,
        }
    }

    /// The AppSecret, for calls that send it. Fails if the app has none at WeChat.
    pub(super) fn own_secret(&self) -> Result<&AppSecret> {
        let reason = "the app has no AppSecret at WeChat";
        self.secret().ok_or_else(|| CallError::NotSent {
            reason: reason.into(),
            retry_after: Duration::ZERO,
        })
    }
}

/// The kind of an app at WeChat, which decides how its codes are exchanged. An app of another platform
/// is a mini program.
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
    /// The name in the file of apps.
    pub fn name(self) -> &'static str {
        match self {
            Self::MiniProgram => "mini_program",
            Self::OfficialAccount => "official_account",
            Self::Website => "website",
            Self::MobileApp => "mobile_app",
        }
    }

    /// Whether WeChat gives session keys of the persons of its apps of this kind. Only such an app has
    /// user data and phone codes.
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
            /// Takes a secret without checking it.
            pub fn new(text: impl Into<String>) -> Self {
                Self(Zeroizing::new(text.into()))
            }

            /// The secret. Call this only where it is sent or sealed.
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
    /// The AppKey of virtual payment (虚拟支付), with which the business signs its orders. The
    /// console shows one for production and one for the sandbox.
    #[derive(PartialEq, Eq)]
    PaymentKey;
    /// The secret of an app at another platform than WeChat.
    #[derive(PartialEq, Eq)]
    PlatformSecret;
    /// WeChat's `session_key`, base64 of 16 bytes. Signatures use the base64 text as their key,
    /// ciphers use the bytes.
    SessionKey;
    /// WeChat's `access_token`, which authenticates the app in most of the server API for at most
    /// two hours. It is not one of the tokens that wxmint signs.
    AppAccessToken;
    /// The `access_token` of OAuth2, which reads the data of one person. It is dropped right after
    /// the call.
    PersonAccessToken;
    /// `component_verify_ticket`, which WeChat pushes every ten minutes. A platform fetches its own
    /// token with it.
    ComponentTicket;
    /// The authorization code with which a platform asks which merchant has authorized it. It is
    /// valid for one use.
    AuthorizationCode;
    /// `authorizer_refresh_token`, with which a platform fetches a merchant's access token. It is
    /// valid until the merchant withdraws the authorization.
    RefreshToken;
}

/// Whether a text can be a secret that WeChat's console shows: 16 to 128 letters and digits.
fn has_form_of_secret(text: &str) -> bool {
    (16..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl FromStr for PaymentKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if has_form_of_secret(text) {
            Ok(Self::new(text))
        } else {
            Err("must be the AppKey of virtual payment: 16 to 128 letters and digits")
        }
    }
}

impl FromStr for PlatformSecret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits =
            (8..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits {
            Ok(Self::new(text))
        } else {
            Err("must be the app's secret: 8 to 256 visible ASCII characters")
        }
    }
}

impl FromStr for AppSecret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if has_form_of_secret(text) {
            Ok(Self::new(text))
        } else {
            Err("must be the AppSecret that WeChat shows: 32 hexadecimal digits")
        }
    }
}
