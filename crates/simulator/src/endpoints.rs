//! The answers of WeChat's endpoints, as functions of the request, the world and the time.
//!
//! Every answer has HTTP status 200. The order of missing parameters is a guess; each message was observed.

use actix_web::http::Method;
use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::apps::Kind;
use super::call::{Answer, Call, Endpoint, Refusal};
use super::other_platforms::{failure, named};
use super::state::random;
use super::world::World;

const JPEG: &str = "image/jpeg";

impl World {
    pub(super) fn answer(&self, call: &Call<'_>) -> Answer {
        self.outcome(call)
            .unwrap_or_else(|Refusal(errcode)| self.refusal(call, errcode))
    }

    /// The answer with an errcode, in the form of the endpoint's platform.
    pub(super) fn refusal(&self, call: &Call<'_>, errcode: i32) -> Answer {
        if call.endpoint == Endpoint::Alipay {
            return Answer::json(call.endpoint, self.alipay_trouble(call, errcode));
        }
        refusal(call.endpoint, errcode, call.now)
    }

    fn outcome(&self, call: &Call<'_>) -> Result<Answer, Refusal> {
        let (endpoint, expected) = (call.endpoint, call.endpoint.method());
        // Alipay answers another method by a word, which only its own function knows.
        if *call.method != expected && endpoint != Endpoint::Alipay {
            if let Some(refusal) = endpoint.wrong_method() {
                return Err(refusal);
            }
            return Err(Refusal(if expected == Method::GET {
                43001
            } else {
                43002
            }));
        }
        let content_type = if endpoint == Endpoint::MiniProgramCode {
            JPEG
        } else {
            endpoint.content_type()
        };
        Ok(Answer {
            content_type,
            body: endpoint.body(self, call)?,
        })
    }

    pub(super) fn code2session(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let (app, code) = self.code_of_app(call, "js_code")?;
        self.session_of(code, app, call.now)
    }

