//! The calls of WeChat's server API that wxmint makes.

/// The path of a call, its name in metrics, and whether it uses up a code or a session key: then it cannot be repeated
/// once WeChat may have received it.
pub(super) type Row = (&'static str, &'static str, bool);

/// Declares the calls.
macro_rules! apis {
    ($($(#[$doc:meta])* $name:ident, $path:literal, $metric:literal, $spends:literal;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Api {
            $($(#[$doc])* $name,)+
        }

        impl Api {
            /// In the order of their declaration.
            pub(super) const ROWS: [Row; [$($path),+].len()] = [$(($path, $metric, $spends)),+];
        }
    };
}

apis! {
    /// Exchanges a login code.
    Code2Session, "/sns/jscode2session", "code2session", true;
    /// Fetches the app's access token.
    StableToken, "/cgi-bin/stable_token", "stable_token", false;
    /// Exchanges a phone code.
    PhoneNumber, "/wxa/business/getuserphonenumber", "getuserphonenumber", true;
    /// Tells whether a session key is the current one.
    CheckSession, "/wxa/checksession", "checksession", false;
    /// Replaces a session key.
    ResetSessionKey, "/wxa/resetusersessionkey", "resetusersessionkey", true;
    /// Gives the keys for `wx.getUserCryptoManager`.
    EncryptKeys, "/wxa/business/getuserencryptkey", "getuserencryptkey", false;
    /// Draws a mini-program code.
    MiniProgramCode, "/wxa/getwxacodeunlimit", "getwxacodeunlimit", false;
    /// Exchanges the code of OAuth2.
    Oauth2, "/sns/oauth2/access_token", "oauth2", true;
    /// Tells the unionid of whoever has granted it by OAuth2.
    UserInfo, "/sns/userinfo", "userinfo", false;
    /// Fetches a third-party platform's own token.
    ComponentToken, "/cgi-bin/component/api_component_token", "component_token", false;
    /// Has the platform's ticket pushed anew.
    StartPushTicket, "/cgi-bin/component/api_start_push_ticket", "start_push_ticket", false;
    /// Exchanges the login code of a merchant's mini program.
    ComponentCode2Session, "/sns/component/jscode2session", "component_code2session", true;
    /// Exchanges the OAuth2 code of a merchant's official account.
    ComponentOauth2, "/sns/oauth2/component/access_token", "component_oauth2", true;
    /// Tells which merchant an authorization code is of.
    QueryAuth, "/cgi-bin/component/api_query_auth", "query_auth", true;
    /// Lists the merchants.
    AuthorizerList, "/cgi-bin/component/api_get_authorizer_list", "authorizer_list", false;
    /// Tells what a merchant is.
    AuthorizerInfo, "/cgi-bin/component/api_get_authorizer_info", "authorizer_info", false;
    /// Fetches a merchant's access token.
    AuthorizerToken, "/cgi-bin/component/api_authorizer_token", "authorizer_token", false;
}

impl Api {
    /// Whether an errcode may be about a code that a person's phone or page has sent.
    pub(super) fn sends_a_persons_code(self) -> bool {
        use Api::{Code2Session, ComponentCode2Session, ComponentOauth2, Oauth2, PhoneNumber};
        matches!(self, Code2Session | PhoneNumber | Oauth2 | ComponentCode2Session | ComponentOauth2)
    }
}
