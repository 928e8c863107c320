//! The calls of WeChat's server API that wxmint makes, and WeChat's error codes with their meaning
//! for a login.

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// The path of a call, its name in metrics, and whether it uses up a code or a session key. Such a
/// call cannot be repeated once WeChat may have received it.
pub(super) type Row = (&'static str, &'static str, bool);

macro_rules! apis {
    ($($name:ident, $path:literal, $metric:literal, $spends:literal;)+) => {
        /// A call of WeChat's server API
        /// (<https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/>). The table below has
        /// its path, its name in metrics, and whether it uses up a code or a session key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Api {
            $($name,)+
        }

        impl Api {
            /// One row for each call, in the order of the variants.
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

/// The meaning of an errcode of WeChat, and how to react to it. Sources:
/// <https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html>, the
/// pages of the calls, and the lists of public SDKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// WeChat is busy: retry once after a short pause.
    Busy,
    /// The code is wrong, expired, or another app's: the mini program must get a new code (wx.login
    /// or getPhoneNumber).
    CodeInvalid,
    /// The code was used before: the mini program must get a new code.
    CodeUsed,
    /// WeChat considers this person a risk or has restricted them: refuse without a retry.
    PersonRefused,
    /// This person logs in too often: retry in a minute.
    SlowDown,
    /// The access token is wrong or expired: fetch a new one and retry once.
    BadAccessToken,
    /// The session key is no longer the current one: the mini program must log in again.
    StaleSession,
    /// A merchant has not authorized the platform, or has withdrawn the authorization.
    NotAuthorized,
    /// A merchant has authorized the platform, but not for this call.
    NotPermitted,
    /// The app's packet of paid phone numbers is used up (手机号快速验证组件).
    PhoneNumbersSpent,
    /// The refresh token of a merchant has been replaced. WeChat's list of merchants has the new
    /// one.
    StaleRefreshToken,
    /// The operator must fix the configuration at WeChat: AppID, AppSecret, IP whitelist, quota or
    /// rights.
    Misconfigured,
    /// The errcode is in no list that we know. Do not retry: WeChat has answered, so a repetition
    /// would be refused too, and may be billed. The operator must find the reason.
    Unknown,
}

/// The errcodes of each meaning; see [`Verdict`] for the sources.
const TABLE: &[(Verdict, &[i64])] = &[
    (Verdict::Busy, &[-1]),
    (Verdict::BadAccessToken, &[40001, 40014, 42001]),
    // Our own request was wrong. The operator cannot fix this, but a metric shows it.
    (
        Verdict::Misconfigured,
        &[
            40002, 40003, 40097, 40129, 40169, 41001, 41002, 41004, 41008, 41009,
        ],
    ),
    (
        Verdict::Misconfigured,
        &[43001, 43002, 43003, 44002, 47001, 87008],
    ),
    (
        Verdict::Misconfigured,
        &[
            40013, 40125, 40164, 40243, 41030, 45009, 48001, 48004, 89501, 89503, 89506, 89507,
        ],
    ),
    // The app's owner has switched on API 安全, so WeChat requires signed and encrypted calls.
    (
        Verdict::Misconfigured,
        &[
            40230, 40231, 40232, 40233, 40234, 40235, 40236, 40237, 40238, 40239, 40240,
        ],
    ),
    (Verdict::CodeInvalid, &[40029, 41029]),
    (Verdict::CodeUsed, &[40163]),
    (Verdict::PersonRefused, &[40226, 50002]),
    (Verdict::SlowDown, &[45011]),
    (Verdict::StaleSession, &[87007, 87009]),
    (Verdict::NotAuthorized, &[61003]),
    (Verdict::NotPermitted, &[61007]),
    (Verdict::PhoneNumbersSpent, &[1400001]),
    (Verdict::StaleRefreshToken, &[61023]),
    // Errors of a platform: its IP address is not on the list, its ticket is old or wrong, or a
    // code was used before.
    (
        Verdict::Misconfigured,
        &[61004, 61005, 61006, 61009, 61010, 61011],
    ),
];

impl Verdict {
    /// The meaning of an `errcode` other than 0 in a response of `api`.
    pub fn of(api: Api, errcode: i64) -> Self {
        use Api::{Code2Session, ComponentCode2Session, ComponentOauth2, ComponentToken, Oauth2};
        use Api::{PhoneNumber, StableToken, StartPushTicket};
        let known = TABLE
            .iter()
            .find(|(_, errcodes)| errcodes.contains(&errcode));
        let verdict = match (api, errcode) {
            // The AppSecret is wrong. It authenticates these calls.
            (Code2Session | StableToken | ComponentToken | StartPushTicket | Oauth2, 40001) => {
                Self::Misconfigured
            }
            // WeChat's older pages have this errcode for an expired code of OAuth2.
            (Oauth2 | ComponentOauth2, 42003) => Self::CodeInvalid,
            // The access token was just accepted and the openid is WeChat's own, so the code must
            // belong to another app or another person.
            (PhoneNumber, 40003 | 40013) => Self::CodeInvalid,
            _ => known.map_or(Self::Unknown, |&(verdict, _)| verdict),
        };
        let sends_a_code = matches!(
            api,
            Code2Session | PhoneNumber | Oauth2 | ComponentCode2Session | ComponentOauth2
        );
        match verdict {
            // The errcode is about a person's code, but this call sends none.
            Self::CodeInvalid | Self::CodeUsed if !sends_a_code => Self::Unknown,
            verdict => verdict,
        }
    }
}

/// The label under which an `errcode` is counted. Unknown codes count as `other`, so that the
/// labels are bounded.
pub(super) fn label(errcode: i64) -> String {
    let is_known = TABLE
        .iter()
        .any(|(_, errcodes)| errcodes.contains(&errcode));
    if is_known {
        errcode.to_string()
    } else {
        "other".into()
    }
}

/// Reads a number that WeChat sends either as a number or as a string.
pub(super) fn number_or_quoted<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<i64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    number.ok_or_else(|| D::Error::custom("not a number"))
}
