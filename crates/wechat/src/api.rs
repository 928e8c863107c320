//! The calls of WeChat's server API that wxmint makes.

/// The path of a call, its name in metrics, and whether it uses up a code or a session key: then it cannot be repeated
/// once WeChat may have received it.
pub(super) type Row = (&'static str, &'static str, bool);

macro_rules! apis {
    ($($name:ident, $path:literal, $metric:literal, $spends:literal;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Api {
            $($name,)+
        }

        impl Api {
            /// In the order of their declaration.
            pub(super) const ROWS: [Row; [$($path),+].len()] = [$(($path, $metric, $spends)),+];
        }
    };
}

apis! {
    Code2Session, "/sns/jscode2session", "code2session", true;
    StableToken, "/cgi-bin/stable_token", "stable_token", false;
    PhoneNumber, "/wxa/business/getuserphonenumber", "getuserphonenumber", true;
    CheckSession, "/wxa/checksession", "checksession", false;
    ResetSessionKey, "/wxa/resetusersessionkey", "resetusersessionkey", true;
    EncryptKeys, "/wxa/business/getuserencryptkey", "getuserencryptkey", false;
    MiniProgramCode, "/wxa/getwxacodeunlimit", "getwxacodeunlimit", false;
    Oauth2, "/sns/oauth2/access_token", "oauth2", true;
    UserInfo, "/sns/userinfo", "userinfo", false;
    ComponentToken, "/cgi-bin/component/api_component_token", "component_token", false;
    StartPushTicket, "/cgi-bin/component/api_start_push_ticket", "start_push_ticket", false;
    ComponentCode2Session, "/sns/component/jscode2session", "component_code2session", true;
    ComponentOauth2, "/sns/oauth2/component/access_token", "component_oauth2", true;
    QueryAuth, "/cgi-bin/component/api_query_auth", "query_auth", true;
    AuthorizerList, "/cgi-bin/component/api_get_authorizer_list", "authorizer_list", false;
    AuthorizerInfo, "/cgi-bin/component/api_get_authorizer_info", "authorizer_info", false;
    AuthorizerToken, "/cgi-bin/component/api_authorizer_token", "authorizer_token", false;
}
