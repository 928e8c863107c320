//! A request to WeChat: its endpoint and its parameters.

use actix_web::http::Method;
use actix_web::web::{self, Bytes};
use chrono::{DateTime, Utc};

use super::alipay;
use super::world::World;

/// Declares the endpoints: name, path at `api.weixin.qq.com`, and the method of [`World`] that
/// answers. The endpoints of other platforms have the platform's name before their path.
macro_rules! endpoints {
    ($($name:ident $path:literal $answer:ident,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Endpoint {
            $($name,)*
        }

        impl Endpoint {
            pub(super) const ALL: [Self; [$($path),*].len()] = [$(Self::$name),*];

            pub(super) const fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)*
                }
            }

            /// The body of the answer.
            pub(super) fn body(self, world: &World, call: &Call<'_>) -> Result<Bytes, Refusal> {
                match self {
                    $(Self::$name => world.$answer(call).map(Bytes::from),)*
                }
            }
        }
    };
}

endpoints! {
    Code2Session "/sns/jscode2session" code2session,
    StableToken "/cgi-bin/stable_token" stable_token,
    CheckSession "/wxa/checksession" check_session,
    ResetSessionKey "/wxa/resetusersessionkey" reset_session_key,
    PhoneNumber "/wxa/business/getuserphonenumber" user_phone_number,
    EncryptKeys "/wxa/business/getuserencryptkey" encrypt_keys,
    MiniProgramCode "/wxa/getwxacodeunlimit" mini_program_code,
    UserBalance "/xpay/query_user_balance" user_balance,
    Oauth2 "/sns/oauth2/access_token" oauth2,
    UserInfo "/sns/userinfo" user_info,
    ComponentToken "/cgi-bin/component/api_component_token" component_token,
    StartPushTicket "/cgi-bin/component/api_start_push_ticket" start_push_ticket,
    PreAuthCode "/cgi-bin/component/api_create_preauthcode" pre_auth_code,
    QueryAuth "/cgi-bin/component/api_query_auth" query_auth,
    AuthorizerToken "/cgi-bin/component/api_authorizer_token" authorizer_token,
    AuthorizerList "/cgi-bin/component/api_get_authorizer_list" authorizer_list,
    AuthorizerInfo "/cgi-bin/component/api_get_authorizer_info" authorizer_info,
    ComponentCode2Session "/sns/component/jscode2session" component_code2session,
    ComponentOauth2 "/sns/oauth2/component/access_token" component_oauth2,
    Douyin "/_douyin/api/apps/v2/jscode2session" other_platform,
    DouyinGame "/_douyin/mgplatform/api/apps/jscode2session" other_platform,
    Qq "/_qq/sns/jscode2session" other_platform,
    Kuaishou "/_kuaishou/oauth2/mp/code2session" other_platform,
    Bilibili "/_bilibili/api/sns/jscode2session" other_platform,
    Huawei "/_huawei/oauth2/v3/token" other_platform,
    Alipay "/_alipay/gateway.do" alipay,
}

impl Endpoint {
    fn is_sns(self) -> bool {
        self.path().starts_with("/sns/")
    }

    /// The media type of JSON answers, in WeChat's spelling.
    pub(super) fn content_type(self) -> &'static str {
        if self.is_sns() {
            "text/plain"
        } else if self == Self::Alipay {
            alipay::CONTENT_TYPE
        } else if self.is_of_other_platform() {
            "application/json"
        } else {
            "application/json; encoding=utf-8"
        }
    }

    pub(super) fn method(self) -> Method {
        match self {
            Self::CheckSession | Self::ResetSessionKey => Method::GET,
            _ if self.is_sns() || self.is_asked_by_query() => Method::GET,
            _ => Method::POST,
        }
    }

    /// The text between an error's message and its `rid`.
    pub(super) fn rid_separator(self) -> &'static str {
        if self.is_sns() { ", rid: " } else { " rid: " }
    }
}

/// The parameters of a query string, percent-decoded, in the order given.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn parse(query: &str) -> Self {
        Self(
            web::Query::from_query(query)
                .map(web::Query::into_inner)
                .unwrap_or_default(),
        )
    }

    /// The parameters of a form, which has the encoding of a query.
    pub(super) fn of_form(body: &[u8]) -> Self {
        Self::parse(str::from_utf8(body).unwrap_or_default())
    }

    /// The first value with that name, unless it is empty.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(given, _)| given == name)?;
        (!value.is_empty()).then_some(value)
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }
}

pub(super) struct Call<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) method: &'a Method,
    pub(super) params: &'a Params,
    /// The media type of the body, without its parameters.
    pub(super) content_type: Option<&'a str>,
    pub(super) body: &'a [u8],
    pub(super) now: DateTime<Utc>,
}

impl<'a> Call<'a> {
    /// The code in the parameter `name`, which the call exchanges.
    pub(super) fn code(&self, name: &str) -> Result<&'a str, Refusal> {
        let code = self.params.first(name).ok_or(Refusal(41008))?;
        let is_exchange = self.params.first("grant_type") == Some("authorization_code");
        if is_exchange {
            Ok(code)
        } else {
            Err(Refusal(40002))
        }
    }
}

/// An answer of WeChat with status 200.
pub(super) struct Answer {
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(endpoint: Endpoint, body: String) -> Self {
        Self {
            content_type: endpoint.content_type(),
            body: body.into(),
        }
    }
}

/// A refusal with this errcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) i32);

/// JSON as WeChat writes it: control characters in texts that people have written are not escaped.
pub(super) fn with_raw_controls(json: &str) -> String {
    let (mut raw, mut rest) = (String::new(), json);
    while let Some((before, escape)) = rest.split_once('\\') {
        raw.push_str(before);
        let (control, length) = match escape.as_bytes() {
            [b'u', b'0', b'0', high, low, ..] => {
                let code = str::from_utf8(&[*high, *low])
                    .ok()
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                (code.filter(|code| *code < b' '), 5)
            }
            [b'n', ..] => (Some(b'\n'), 1),
            [b'r', ..] => (Some(b'\r'), 1),
            [b't', ..] => (Some(b'\t'), 1),
            _ => (None, 0),
        };
        // Another escape, and the character that it escapes.
        let first = escape.chars().next().map_or(0, char::len_utf8);
        match control {
            Some(control) => raw.push(char::from(control)),
            None => raw.extend(["\\", &escape[..first]]),
        }
        rest = &escape[if control.is_some() { length } else { first }..];
    }
    raw + rest
}
