//! Alipay: `alipay.system.oauth.token`, whose request the app signs and whose answer Alipay signs (RSA2).

use std::sync::Arc;

use actix_web::http::Method;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::apps::Kind;
use super::call::{Call, Params, Refusal};
use super::faults::Kind as Form;
use super::state::alphanumeric;
use super::world::World;

/// The media type of the answers, in Alipay's spelling.
pub(super) const CONTENT_TYPE: &str = "text/html;charset=utf-8";
const FORM: &str = "application/x-www-form-urlencoded";
/// The members of an answer that hold a result or an error.
const RESULT: &str = "alipay_system_oauth_token_response";
const ERROR: &str = "error_response";
/// The text between a node and the signature of it.
const BEFORE_SIGN: &str = r#","sign":""#;
/// The code of every mistake of a caller.
const INVALID_ARGUMENTS: &str = "40002";
/// A result that Alipay signs for another person.
const ANOTHER_NODE: &str = r#"{"code":"10000","msg":"Success","open_id":"074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5"}"#;
/// The parameters that a call must have in its query, with their only values.
const FIXED: [(&str, &str); 5] = [
    ("charset", "utf-8"),
    ("format", "JSON"),
    ("method", "alipay.system.oauth.token"),
    ("sign_type", "RSA2"),
    ("version", "1.0"),
];
/// How many letters a line of PEM has.
const PEM_LINE: usize = 64;
const TIME: &str = "%Y-%m-%d %H:%M:%S";
/// How far Alipay's clock is ahead of UTC.
const ZONE: TimeDelta = TimeDelta::hours(8);
/// How far the clock of a caller may be off.
const FAR: TimeDelta = TimeDelta::minutes(10);

/// The keys of one app: its own, and that with which Alipay signs for it.
pub(super) struct Keys {
    own: KeyPair,
    of_alipay: KeyPair,
}

/// A mistake of a caller.
#[derive(Clone, Copy)]
enum Mistake {
    Code,
    App,
    Signature,
    GrantType,
    Method,
    Timestamp,
}

/// The ids that an answer has.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ids {
    #[default]
    OpenId,
    UserId,
    Both,
}

impl Keys {
    pub(super) fn generate() -> Arc<Self> {
        let [own, of_alipay] =
            [(); 2].map(|()| KeyPair::generate(KeySize::Rsa2048).expect("a key"));
        Arc::new(Self { own, of_alipay })
    }

    /// The content of wxmint's file of the app.
    fn file(&self) -> Value {
        let private: Pkcs8V1Der<'_> = self.own.as_der().expect("DER");
        let public: PublicKeyX509Der<'_> = self.of_alipay.public_key().as_der().expect("DER");
        json!({
            "platform": "alipay",
            "private_key": pem(private.as_ref()),
            "alipay_public_key": STANDARD.encode(public.as_ref()),
            "identity": "open_id",
        })
    }

    fn is_signed_by_app(&self, text: &str, sign: &str) -> bool {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.own.public_key());
        let sign = STANDARD.decode(sign);
        sign.is_ok_and(|sign| key.verify(text.as_bytes(), &sign).is_ok())
    }

    fn sign(&self, node: &str) -> String {
        let key = &self.of_alipay;
        let mut sign = vec![0; key.public_modulus_len()];
        key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            node.as_bytes(),
            &mut sign,
        )
        .expect("a generated key can sign");
        STANDARD.encode(sign)
    }
}

impl Mistake {
    fn sub_code(self) -> &'static str {
        match self {
            Self::Code => "isv.code-invalid",
            Self::App => "isv.invalid-app-id",
            Self::Signature => "isv.invalid-signature",
            Self::GrantType => "isv.grant-type-invalid",
            Self::Method => "isv.missing-method",
            Self::Timestamp => "isv.invalid-timestamp",
        }
    }

    fn sub_msg(self) -> &'static str {
        match self {
            Self::Code => "授权码code无效",
            Self::App => "无效的AppID参数",
            Self::Signature => "签名错误",
            Self::GrantType => "grant_type参数不正确",
            Self::Method => "缺少方法名参数",
            Self::Timestamp => "非法的时间戳参数",
        }
    }

    /// The node of the answer. Its text repeats the code, because a text of Alipay's may do so.
    fn node(self, code: &str) -> String {
        json!({
            "code": INVALID_ARGUMENTS,
            "msg": "Invalid Arguments",
            "sub_code": self.sub_code(),
            "sub_msg": format!("{} {code}", self.sub_msg()),
        })
        .to_string()
    }
}