    /// The app that AppID and secret of a call authenticate, and the code to exchange.
    pub(super) fn code_of_app<'a>(
        &self,
        call: &Call<'a>,
        code: &str,
    ) -> Result<(usize, &'a str), Refusal> {
        let required = |name, errcode| call.params.first(name).ok_or(Refusal(errcode));
        let (appid, secret) = (required("appid", 41002)?, required("secret", 41004)?);
        let code = call.code(code)?;
        Ok((self.authenticated(appid, secret)?, code))
    }

    /// The answer to the exchange of a login code.
    pub(super) fn session_of(
        &self,
        code: &str,
        app: usize,
        now: DateTime<Utc>,
    ) -> Result<String, Refusal> {
        let session = self.exchange(code, app, now)?;
        let key = escaped(&session.session_key);
        let mut answer = format!(r#"{{"session_key":"{key}","openid":"{}""#, session.openid);
        if let Some(unionid) = session.unionid {
            answer += &format!(r#","unionid":"{unionid}""#);
        }
        answer.push('}');
        Ok(answer)
    }

    pub(super) fn stable_token(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let members = json_object(call.body)?;
        if text(&members, "grant_type") != Some("client_credential") {
            return Err(Refusal(40002));
        }
        let appid = text(&members, "appid").ok_or(Refusal(41002))?;
        let secret = text(&members, "secret").ok_or(Refusal(41004))?;
        let app = self.authenticated(appid, secret)?;
        if matches!(self.apps[app].kind, Kind::Website | Kind::MobileApp) {
            return Err(Refusal(40013));
        }
        let force = members
            .get("force_refresh")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let issued = self.access_tokens.lock().issue(app, force, call.now);
        let (access_token, expires_in) = issued.ok_or(Refusal(45009))?;
        Ok(format!(
            r#"{{"access_token":"{access_token}","expires_in":{expires_in}}}"#
        ))
    }

    pub(super) fn check_session(&self, call: &Call<'_>) -> Result<String, Refusal> {
        self.signed_session(self.app_of_token(call)?, |name| call.params.first(name))?;
        Ok(json!({"errcode": 0, "errmsg": "ok"}).to_string())
    }

    pub(super) fn reset_session_key(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let (openid, old) =
            self.signed_session(self.app_of_token(call)?, |name| call.params.first(name))?;
        let key = self.renew_session_key(openid, &old).ok_or(Refusal(87009))?;
        let key = escaped(&key);
        Ok(format!(
            r#"{{"errcode":0,"errmsg":"ok","openid":"{openid}","session_key":"{key}"}}"#
        ))
    }

    pub(super) fn user_phone_number(&self, call: &Call<'_>) -> Result<String, Refusal> {
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

    pub(super) fn encrypt_keys(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let app = self.app_of_token(call)?;
        let members = json_object(call.body)?;
        let (openid, _) = self.signed_session(app, |name| text(&members, name))?;
        Ok(json!({"errcode": 0, "errmsg": "ok", "key_info_list": self.user_encrypt_keys(openid, call.now)}).to_string())
    }

    pub(super) fn authenticated(&self, appid: &str, secret: &str) -> Result<usize, Refusal> {
        let of_wechat = |app: &usize| !self.apps[*app].kind.is_of_other_platform();
        let app = self.app(appid).filter(of_wechat).ok_or(Refusal(40013))?;
        if self
            .terms
            .of(app)
            .secrets
            .iter()
            .any(|taken| taken == secret)
        {
            Ok(app)
        } else {
            Err(Refusal(40125))
        }
    }

    pub(super) fn app_of(&self, call: &Call<'_>) -> Option<String> {
        if let Some([app, _]) = named(call.endpoint, call.params, call.body) {
            return app;
        }
        let in_body = || {
            let members = json_object(call.body).ok()?;
            text(&members, "appid")
                .or(text(&members, "authorizer_appid"))
                .map(str::to_owned)
        };
        let of_token = || {
            self.app_of_token(call)
                .ok()
                .map(|app| self.apps[app].id.to_string())
        };
        call.params
            .first("appid")
            .map(str::to_owned)
            .or_else(of_token)
            .or_else(in_body)
    }

    pub(super) fn app_of_token(&self, call: &Call<'_>) -> Result<usize, Refusal> {
        let token = call.params.first("access_token").ok_or(Refusal(41001))?;
        let of_platform = |bad| {
            self.component
                .as_ref()
                .ok_or(bad)?
                .merchant_of_token(token, call.now)
        };
        Ok(self
            .access_tokens
            .lock()
            .app(token, call.now)
            .or_else(of_platform)?)
    }

    /// Checks the signature. Returns the openid and the `session_key` with which the caller has
    /// signed.
    fn signed_session<'a>(
        &self,
        app: usize,
        given: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(&'a str, String), Refusal> {
        let openid = given("openid").ok_or(Refusal(41009))?;
        if given("sig_method") != Some("hmac_sha256") {
            return Err(Refusal(87008));
        }
        let key = self
            .session_key(openid, app)
            .ok_or(Refusal(40003))?
            .ok_or(Refusal(87009))?;
        if given("signature") != Some(&signature(&key, b"")) {
            return Err(Refusal(87009));
        }
        Ok((openid, key))
    }
}

/// The answer with an errcode, in the form of every platform but Alipay.
fn refusal(endpoint: Endpoint, errcode: i32, now: DateTime<Utc>) -> Answer {
    if let Some(answer) = failure(endpoint, errcode) {
        return Answer::json(endpoint, answer.to_string());
    }
    let [a, b] = [random(), random()].map(u32::from_be_bytes);
    let rid = format!("{:08x}-{a:08x}-{b:08x}", now.timestamp());
    let separator = endpoint.rid_separator();
    Answer::json(
        endpoint,
        format!(
            r#"{{"errcode":{errcode},"errmsg":"{}{separator}{rid}"}}"#,
            errmsg(errcode)
        ),
    )
}

/// The beginning of WeChat's message for an errcode.
fn errmsg(errcode: i32) -> &'static str {
    match errcode {
        -1 => "system error",
        40001 => "invalid credential, access_token is invalid or not latest",
        40002 => "invalid grant_type",
        40003 | 268_490_001 => "invalid openid",
        40013 => "invalid appid",
        40014 => "invalid access_token",
        40029 | 41029 => "invalid code",
        40097 => "invalid args",
        40125 => "invalid appsecret",
        40129 => "invalid scene",
        40163 => "code been used",
        40164 => "invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist",
        40169 => "invalid length for scene, or the data is not json string",
        40226 => "code blocked",
        40243 => "invalid appsecret, appsecret is frozen",
        41001 => "access_token missing",
        41002 => "appid missing",
        41004 => "appsecret missing",
        41008 => "missing code",
        41009 => "missing openid",
        41018 => "missing component_appid",
        41030 => "invalid page",
        42001 => "access_token expired",
        43001 => "require GET method",
        43002 => "require POST method",
        45009 => "reach max api daily quota limit",
        45011 => "api minute-quota reach limit, must slower, retry next minute",
        47001 => "data format error",
        48001 => "api unauthorized",
        50002 => "user limited",
        61003 => "component is not authorized by this account",
        61004 => "access clientip is not registered requestIP: 127.0.0.1",
        61005 => "component ticket is expired",
        61006 => "component ticket is invalid",
        61007 => "api is unauthorized to component",
        61010 => "code is expired",
        61011 => "invalid component",
        61023 => "refresh_token is invalid",
        87008 => "invalid sig_method",
        87009 | 268_490_003 => "invalid signature",
        268_490_002 => "invalid request field",
        268_490_009 => "session_key not exist or expired",
        _ => "error",
    }
}

pub(super) fn json_object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal(47001))
}

