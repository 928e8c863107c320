//! What each of WeChat's endpoints answers: a function of the request, the world and the time.
//!
//! Every answer has HTTP status 200. The order in which parameters are missed is a guess; each message has been seen.

use std::fmt::Write;

use actix_web::{http::Method, web};
use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{
    access_tokens::Bad,
    world::{CodeRefusal, World, lock, random},
};

/// One of the endpoints that are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Code2Session,
    StableToken,
    CheckSession,
    ResetSessionKey,
    PhoneNumber,
}

impl Endpoint {
    pub(super) const ALL: [Self; 5] =
        [Self::Code2Session, Self::StableToken, Self::CheckSession, Self::ResetSessionKey, Self::PhoneNumber];

    /// Its path at `api.weixin.qq.com`.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Code2Session => "/sns/jscode2session",
            Self::StableToken => "/cgi-bin/stable_token",
            Self::CheckSession => "/wxa/checksession",
            Self::ResetSessionKey => "/wxa/resetusersessionkey",
            Self::PhoneNumber => "/wxa/business/getuserphonenumber",
        }
    }

    /// The media type of its answers, spelled as WeChat does.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Code2Session => "text/plain",
            _ => "application/json; encoding=utf-8",
        }
    }

    fn method(self) -> Method {
        match self {
            Self::StableToken | Self::PhoneNumber => Method::POST,
            _ => Method::GET,
        }
    }

    /// What stands between an error's message and its `rid`.
    fn rid_separator(self) -> &'static str {
        match self {
            Self::Code2Session => ", rid: ",
            _ => " rid: ",
        }
    }
}

/// The parameters of a query string, in the order given, percent-decoded as far as they can be.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn parse(query: &str) -> Self {
        Self(web::Query::from_query(query).map(web::Query::into_inner).unwrap_or_default())
    }

    /// The first value of that name, unless it is empty.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(given, _)| given == name)?;
        (!value.is_empty()).then_some(value)
    }

    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }
}

/// A request to WeChat.
pub(super) struct Call<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) method: &'a Method,
    pub(super) params: &'a Params,
    pub(super) body: &'a [u8],
    pub(super) now: DateTime<Utc>,
}

/// An errcode in place of what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal(i32);

impl World {
    /// The body of WeChat's answer.
    pub(super) fn answer(&self, call: &Call<'_>) -> String {
        self.outcome(call).unwrap_or_else(|Refusal(errcode)| refusal(call.endpoint, errcode, call.now))
    }

    fn outcome(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let expected = call.endpoint.method();
        if *call.method != expected {
            return Err(Refusal(if expected == Method::GET { 43001 } else { 43002 }));
        }
        match call.endpoint {
            Endpoint::Code2Session => self.code2session(call),
            Endpoint::StableToken => self.stable_token(call),
            Endpoint::CheckSession => self.check_session(call),
            Endpoint::ResetSessionKey => self.reset_session_key(call),
            Endpoint::PhoneNumber => self.user_phone_number(call),
        }
    }

