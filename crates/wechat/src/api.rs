//! The calls of WeChat's server API that wxmint makes.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Exchanges a login code.
    Code2Session,
    /// Fetches the app's access token.
    StableToken,
    /// Exchanges a phone code.
    PhoneNumber,
    /// Tells whether a session key is the current one.
    CheckSession,
    /// Replaces a session key.
    ResetSessionKey,
    /// Gives the keys for `wx.getUserCryptoManager`.
    EncryptKeys,
    /// Draws a mini-program code.
    MiniProgramCode,
    /// Exchanges the code of OAuth2.
    Oauth2,
    /// Tells the unionid of whoever has granted it by OAuth2.
    UserInfo,
    /// Fetches a third-party platform's own token.
    ComponentToken,
    /// Has the platform's ticket pushed anew.
    StartPushTicket,
    /// Exchanges the login code of a merchant's mini program.
    ComponentCode2Session,
    /// Exchanges the OAuth2 code of a merchant's official account.
    ComponentOauth2,
    /// Tells which merchant an authorization code is of.
    QueryAuth,
    /// Lists the merchants.
    AuthorizerList,
    /// Tells what a merchant is.
    AuthorizerInfo,
    /// Fetches a merchant's access token.
    AuthorizerToken,
}

impl Api {
    /// In the order of their declaration.
    pub(super) const ALL: [Self; 17] = [
        Self::Code2Session,
        Self::StableToken,
        Self::PhoneNumber,
        Self::CheckSession,
        Self::ResetSessionKey,
        Self::EncryptKeys,
        Self::MiniProgramCode,
        Self::Oauth2,
        Self::UserInfo,
        Self::ComponentToken,
        Self::StartPushTicket,
        Self::ComponentCode2Session,
        Self::ComponentOauth2,
        Self::QueryAuth,
        Self::AuthorizerList,
        Self::AuthorizerInfo,
        Self::AuthorizerToken,
    ];

    /// Path, name in metrics, and whether the call uses up a code or a session key.
    fn row(self) -> (&'static str, &'static str, bool) {
        match self {
            Self::Code2Session => ("/sns/jscode2session", "code2session", true),
            Self::StableToken => ("/cgi-bin/stable_token", "stable_token", false),
            Self::PhoneNumber => ("/wxa/business/getuserphonenumber", "getuserphonenumber", true),
            Self::CheckSession => ("/wxa/checksession", "checksession", false),
            Self::ResetSessionKey => ("/wxa/resetusersessionkey", "resetusersessionkey", true),
            Self::EncryptKeys => ("/wxa/business/getuserencryptkey", "getuserencryptkey", false),
            Self::MiniProgramCode => ("/wxa/getwxacodeunlimit", "getwxacodeunlimit", false),
            Self::Oauth2 => ("/sns/oauth2/access_token", "oauth2", true),
            Self::UserInfo => ("/sns/userinfo", "userinfo", false),
            Self::ComponentToken => ("/cgi-bin/component/api_component_token", "component_token", false),
            Self::StartPushTicket => ("/cgi-bin/component/api_start_push_ticket", "start_push_ticket", false),
            Self::ComponentCode2Session => ("/sns/component/jscode2session", "component_code2session", true),
            Self::ComponentOauth2 => ("/sns/oauth2/component/access_token", "component_oauth2", true),
            Self::QueryAuth => ("/cgi-bin/component/api_query_auth", "query_auth", true),
            Self::AuthorizerList => ("/cgi-bin/component/api_get_authorizer_list", "authorizer_list", false),
            Self::AuthorizerInfo => ("/cgi-bin/component/api_get_authorizer_info", "authorizer_info", false),
            Self::AuthorizerToken => ("/cgi-bin/component/api_authorizer_token", "authorizer_token", false),
        }
    }

    pub(super) fn path(self) -> &'static str {
        self.row().0
    }

    pub(super) fn name(self) -> &'static str {
        self.row().1
    }

    /// Whether an errcode may be about a code that a person's phone or page has sent.
    pub(super) fn sends_a_persons_code(self) -> bool {
        use Api::{Code2Session, ComponentCode2Session, ComponentOauth2, Oauth2, PhoneNumber};
        matches!(self, Code2Session | PhoneNumber | Oauth2 | ComponentCode2Session | ComponentOauth2)
    }

    /// If so, the call cannot be repeated once WeChat may have received it.
    pub(super) fn spends_a_code(self) -> bool {
        self.row().2
    }
}