/// A member that is a non-empty text.
pub(super) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members
        .get(name)?
        .as_str()
        .filter(|value| !value.is_empty())
}

/// Escapes a `session_key` as WeChat does, which writes `/` as `\/`.
fn escaped(session_key: &str) -> String {
    session_key.replace('/', r"\/")
}

/// Lower-case hex of the HMAC-SHA256 of `data`. The key is the base64 text of the `session_key` and
/// not its bytes.
pub(super) fn signature(key: &str, data: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    const_hex::encode(hmac::sign(&key, data))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;

    use super::{super::call::Params, *};
    use crate::{App, now, people::Purpose};

    const APPID: &str = "wx0123456789abcdef";
    const OTHER_APPID: &str = "wxfedcba9876543210";
    const SECRET: &str = "00112233445566778899aabbccddeeff";

    fn world() -> Arc<World> {
        let app = |id: &str, unionid| App {
            id: id.parse().expect("an AppID"),
            secret: SECRET.to_owned(),
            unionid,
            kind: Kind::default(),
        };
        World::new(vec![app(APPID, true), app(OTHER_APPID, false)], 0)
    }

    fn ask(world: &World, endpoint: Endpoint, query: &str, body: &str) -> (String, Value) {
        ask_at(world, endpoint, query, body, now())
    }

    fn ask_at(
        world: &World,
        endpoint: Endpoint,
        query: &str,
        body: &str,
        now: DateTime<Utc>,
    ) -> (String, Value) {
        let (params, method) = (Params::parse(query), endpoint.method());
        let answer = world.answer(&Call {
            endpoint,
            method: &method,
            params: &params,
            content_type: None,
            body: body.as_bytes(),
            now,
        });
        let text = String::from_utf8(answer.body.into()).expect("text");
        let value = serde_json::from_str(&text).expect("JSON");
        (text, value)
    }

    fn login(world: &World, code: &str) -> Value {
        ask(world, Endpoint::Code2Session, &login_query(code), "").1
    }

    fn login_query(code: &str) -> String {
        format!("appid={APPID}&secret={SECRET}&js_code={code}&grant_type=authorization_code")
    }

    fn code(world: &World, purpose: Purpose, person: &str) -> String {
        world
            .mint_codes(purpose, &[person.to_owned()], 0, now())
            .remove(0)
    }

    fn access_token(world: &World) -> String {
        let body = json!({"grant_type": "client_credential", "appid": APPID, "secret": SECRET})
            .to_string();
        let (_, answer) = ask(world, Endpoint::StableToken, "", &body);
        assert_eq!(answer["expires_in"], 7200);
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    #[test]
    fn a_code_is_exchanged_once() {
        let world = world();
        let code = code(&world, Purpose::Login, "lin");
        assert!(code.len() == 32 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let session = login(&world, &code);
        let length = |name: &str| session[name].as_str().map(str::len);
        assert_eq!(
            [length("session_key"), length("openid"), length("unionid")],
            [Some(24), Some(28), Some(28)]
        );
        assert_eq!(login(&world, &code)["errcode"], 40163);
    }

    #[test]
    fn slashes_in_a_session_key_are_escaped() {
        let world = world();
        let answers = (0..200).map(|_| {
            let code = code(&world, Purpose::Login, "lin");
            ask(&world, Endpoint::Code2Session, &login_query(&code), "").0
        });
        let slashed: Vec<String> = answers.filter(|answer| answer.contains('/')).collect();
        assert!(
            !slashed.is_empty()
                && slashed
                    .iter()
                    .all(|answer| !answer.replace("\\/", "").contains('/'))
        );
    }

    #[test]
    fn each_exchange_kills_the_session_key_before_it() {
        let world = world();
        let [first, second] = [(); 2].map(|()| login(&world, &code(&world, Purpose::Login, "lin")));
        assert_eq!(first["openid"], second["openid"]);
        assert_ne!(first["session_key"], second["session_key"]);
        let token = access_token(&world);
        assert_eq!(check(&world, &token, &first)["errcode"], 87009);
        assert_eq!(check(&world, &token, &second)["errcode"], 0);
    }

    fn check(world: &World, token: &str, session: &Value) -> Value {
        ask(
            world,
            Endpoint::CheckSession,
            &session_query(token, session),
            "",
        )
        .1
    }

    fn session_query(token: &str, session: &Value) -> String {
        let text = |name: &str| session[name].as_str().expect("a text");
        let (openid, signature) = (text("openid"), signature(text("session_key"), b""));
        format!("access_token={token}&openid={openid}&signature={signature}&sig_method=hmac_sha256")
    }

    #[test]
    fn a_code_ends_after_five_minutes() {
        let (world, now) = (world(), now());
        let minted = |age| {
            world
                .mint_codes(
                    Purpose::Login,
                    &["lin".to_owned()],
                    0,
                    now - TimeDelta::seconds(age),
                )
                .remove(0)
        };
        let exchanged =
            |code: String| ask_at(&world, Endpoint::Code2Session, &login_query(&code), "", now).1;
        assert_eq!(exchanged(minted(300))["errcode"], 40029);
        assert!(exchanged(minted(299))["openid"].is_string());
    }

    #[test]
    fn each_mistake_in_code2session_has_its_errcode() {
        let world = world();
        let good = login_query(&code(&world, Purpose::Login, "lin"));
        let phone_code = code(&world, Purpose::Phone, "lin");
        for (query, errcode) in [
            (good.replace("appid=", "x="), 41002),
            (good.replace("secret=", "x="), 41004),
            (good.replace("js_code=", "x="), 41008),
            (
                good.replace("authorization_code", "client_credential"),
                40002,
            ),
            (good.replace(APPID, "wx00"), 40013),
            (good.replace(SECRET, "00"), 40125),
            (good.replace(APPID, OTHER_APPID), 40029),
            (login_query("never-minted"), 40029),
            (login_query(&phone_code), 40029),
            (String::new(), 41002),
        ] {
            assert_eq!(
                ask(&world, Endpoint::Code2Session, &query, "").1["errcode"],
                errcode,
                "{query}"
            );
        }
        assert!(
            ask(&world, Endpoint::Code2Session, &good, "").1["openid"].is_string(),
            "the code was still good"
        );
    }

    #[test]
    fn a_blocked_person_is_refused_until_unblocked() {
        let world = world();
        world.change_person("lin", Some(true), None);
        let code = code(&world, Purpose::Login, "lin");
        assert_eq!(login(&world, &code)["errcode"], 40226);
        world.change_person("lin", Some(false), None);
        assert!(login(&world, &code)["openid"].is_string());
    }

    #[test]
    fn one_person_has_one_unionid_and_an_openid_in_each_app() {
        let world = world();
        let names = ["lin".to_owned()];
        let in_other_app = world.mint_codes(Purpose::Login, &names, 1, now()).remove(0);
        let first = login(&world, &code(&world, Purpose::Login, "lin"));
        let query = login_query(&in_other_app).replace(APPID, OTHER_APPID);
        let (_, second) = ask(&world, Endpoint::Code2Session, &query, "");
        assert_ne!(first["openid"], second["openid"]);
        assert!(first["unionid"].is_string() && second.get("unionid").is_none());
        let restarted = self::world();
        assert_eq!(
            login(&restarted, &code(&restarted, Purpose::Login, "lin"))["openid"],
            first["openid"]
        );
    }

    #[test]
    fn each_mistake_in_stable_token_has_its_errcode() {
        let good = json!({"grant_type": "client_credential", "appid": APPID, "secret": SECRET});
        for (member, value, errcode) in [
            ("grant_type", json!("authorization_code"), 40002),
            ("appid", Value::Null, 41002),
            ("secret", json!(""), 41004),
            ("appid", json!("wx00"), 40013),
            ("secret", json!("00"), 40125),
        ] {
            let mut body = good.clone();
            body[member] = value;
            let (text, answer) = ask(&world(), Endpoint::StableToken, "", &body.to_string());
            assert_eq!(answer["errcode"], errcode, "{text}");
        }
        assert_eq!(
            ask(&world(), Endpoint::StableToken, "", "appid=1").1["errcode"],
            47001
        );
        let invalid = json!(40013);
        for (kind, errcode) in [
            ("website", &invalid),
            ("mobile_app", &invalid),
            ("official_account", &Value::Null),
        ] {
            let world = World::new(
                vec![format!("{APPID}:{SECRET}:{kind}").parse().expect("an app")],
                0,
            );
            assert_eq!(
                &ask(&world, Endpoint::StableToken, "", &good.to_string()).1["errcode"],
                errcode,
                "{kind}"
            );
        }
    }

    #[test]
    fn each_mistake_in_checksession_has_its_errcode() {
        let world = world();
        let session = login(&world, &code(&world, Purpose::Login, "lin"));
        let good = session_query(&access_token(&world), &session);
        for (query, errcode) in [
            (good.replace("access_token=", "x="), 41001),
            (good.replace("access_token=", "access_token=x"), 40001),
            (good.replace("openid=", "x="), 41009),
            (good.replace("openid=", "openid=x"), 40003),
            (good.replace("hmac_sha256", "md5"), 87008),
            (good.replace("signature=", "signature=0"), 87009),
        ] {
            assert_eq!(
                ask(&world, Endpoint::CheckSession, &query, "").1["errcode"],
                errcode,
                "{query}"
            );
        }
        assert_eq!(
            ask(&world, Endpoint::CheckSession, &good, "").0,
            r#"{"errcode":0,"errmsg":"ok"}"#
        );
    }

    #[test]
    fn each_mistake_in_getuserencryptkey_has_its_errcode_and_the_last_three_keys_are_given() {
        let world = world();
        let session = login(&world, &code(&world, Purpose::Login, "lin"));
        let query = format!("access_token={}", access_token(&world));
        let text = |name: &str| session[name].as_str().expect("a text");
        let good = json!({
            "openid": text("openid"), "sig_method": "hmac_sha256", "signature": signature(text("session_key"), b""),
        });
        let keys = |body: &Value| ask(&world, Endpoint::EncryptKeys, &query, &body.to_string()).1;
        for (member, value, errcode) in [
            ("openid", Value::Null, 41009),
            ("openid", json!("oNobody"), 40003),
            ("sig_method", json!("md5"), 87008),
            ("signature", json!("00"), 87009),
        ] {
            let mut body = good.clone();
            body[member] = value;
            assert_eq!(keys(&body)["errcode"], errcode, "{body}");
        }
        assert_eq!(
            ask(&world, Endpoint::EncryptKeys, "", &good.to_string()).1["errcode"],
            41001
        );
        assert_eq!(
            ask(&world, Endpoint::EncryptKeys, &query, "openid=o").1["errcode"],
            47001
        );

        let versions = |list: &Value| {
            let list = list["key_info_list"].as_array().expect("keys");
            list.iter()
                .map(|key| key["version"].as_u64().expect("a number"))
                .collect::<Vec<_>>()
        };
        assert_eq!(versions(&keys(&good)), [1]);
        let newest = [(); 4].map(|()| world.latest_user_key("lin", 0, true, now()))[3].clone();
        let given = keys(&good);
        assert_eq!(versions(&given), [5, 4, 3]);
        let first = &given["key_info_list"][0];
        assert_eq!(
            (&first["encrypt_key"], &first["iv"]),
            (&newest["encryptKey"], &newest["iv"])
        );
        let lengths = ["encrypt_key", "iv"].map(|name| first[name].as_str().map(str::len));
        assert_eq!(lengths, [Some(24), Some(16)]);
        assert!(
            first["expire_in"]
                .as_i64()
                .is_some_and(|left| (3590..=3600).contains(&left))
        );
        let later = now() + TimeDelta::minutes(61);
        assert_eq!(world.latest_user_key("lin", 0, false, later)["version"], 6);
    }

    #[test]
    fn a_payment_wants_both_signatures_over_the_very_bytes() {
        let world = world();
        let session = login(&world, &code(&world, Purpose::Login, "lin"));
        let text = |name: &str| session[name].as_str().expect("a text");
        let sign_data = "{\"offerId\":\"1\", \"outTradeNo\":\"o-1\",\"currencyType\":\"CNY\",\"attach\":\"😀\"}";
        let app_key = world.app_key(0);
        let good = json!({
            "openid": text("openid"), "signData": sign_data, "mode": "short_series_goods",
            "paySig": signature(&app_key, format!("requestVirtualPayment&{sign_data}").as_bytes()),
            "signature": signature(text("session_key"), sign_data.as_bytes()),
        });
        let pay = |body: &Value| {
            world.virtual_payment(0, &serde_json::from_value(body.clone()).expect("a payment"))
        };
        assert_eq!(pay(&good), json!({"errMsg": "requestVirtualPayment:ok"}));
        for (member, value, err_code) in [
            ("signData", json!(sign_data.replace(", ", ",")), -15006),
            ("signData", json!("offerId=1"), -15001),
            ("mode", json!("gift"), -15001),
            ("paySig", json!(""), -15006),
            ("openid", json!("oNobody"), -15007),
            (
                "signature",
                json!(signature(text("session_key"), b"")),
                -15005,
            ),
        ] {
            let mut body = good.clone();
            body[member] = value;
            assert_eq!(pay(&body)["errCode"], err_code, "{body}");
        }
        login(&world, &code(&world, Purpose::Login, "lin"));
        assert_eq!(pay(&good)["errCode"], -15005, "the session key is stale");
    }

    #[test]
    fn each_mistake_in_xpay_has_its_errcode() {
        let world = world();
        let session = login(&world, &code(&world, Purpose::Login, "lin"));
        let key = session["session_key"].as_str().expect("a text");
        let body =
            json!({"openid": session["openid"], "env": 0, "user_ip": "203.0.113.9"}).to_string();
        let pay_sig = |body: &str| {
            signature(
                &world.app_key(0),
                format!("/xpay/query_user_balance&{body}").as_bytes(),
            )
        };
        let token = access_token(&world);
        let query = |pay_sig: &str, signature: &str| {
            format!("access_token={token}&pay_sig={pay_sig}&signature={signature}")
        };
        let ask = |query: &str, body: &str| {
            ask(&world, Endpoint::UserBalance, query, body).1["errcode"].clone()
        };
        let good = query(&pay_sig(&body), &signature(key, body.as_bytes()));
        assert_eq!(ask(&good, &body), 0);
        assert_eq!(
            ask(&good, &body.replace(":0", ": 0")),
            268_490_003,
            "other bytes"
        );
        assert_eq!(ask(&good.replace("signature=", "x="), &body), 268_490_003);
        assert_eq!(
            ask(&query("00", &signature(key, body.as_bytes())), &body),
            268_490_003
        );
        assert_eq!(ask("pay_sig=0", &body), 41001);
        for (other, errcode) in [
            (body.replace("203.0.113.9", ""), 268_490_002),
            (body.replace(":0", ":2"), 268_490_002),
            (body.replace("openid", "id"), 268_490_001),
            ("[]".to_owned(), 268_490_002),
        ] {
            assert_eq!(
                ask(
                    &query(&pay_sig(&other), &signature(key, other.as_bytes())),
                    &other
                ),
                errcode,
                "{other}"
            );
        }
        login(&world, &code(&world, Purpose::Login, "lin"));
        assert_eq!(ask(&good, &body), 268_490_003, "the session key is stale");
    }

    #[test]
    fn an_expired_access_token_is_told_from_a_wrong_one() {
        let world = world();
        let query = format!("access_token={}", access_token(&world));
        let later = now() + TimeDelta::minutes(121);
        assert_eq!(
            ask_at(&world, Endpoint::CheckSession, &query, "", later).1["errcode"],
            42001
        );
    }

    #[test]
    fn resetting_a_session_key_kills_the_old_one() {
        let world = world();
        let token = access_token(&world);
        let session = login(&world, &code(&world, Purpose::Login, "lin"));
        let (_, renewed) = ask(
            &world,
            Endpoint::ResetSessionKey,
            &session_query(&token, &session),
            "",
        );
        assert_eq!(
            (&renewed["errcode"], &renewed["openid"]),
            (&json!(0), &session["openid"])
        );
        assert_eq!(check(&world, &token, &session)["errcode"], 87009);
        assert_eq!(check(&world, &token, &renewed)["errcode"], 0);
    }

    #[test]
    fn a_phone_code_gives_the_number_once_and_only_for_its_person() {
        let world = world();
        world.change_person("lin", None, Some("13912345678".to_owned()));
        let query = format!("access_token={}", access_token(&world));
        let code = code(&world, Purpose::Phone, "lin");
        let phone = |body: Value| ask(&world, Endpoint::PhoneNumber, &query, &body.to_string()).1;
        assert_eq!(phone(json!({}))["errcode"], 41008);
        assert_eq!(phone(json!({"code": "never-minted"}))["errcode"], 40029);
        assert_eq!(
            phone(json!({"code": self::code(&world, Purpose::Login, "lin")}))["errcode"],
            40029
        );
        assert_eq!(
            phone(json!({"code": code, "openid": "oSomebodyElse"}))["errcode"],
            40003
        );
        let info = phone(json!({"code": code}))["phone_info"].clone();
        assert_eq!(
            (&info["phoneNumber"], &info["countryCode"]),
            (&json!("13912345678"), &json!("86"))
        );
        assert_eq!(info["watermark"]["appid"], APPID);
        assert_eq!(phone(json!({"code": code}))["errcode"], 40163);
    }

    #[test]
    fn messages_have_a_rid_and_sns_a_comma_before_it() {
        let world = world();
        let message = |endpoint| {
            ask(&world, endpoint, "", "").1["errmsg"]
                .as_str()
                .expect("a text")
                .to_owned()
        };
        let (sns, wxa) = (
            message(Endpoint::Code2Session),
            message(Endpoint::CheckSession),
        );
        let rid = sns.strip_prefix("appid missing, rid: ").expect("a rid");
        assert_eq!(rid.split('-').map(str::len).collect::<Vec<_>>(), [8, 8, 8]);
        assert!(wxa.starts_with("access_token missing rid: "), "{wxa}");
    }

    #[test]
    fn the_wrong_method_has_an_errcode() {
        let (world, params) = (world(), Params::default());
        let answer = |endpoint, method| {
            let call = Call {
                endpoint,
                method: &method,
                params: &params,
                content_type: None,
                body: b"",
                now: now(),
            };
            serde_json::from_slice::<Value>(&world.answer(&call).body).expect("JSON")["errcode"]
                .clone()
        };
        assert_eq!(answer(Endpoint::Code2Session, Method::POST), 43001);
        assert_eq!(answer(Endpoint::StableToken, Method::GET), 43002);
    }

    /// The key is of the official example of a signature; its signature of nothing was computed from the same rule.
    #[test]
    fn the_signature_is_keyed_with_the_base64_text() {
        let expected = "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128";
        assert_eq!(signature("o0q0otL8aEzpcZL/FT9WsQ==", b""), expected);
    }
}