    fn code2session(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let required = |name, errcode| call.params.first(name).ok_or(Refusal(errcode));
        let (appid, secret) = (required("appid", 41002)?, required("secret", 41004)?);
        let code = required("js_code", 41008)?;
        if call.params.first("grant_type") != Some("authorization_code") {
            return Err(Refusal(40002));
        }
        let app = self.authenticated(appid, secret)?;
        let session = self.exchange(code, app, call.now)?;
        let key = escaped(&session.session_key);
        let mut answer = format!(r#"{{"session_key":"{key}","openid":"{}""#, session.openid);
        if let Some(unionid) = session.unionid {
            answer += &format!(r#","unionid":"{unionid}""#);
        }
        answer.push('}');
        Ok(answer)
    }

    fn stable_token(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let members = json_object(call.body)?;
        if text(&members, "grant_type") != Some("client_credential") {
            return Err(Refusal(40002));
        }
        let appid = text(&members, "appid").ok_or(Refusal(41002))?;
        let secret = text(&members, "secret").ok_or(Refusal(41004))?;
        let app = self.authenticated(appid, secret)?;
        let force = members.get("force_refresh").and_then(Value::as_bool).unwrap_or(false);
        let issued = lock(&self.access_tokens).issue(app, force, call.now);
        let (access_token, expires_in) = issued.ok_or(Refusal(45009))?;
        Ok(format!(r#"{{"access_token":"{access_token}","expires_in":{expires_in}}}"#))
    }

    fn check_session(&self, call: &Call<'_>) -> Result<String, Refusal> {
        self.signed_session(call)?;
        Ok(json!({"errcode": 0, "errmsg": "ok"}).to_string())
    }

    fn reset_session_key(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let (openid, old) = self.signed_session(call)?;
        let key = self.renew_session_key(openid, &old).ok_or(Refusal(87009))?;
        let key = escaped(&key);
        Ok(format!(r#"{{"errcode":0,"errmsg":"ok","openid":"{openid}","session_key":"{key}"}}"#))
    }

    fn user_phone_number(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let app = self.app_of_token(call)?;
        let members = json_object(call.body)?;
        let code = text(&members, "code").ok_or(Refusal(41008))?;
        let phone = self.phone_number(code, app, text(&members, "openid"), call.now)?;
        let watermark = json!({"timestamp": call.now.timestamp(), "appid": self.apps[app].id});
        let info = json!({
            "phoneNumber": phone, "purePhoneNumber": phone, "countryCode": "86", "watermark": watermark,
        });
        Ok(json!({"errcode": 0, "errmsg": "ok", "phone_info": info}).to_string())
    }

    fn authenticated(&self, appid: &str, secret: &str) -> Result<usize, Refusal> {
        let app = self.app(appid).ok_or(Refusal(40013))?;
        if self.apps[app].secret == secret { Ok(app) } else { Err(Refusal(40125)) }
    }

    fn app_of_token(&self, call: &Call<'_>) -> Result<usize, Refusal> {
        let token = call.params.first("access_token").ok_or(Refusal(41001))?;
        lock(&self.access_tokens).app(token, call.now).map_err(|bad| match bad {
            Bad::Unknown => Refusal(40001),
            Bad::Expired => Refusal(42001),
        })
    }

    /// The openid and the session_key by which the caller has signed.
    fn signed_session<'a>(&self, call: &Call<'a>) -> Result<(&'a str, String), Refusal> {
        let app = self.app_of_token(call)?;
        let openid = call.params.first("openid").ok_or(Refusal(41009))?;
        if call.params.first("sig_method") != Some("hmac_sha256") {
            return Err(Refusal(87008));
        }
        let key = self.session_key(openid, app).ok_or(Refusal(40003))?.ok_or(Refusal(87009))?;
        if call.params.first("signature") != Some(&signature(&key)) {
            return Err(Refusal(87009));
        }
        Ok((openid, key))
    }
}

impl From<CodeRefusal> for Refusal {
    fn from(refusal: CodeRefusal) -> Self {
        Self(match refusal {
            CodeRefusal::Invalid => 40029,
            CodeRefusal::Used => 40163,
            CodeRefusal::Blocked => 40226,
            CodeRefusal::OtherPerson => 40003,
        })
    }
}

/// The body by which WeChat tells an errcode.
pub(super) fn refusal(endpoint: Endpoint, errcode: i32, now: DateTime<Utc>) -> String {
    let [a, b] = [random(), random()].map(u32::from_be_bytes);
    let rid = format!("{:08x}-{a:08x}-{b:08x}", now.timestamp());
    let separator = endpoint.rid_separator();
    format!(r#"{{"errcode":{errcode},"errmsg":"{}{separator}{rid}"}}"#, errmsg(errcode))
}

/// How WeChat's message begins.
fn errmsg(errcode: i32) -> &'static str {
    match errcode {
        -1 => "system error",
        40001 => "invalid credential, access_token is invalid or not latest",
        40002 => "invalid grant_type",
        40003 => "invalid openid",
        40013 => "invalid appid",
        40014 => "invalid access_token",
        40029 | 41029 => "invalid code",
        40125 => "invalid appsecret",
        40163 => "code been used",
        40164 => "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist",
        40226 => "code blocked",
        40243 => "invalid appsecret, appsecret is frozen",
        41001 => "access_token missing",
        41002 => "appid missing",
        41004 => "appsecret missing",
        41008 => "missing code",
        41009 => "missing openid",
        42001 => "access_token expired",
        43001 => "require GET method",
        43002 => "require POST method",
        45009 => "reach max api daily quota limit",
        45011 => "api minute-quota reach limit, must slower, retry next minute",
        47001 => "data format error",
        48001 => "api unauthorized",
        50002 => "user limited",
        87008 => "invalid sig_method",
        87009 => "invalid signature",
        _ => "error",
    }
}

fn json_object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal(47001))
}

/// A member that is a text and not empty.
fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str().filter(|value| !value.is_empty())
}

/// WeChat writes `/` as `\/`.
fn escaped(session_key: &str) -> String {
    session_key.replace('/', r"\/")
}

/// Lower-case hex of the HMAC-SHA256 of nothing, keyed with session_key's base64 text and not with its bytes.
fn signature(session_key: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session_key.as_bytes());
    let tag = hmac::sign(&key, b"");
    tag.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