impl World {
    /// The content of wxmint's file of an app of Alipay; `None` for another app.
    pub(super) fn alipay_file(&self, id: &str) -> Option<Value> {
        Some(self.alipay_keys(self.alipay_app(id)?).file())
    }

    fn alipay_app(&self, id: &str) -> Option<usize> {
        self.app(id)
            .filter(|app| self.apps[*app].kind == Kind::Alipay)
    }

    fn alipay_keys(&self, app: usize) -> Arc<Keys> {
        let mut all = self.alipay_keys.lock();
        Arc::clone(all.entry(app).or_insert_with(Keys::generate))
    }

    /// The keys of the app that a call names.
    fn alipay_keys_of(&self, call: &Call<'_>) -> Option<Arc<Keys>> {
        let app = self.alipay_app(call.params.first("app_id")?)?;
        Some(self.alipay_keys(app))
    }

    /// Answers `POST /gateway.do`.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the table of endpoints wants a Result, and Alipay's refusals are words"
    )]
    pub(super) fn alipay(&self, call: &Call<'_>) -> Result<String, Refusal> {
        Ok(match self.alipay_node(call) {
            Ok(node) => self.alipay_answer(call, RESULT, &node),
            Err(mistake) => self.alipay_answer(call, ERROR, &mistake.node(&code(call))),
        })
    }

    /// The answer with a trouble of Alipay's own.
    pub(super) fn alipay_trouble(&self, call: &Call<'_>, number: i32) -> String {
        let node = json!({
            "code": number.to_string(),
            "msg": "Service Currently Unavailable",
            "sub_code": "isp.unknow-error",
            "sub_msg": format!("系统繁忙 {}", code(call)),
        });
        self.alipay_answer(call, ERROR, &node.to_string())
    }

    /// The answer with this node, signed. Alipay has no key for an app that it does not know.
    fn alipay_answer(&self, call: &Call<'_>, member: &str, node: &str) -> String {
        let sign = self.alipay_keys_of(call).map_or_else(String::new, |keys| {
            format!("{BEFORE_SIGN}{}\"", keys.sign(node))
        });
        format!(r#"{{"{member}":{node}{sign}}}"#)
    }

    fn alipay_node(&self, call: &Call<'_>) -> Result<String, Mistake> {
        let query = call.params;
        let form = form(call);
        let is_fixed = |(name, value): (&str, &str)| query.first(name) == Some(value);
        if *call.method != Method::POST || !FIXED.into_iter().all(is_fixed) {
            return Err(Mistake::Method);
        }
        let app = query.first("app_id").and_then(|id| self.alipay_app(id));
        let app = app.ok_or(Mistake::App)?;
        let timestamp = query.first("timestamp").and_then(time);
        let is_near = |time: DateTime<Utc>| (call.now - time).abs() <= FAR;
        if !timestamp.is_some_and(is_near) {
            return Err(Mistake::Timestamp);
        }
        let keys = self.alipay_keys(app);
        let sign = query.first("sign").unwrap_or_default();
        if !keys.is_signed_by_app(&text_to_sign(&[query, &form]), sign) {
            return Err(Mistake::Signature);
        }
        if form.first("grant_type") != Some("authorization_code") {
            return Err(Mistake::GrantType);
        }
        let code = form.first("code").ok_or(Mistake::Code)?;
        let session = self.exchange(code, app, call.now);
        let session = session.map_err(|_| Mistake::Code)?;
        let unionid = session.unionid.as_deref();
        let ids = self.terms.of(app).alipay_ids;
        Ok(node(&session.openid, unionid, ids))
    }

    /// The answer in the form of a fault.
    pub(super) fn alipay_reshaped(&self, call: &Call<'_>, form: Form, body: &[u8]) -> Vec<u8> {
        let body = String::from_utf8_lossy(body);
        if form == Form::ErrorInNode {
            return error_in_node(&body, &code(call)).into();
        }
        // The answer to an app that Alipay does not know has no signature.
        let (Some((before, end)), Some(keys)) =
            (body.rsplit_once(BEFORE_SIGN), self.alipay_keys_of(call))
        else {
            return body.into_owned().into();
        };
        match form {
            Form::NoSign => format!("{before}}}"),
            Form::WrongSign => {
                let first = if end.starts_with('A') { 'B' } else { 'A' };
                format!("{before}{BEFORE_SIGN}{first}{}", &end[1..])
            }
            Form::SignOfAnotherNode => {
                let sign = keys.sign(ANOTHER_NODE);
                format!(r#"{before}{BEFORE_SIGN}{sign}"}}"#)
            }
            Form::EscapedSlash => {
                format!("{}{BEFORE_SIGN}{end}", before.replace('/', "\\/"))
            }
            _ => body.into_owned(),
        }
        .into()
    }
}

/// The parameters of the body. A body of another media type has none.
fn form(call: &Call<'_>) -> Params {
    let is_form = call.content_type == Some(FORM);
    Params::of_form(if is_form { call.body } else { b"" })
}

/// The code that a call carries.
fn code(call: &Call<'_>) -> String {
    form(call).first("code").unwrap_or_default().to_owned()
}

/// The error of `body`, unsigned and in the place of a result. If `body` has a result, the error is
/// that of an invalid code.
fn error_in_node(body: &str, code: &str) -> String {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    let node = match &answer[ERROR] {
        Value::Object(error) => json!(error).to_string(),
        _ => Mistake::Code.node(code),
    };
    format!(r#"{{"{RESULT}":{node}}}"#)
}

/// A private key in the frame of PEM.
fn pem(der: &[u8]) -> String {
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    let base64 = STANDARD.encode(der);
    for (place, letter) in base64.chars().enumerate() {
        if place > 0 && place % PEM_LINE == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem + "\n-----END PRIVATE KEY-----\n"
}

/// A time of Alipay's clock (UTC+8), in exactly its form.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let time = NaiveDateTime::parse_from_str(text, TIME).ok()?;
    let is_exact = time.format(TIME).to_string() == text;
    is_exact.then(|| time.and_utc() - ZONE)
}

/// All parameters but `sign` and empty ones, sorted by name in byte order, as `name=value` joined by `&`.
fn text_to_sign(all: &[&Params]) -> String {
    let pairs = all.iter().flat_map(|params| params.pairs());
    let mut pairs: Vec<_> = pairs
        .filter(|(name, value)| name != "sign" && !value.is_empty())
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// The result for a person.
fn node(openid: &str, unionid: Option<&str>, ids: Ids) -> String {
    let mut members = json!({
        // A slash, which Alipay may escape.
        "access_token": format!("auth/{}", alphanumeric(35)),
        "alipay_user_id": alphanumeric(32),
        "auth_start": "2026-11-30 12:00:00",
        "expires_in": "1296000",
        "re_expires_in": "2592000",
        "refresh_token": alphanumeric(40),
    });
    if ids != Ids::UserId {
        members["open_id"] = openid.into();
    }
    if ids != Ids::OpenId {
        members["user_id"] = user_id(openid).into();
    }
    if let Some(unionid) = unionid {
        members["union_id"] = unionid.into();
    }
    members.to_string()
}

/// The 16 digits of the older id, which follow from the person's other id.
fn user_id(openid: &str) -> String {
    let digits = openid.bytes().rev().take(12);
    let digits: String = digits.map(|byte| char::from(b'0' + byte % 10)).collect();
    format!("2088{digits}")
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use aws_lc_rs::digest::{SHA256, digest};
    use aws_lc_rs::rsa::PublicKey;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::App;
    use crate::call::Endpoint;
    use crate::now;
    use crate::people::Purpose;
    use crate::routes;

    const ID: &str = "2021000000000001";
    const OTHER: &str = "2021000000000002";
    const OF_WECHAT: &str = "wx0123456789abcdef";
    const GATEWAY: &str = "/_alipay/gateway.do";
    const EXCHANGE: &str = "grant_type=authorization_code&code=";

    fn world() -> Arc<World> {
        let apps = [
            format!("{ID}:-:alipay"),
            format!("{OTHER}:-:alipay:no-unionid"),
            format!("{OF_WECHAT}:s3cret"),
        ];
        let apps = apps.map(|app| app.parse().expect("an app"));
        World::new(apps.into(), 1)
    }

    fn code_at(world: &World, app: usize, minted: DateTime<Utc>) -> String {
        let names = ["lin".to_owned()];
        let mut codes = world.mint_codes(Purpose::Login, &names, app, minted);
        codes.remove(0)
    }

    fn body(world: &World) -> String {
        format!("{EXCHANGE}{}", code_at(world, 0, now()))
    }

    /// The query of a call at this time, without its signature.
    fn query(at: DateTime<Utc>) -> String {
        let timestamp = (at + ZONE).format("%Y-%m-%d %H:%M:%S");
        format!(
            "app_id={ID}&charset=utf-8&format=JSON&method=alipay.system.oauth.token&sign_type=RSA2&timestamp={timestamp}&version=1.0"
        )
    }

    /// The key of a member of wxmint's file of the app, in DER.
    fn key(world: &World, app: &str, member: &str) -> Vec<u8> {
        let file = world.alipay_file(app).expect("a file");
        let text = file[member].as_str().expect("a key");
        let lines = text.lines().filter(|line| !line.starts_with("-----"));
        STANDARD
            .decode(lines.collect::<String>())
            .expect("base64 of a key")
    }

    /// The query with the signature of the app of that file.
    fn signed(world: &World, app: &str, query: &str, body: &str) -> String {
        let own = KeyPair::from_pkcs8(&key(world, app, "private_key")).expect("PKCS#8");
        let text = text_to_sign(&[&Params::parse(query), &Params::parse(body)]);
        let mut sign = vec![0; own.public_modulus_len()];
        own.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            text.as_bytes(),
            &mut sign,
        )
        .expect("signed");
        format!("{query}&sign={}", STANDARD.encode(sign).replace('+', "%2B"))
    }

    /// The call with this content, made now.
    fn with_call<T>(query: &str, body: &str, act: impl FnOnce(&Call<'_>) -> T) -> T {
        act(&Call {
            endpoint: Endpoint::Alipay,
            method: &Method::POST,
            params: &Params::parse(query),
            content_type: Some(FORM),
            body: body.as_bytes(),
            now: now(),
        })
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }

    fn answered(world: &World, query: &str, body: &str) -> String {
        with_call(query, body, |call| text(&world.answer(call).body))
    }

    fn asked(world: &World, query: &str, body: &str) -> String {
        answered(world, &signed(world, ID, query, body), body)
    }

    /// The text of the member's value, and the signature beside it.
    fn parts<'a>(answer: &'a str, member: &str) -> (&'a str, &'a str) {
        let rest = answer.strip_prefix(&format!("{{\"{member}\":"));
        let rest = rest.and_then(|rest| rest.strip_suffix("\"}"));
        rest.and_then(|rest| rest.rsplit_once(r#","sign":""#))
            .unwrap_or_else(|| panic!("no {member} with a signature: {answer}"))
    }

    /// Whether Alipay's key of the app's file verifies the signature.
    fn is_signed(world: &World, node: &str, sign: &str) -> bool {
        let public = PublicKey::from_der(&key(world, ID, "alipay_public_key")).expect("a key");
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref());
        let sign = STANDARD.decode(sign).expect("base64");
        public.verify(node.as_bytes(), &sign).is_ok()
    }

    fn is_alphanumeric(text: &str) -> bool {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    #[test]
    fn the_file_has_the_keys_of_one_app_and_keeps_them() {
        let world = world();
        let file = world.alipay_file(ID).expect("a file");
        let private = file["private_key"].as_str().expect("a key");
        assert!(private.starts_with("-----BEGIN PRIVATE KEY-----\nMII"));
        assert!(private.ends_with("\n-----END PRIVATE KEY-----\n"));
        assert!(private.lines().all(|line| line.len() <= 64));
        let public = file["alipay_public_key"].as_str().expect("a key");
        assert!(public.starts_with("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A") && public.len() == 392);
        assert_eq!(file["platform"], "alipay");
        assert_eq!(file["identity"], "open_id");
        assert_eq!(file.as_object().map(serde_json::Map::len), Some(4));
        assert_eq!(world.alipay_file(ID), Some(file.clone()));
        let other = world.alipay_file(OTHER).expect("a file");
        assert_ne!(other["private_key"], file["private_key"]);
        assert_ne!(other["alipay_public_key"], file["alipay_public_key"]);
        assert_eq!(world.alipay_file(OF_WECHAT), None);
        assert_eq!(world.alipay_file("2021000000000009"), None);
    }

    #[test]
    fn an_app_has_a_hyphen_in_the_place_of_a_secret() {
        for wrong in ["s3cret:alipay", ":alipay", "-:alipay:unionid"] {
            assert!(format!("{ID}:{wrong}").parse::<App>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_signed_call_gets_a_signed_answer_once() {
        let world = world();
        let code = code_at(&world, 0, now());
        assert!(code.len() == 32 && is_alphanumeric(&code), "{code}");
        let body = format!("{EXCHANGE}{code}");
        let answer = asked(&world, &query(now()), &body);
        let (text, sign) = parts(&answer, "alipay_system_oauth_token_response");
        assert!(is_signed(&world, text, sign));
        assert!(!is_signed(&world, &format!("{text} "), sign));
        let node: Value = serde_json::from_str(text).expect("JSON");
        let member = |name: &str| node[name].as_str().expect(name);
        assert!(member("access_token").contains('/') && member("access_token").len() == 40);
        assert_eq!(member("expires_in"), "1296000");
        assert_eq!(member("alipay_user_id").len(), 32);
        let open_id = URL_SAFE_NO_PAD.decode(member("open_id"));
        assert!(open_id.is_ok() && member("open_id").len() == 47);
        assert!(!member("union_id").is_empty() && !member("refresh_token").is_empty());
        assert!(!member("re_expires_in").is_empty() && !member("auth_start").is_empty());
        assert_eq!(node["user_id"], Value::Null);
        let again = asked(&world, &query(now()), &body);
        let (node, sign) = parts(&again, "error_response");
        assert!(is_signed(&world, node, sign));
        assert_eq!(
            node,
            format!(
                r#"{{"code":"40002","msg":"Invalid Arguments","sub_code":"isv.code-invalid","sub_msg":"授权码code无效 {code}"}}"#
            )
        );
    }

    #[test]
    fn the_app_says_which_ids_an_answer_has() {
        let world = world();
        let mut seen = Vec::new();
        for (ids, wanted) in [
            ("open_id", [true, false]),
            ("user_id", [false, true]),
            ("both", [true, true]),
        ] {
            let change = json!({"appid": ID, "alipay_ids": ids, "unionid": false});
            world.change_app(0, serde_json::from_value(change).expect("a change"));
            let answer = asked(&world, &query(now()), &body(&world));
            let (node, _) = parts(&answer, RESULT);
            let node: Value = serde_json::from_str(node).expect("JSON");
            assert_eq!(
                ["open_id", "user_id"].map(|name| node[name].is_string()),
                wanted
            );
            assert_eq!(node["union_id"], Value::Null);
            seen.extend(node["user_id"].as_str().map(str::to_owned));
        }
        assert_eq!(seen[0], seen[1]);
        assert!(seen[0].starts_with("2088") && seen[0].len() == 16);
        assert!(seen[0].bytes().all(|byte| byte.is_ascii_digit()));
        let other = json!({"appid": ID, "alipay_ids": "none"});
        assert!(serde_json::from_value::<crate::apps::AppChange>(other).is_err());
    }

    #[test]
    fn each_mistake_has_its_word_and_spends_no_code() {
        let world = world();
        let code = code_at(&world, 0, now());
        let body = format!("{EXCHANGE}{code}");
        let at = now();
        let good = query(at);
        let fixed = ["charset", "format", "method", "sign_type", "version"];
        let mut cases = Vec::new();
        for name in fixed {
            let other = good.replace(&format!("{name}="), &format!("{name}=x"));
            let absent = good.replace(&format!("{name}="), &format!("x{name}="));
            cases.extend([other, absent].map(|query| (query, body.clone(), "isv.missing-method")));
        }
        let in_body = format!("{body}&charset=utf-8");
        let absent = good.replace("&charset=utf-8", "");
        cases.push((absent, in_body, "isv.missing-method"));
        for off in [11, -11].map(TimeDelta::minutes) {
            cases.push((query(at + off), body.clone(), "isv.invalid-timestamp"));
        }
        let timestamp = (at + ZONE).format(TIME).to_string();
        for wrong in [
            // The time in UTC.
            at.format(TIME).to_string(),
            at.to_rfc3339(),
            timestamp.replace(' ', "T"),
            timestamp[2..].to_owned(),
            format!("%2B{timestamp}"),
            String::new(),
        ] {
            let query = good.replace(&timestamp, &wrong);
            cases.push((query, body.clone(), "isv.invalid-timestamp"));
        }
        let of_other = code_at(&world, 1, now());
        let old = code_at(&world, 0, now() - TimeDelta::minutes(5));
        for (body, word) in [
            ("grant_type=refresh_token&code=a", "isv.grant-type-invalid"),
            ("code=a", "isv.grant-type-invalid"),
            ("grant_type=authorization_code", "isv.code-invalid"),
            (&*format!("{EXCHANGE}a"), "isv.code-invalid"),
            (&*format!("{EXCHANGE}{of_other}"), "isv.code-invalid"),
            (&*format!("{EXCHANGE}{old}"), "isv.code-invalid"),
        ] {
            cases.push((good.clone(), body.to_owned(), word));
        }
        cases.push((
            format!("{good}&{body}"),
            String::new(),
            "isv.grant-type-invalid",
        ));
        for (query, body, word) in cases {
            let answer = asked(&world, &query, &body);
            let (node, sign) = parts(&answer, "error_response");
            assert!(is_signed(&world, node, sign), "{query}");
            let node: Value = serde_json::from_str(node).expect("JSON");
            assert_eq!(node["sub_code"], word, "{query} {body}: {answer}");
            assert_eq!(node["code"], "40002");
            let code = Params::parse(&body).first("code").map(str::to_owned);
            let text = node["sub_msg"].as_str().expect("a text");
            assert!(text.ends_with(&code.unwrap_or_default()), "{text}");
        }
        assert!(asked(&world, &good, &body).contains("open_id"));
    }

    #[test]
    fn only_the_apps_own_signature_over_all_parameters_is_accepted() {
        let world = world();
        let body = body(&world);
        let good = query(now());
        let signed_well = signed(&world, ID, &good, &body);
        let moved = signed_well.replace("&sign=", "&app_auth_token=a&sign=");
        for (query, body) in [
            (good.clone(), body.clone()),
            (format!("{good}&sign=QUJD"), body.clone()),
            (format!("{good}&sign=%"), body.clone()),
            (signed(&world, OTHER, &good, &body), body.clone()),
            (moved, body.clone()),
            (signed_well.clone(), format!("{body}a")),
            (signed_well.replace("%2B", "+") + " ", body.clone()),
            (good.clone(), format!("{body}&sign=a")),
        ] {
            let answer = answered(&world, &query, &body);
            let (node, _) = parts(&answer, "error_response");
            assert!(node.contains("isv.invalid-signature"), "{query}: {answer}");
        }
        assert!(answered(&world, &signed_well, &body).contains("open_id"));
    }

    #[test]
    fn a_body_of_another_type_has_no_parameters_and_only_a_post_is_answered() {
        let world = world();
        let body = body(&world);
        let query = signed(&world, ID, &query(now()), &body);
        let asked = |method: &Method, content_type| {
            with_call(&query, &body, |call| {
                let call = Call {
                    method,
                    content_type,
                    ..*call
                };
                text(&world.answer(&call).body)
            })
        };
        for content_type in [None, Some("application/json")] {
            let answer = asked(&Method::POST, content_type);
            assert!(answer.contains("isv.invalid-signature"), "{answer}");
        }
        let answer = asked(&Method::GET, Some(FORM));
        assert!(answer.contains("isv.missing-method"), "{answer}");
        assert!(asked(&Method::POST, Some(FORM)).contains("open_id"));
    }

    #[test]
    fn an_app_that_alipay_does_not_know_gets_an_unsigned_refusal() {
        let world = world();
        let body = body(&world);
        for other in [OF_WECHAT, "2021000000000009", ""] {
            let query = query(now()).replace(ID, other);
            let answer = asked(&world, &query, &body);
            assert!(answer.contains("isv.invalid-app-id"), "{answer}");
            assert!(!answer.contains(r#""sign""#), "{answer}");
        }
    }

    #[test]
    fn the_text_to_sign_is_that_of_the_vector() {
        let query = "app_id=2021000000000001&charset=utf-8&format=JSON&method=alipay.system.oauth.token&sign_type=RSA2&timestamp=2026-09-01+12%3A00%3A00&version=1.0&sign=a&empty=";
        let body = "code=4b203fe6c11548bcabd8da5bb087a83b&grant_type=authorization_code";
        let text = text_to_sign(&[&Params::parse(query), &Params::parse(body)]);
        assert_eq!(text.len(), 207);
        let hash = digest(&SHA256, text.as_bytes());
        assert_eq!(
            const_hex::encode(hash),
            "652ee0885f3c8aac8c7e3b4c9f60ba65640d803a28931fa82da7e86be862e493"
        );
        let query = Params::parse("b=%2B%26%3D&a_=1&a=2&B=3");
        assert_eq!(text_to_sign(&[&query]), "B=3&a=2&a_=1&b=+&=");
    }

    /// The real answer, and the same answer in the form.
    fn in_form(world: &World, form: Form, body: &str) -> [String; 2] {
        let query = signed(world, ID, &query(now()), body);
        with_call(&query, body, |call| {
            let answer = world.answer(call).body;
            [answer.to_vec(), world.reshaped(call, form, &answer)].map(|bytes| text(&bytes))
        })
    }

    #[test]
    fn a_form_changes_the_signature_or_the_text_and_nothing_else() {
        let world = world();
        for member in [RESULT, ERROR] {
            let reshaped = |form| match member {
                RESULT => in_form(&world, form, &body(&world)),
                _ => in_form(&world, form, &format!("{EXCHANGE}a/b")),
            };
            let [real, bare] = reshaped(Form::NoSign);
            let (node, _) = parts(&real, member);
            assert_eq!(bare, format!("{{\"{member}\":{node}}}"));

            for form in [Form::WrongSign, Form::SignOfAnotherNode] {
                let [real, wrong] = reshaped(form);
                let (node, sign) = parts(&real, member);
                let (same, other) = parts(&wrong, member);
                assert_eq!(node, same);
                assert_eq!(
                    is_signed(&world, ANOTHER_NODE, other),
                    form == Form::SignOfAnotherNode
                );
                assert!(is_signed(&world, node, sign) && !is_signed(&world, same, other));
            }

            let [real, escaped] = reshaped(Form::EscapedSlash);
            let (node, sign) = parts(&real, member);
            let (other, same) = parts(&escaped, member);
            assert_eq!(sign, same);
            assert_eq!(other, node.replace('/', "\\/"));
            assert!(!is_signed(&world, other, sign));
            assert!(is_signed(&world, &other.replace("\\/", "/"), sign));

            let [real, marked] = reshaped(Form::ByteOrderMark);
            assert_eq!(marked, format!("\u{feff}{real}"));
        }
    }

    #[test]
    fn a_wrong_signature_differs_whatever_its_first_letter() {
        let world = world();
        let query = query(now());
        for (sign, wanted) in [("AUJD", "BUJD"), ("QUJD", "AUJD")] {
            let answer = |sign| format!(r#"{{"a":{{}},"sign":"{sign}"}}"#);
            let reshaped = with_call(&query, "", |call| {
                world.reshaped(call, Form::WrongSign, answer(sign).as_bytes())
            });
            assert_eq!(text(&reshaped), answer(wanted));
        }
    }

    #[test]
    fn an_error_in_the_node_is_unsigned_and_that_of_the_real_answer_if_it_has_one() {
        let world = world();
        let node = |code: &str, word: &str, said: &str| {
            format!(
                r#"{{"{RESULT}":{{"code":"40002","msg":"Invalid Arguments","sub_code":"{word}","sub_msg":"{said} {code}"}}}}"#
            )
        };
        let code = code_at(&world, 0, now());
        let [real, error] = in_form(&world, Form::ErrorInNode, &format!("{EXCHANGE}{code}"));
        assert!(real.contains("open_id"), "{real}");
        let wanted = node(&code, "isv.code-invalid", "授权码code无效");
        assert_eq!(error, wanted);
        let [_, error] = in_form(&world, Form::ErrorInNode, "grant_type=a&code=b");
        let wanted = node("b", "isv.grant-type-invalid", "grant_type参数不正确");
        assert_eq!(error, wanted);
    }

    #[actix_web::test]
    async fn over_http_the_answers_have_alipays_type_and_faults_spend_the_code() {
        let world = world();
        let service =
            init_service(actix_web::App::new().configure(routes(world.clone(), |_| ()))).await;
        let body = body(&world);
        let target = format!(
            "{GATEWAY}?{}",
            signed(&world, ID, &query(now()), &body).replace(' ', "+")
        );
        let ask = async |fault: Option<Value>| {
            let mut faults = Vec::new();
            if let Some(mut fault) = fault {
                fault["path"] = GATEWAY.into();
                faults.push(serde_json::from_value(fault).expect("a fault"));
            }
            world.faults.replace(faults);
            let request = TestRequest::post().uri(&target).set_payload(body.clone());
            let request = request.insert_header(("content-type", format!("{FORM};charset=utf-8")));
            let answer = call_service(&service, request.to_request()).await;
            assert_eq!(answer.status(), 200);
            let content_type = answer.headers().get("content-type").expect("a type");
            assert_eq!(content_type, "text/html;charset=utf-8");
            text(&read_body(answer).await)
        };
        for number in [-1, 0, 5, 20000, 40003] {
            let answer = ask(Some(json!({"kind": "errcode", "errcode": number}))).await;
            let (node, sign) = parts(&answer, "error_response");
            assert!(is_signed(&world, node, sign));
            let node: Value = serde_json::from_str(node).expect("JSON");
            assert_eq!(node["code"], number.to_string());
            assert_eq!(node["sub_code"], "isp.unknow-error");
        }
        assert_eq!(ask(Some(json!({"kind": "empty"}))).await, "");
        let unsigned = ask(Some(json!({"kind": "no_sign"}))).await;
        assert!(unsigned.contains("open_id") && !unsigned.contains("\"sign\""));
        let spent = ask(None).await;
        assert!(spent.contains("isv.code-invalid"), "{spent}");
        let journal = world.journal.read(0).to_string();
        let (_, sign) = parts(&spent, "error_response");
        assert!(!journal.contains(sign) && !journal.contains("access_token\\\":\\\"auth"));
        let sent = target.rsplit_once("&sign=").expect("a signature").1;
        assert!(!journal.contains(&sent.replace("%2B", "+")), "{journal}");
    }
}
