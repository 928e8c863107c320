//! Alipay: `alipay.system.oauth.token`, whose request the app signs and whose answer Alipay signs (RSA2).

use std::sync::Arc;

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
use super::world::{Session, World};

/// The refusals, each with its `sub_code`. Another number is a trouble of Alipay.
const REFUSALS: [&str; 6] = [
    "isv.code-invalid",
    "isv.invalid-app-id",
    "isv.invalid-signature",
    "isv.grant-type-invalid",
    "isv.missing-method",
    "isv.invalid-timestamp",
];
const NO_CODE: Refusal = Refusal(0);
const NO_APP: Refusal = Refusal(1);
const NO_SIGNATURE: Refusal = Refusal(2);
const NO_GRANT_TYPE: Refusal = Refusal(3);
const NO_METHOD: Refusal = Refusal(4);
const NO_TIMESTAMP: Refusal = Refusal(5);

/// The parameters that a call must have in its query, with their only values.
const FIXED: [(&str, &str); 5] = [
    ("charset", "utf-8"),
    ("format", "JSON"),
    ("method", "alipay.system.oauth.token"),
    ("sign_type", "RSA2"),
    ("version", "1.0"),
];
/// How far the clock of a caller may be off.
const FAR: TimeDelta = TimeDelta::minutes(10);

/// The keys of one app: its own, and that with which Alipay signs for it.
pub(super) struct Keys {
    own: KeyPair,
    of_alipay: KeyPair,
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
            "private_key": STANDARD.encode(private.as_ref()),
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

impl World {
    /// The content of wxmint's file of an app of Alipay; `None` for another app.
    pub(super) fn alipay_file(&self, id: &str) -> Option<Value> {
        let app = self.app(id)?;
        (self.apps[app].kind == Kind::Alipay).then(|| self.alipay_keys(app).file())
    }

    fn alipay_keys(&self, app: usize) -> Arc<Keys> {
        let mut all = self.alipay_keys.lock();
        Arc::clone(all.entry(app).or_insert_with(Keys::generate))
    }

    /// Answers `POST /gateway.do`.
    pub(super) fn alipay(&self, call: &Call<'_>) -> Result<String, Refusal> {
        let query = call.params;
        let form = Params::parse(str::from_utf8(call.body).unwrap_or_default());
        let is_fixed = |(name, value): (&str, &str)| query.first(name) == Some(value);
        if !FIXED.into_iter().all(is_fixed) {
            return Err(NO_METHOD);
        }
        let app = query.first("app_id").and_then(|id| self.app(id));
        let app = app.filter(|app| self.apps[*app].kind == Kind::Alipay);
        let app = app.ok_or(NO_APP)?;
        let timestamp = query
            .first("timestamp")
            .and_then(time)
            .ok_or(NO_TIMESTAMP)?;
        if (call.now - timestamp).abs() > FAR {
            return Err(NO_TIMESTAMP);
        }
        let keys = self.alipay_keys(app);
        let sign = query.first("sign").unwrap_or_default();
        if !keys.is_signed_by_app(&text_to_sign(&[query, &form]), sign) {
            return Err(NO_SIGNATURE);
        }
        if form.first("grant_type") != Some("authorization_code") {
            return Err(NO_GRANT_TYPE);
        }
        let code = form.first("code").ok_or(NO_CODE)?;
        let session = self.exchange(code, app, call.now).map_err(|_| NO_CODE)?;
        let node = node(&session, self.terms.of(app).alipay_ids);
        let sign = keys.sign(&node);
        Ok(format!(
            r#"{{"alipay_system_oauth_token_response":{node},"sign":"{sign}"}}"#
        ))
    }
}

/// A time of Alipay's clock (UTC+8).
fn time(text: &str) -> Option<DateTime<Utc>> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
    Some(time.and_utc() - TimeDelta::hours(8))
}

/// All parameters but `sign` and empty ones, sorted by name, as `name=value` joined by `&`.
fn text_to_sign(all: &[&Params]) -> String {
    let pairs = all.iter().flat_map(|params| params.pairs());
    let mut pairs: Vec<_> = pairs
        .filter(|(name, value)| name != "sign" && !value.is_empty())
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.sort_unstable_by(|one, other| one.split('=').next().cmp(&other.split('=').next()));
    pairs.join("&")
}

fn node(session: &Session, ids: Ids) -> String {
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
        members["open_id"] = session.openid.as_str().into();
    }
    if ids != Ids::OpenId {
        members["user_id"] = user_id(&session.openid).into();
    }
    if let Some(unionid) = &session.unionid {
        members["union_id"] = unionid.as_str().into();
    }
    members.to_string()
}

/// The 16 digits of the older id, which follow from the person's other id.
fn user_id(openid: &str) -> String {
    let digits = openid.bytes().rev().take(12);
    let digits: String = digits.map(|byte| char::from(b'0' + byte % 10)).collect();
    format!("2088{digits}")
}

/// The answer with this refusal. Alipay repeats in `sub_msg` what it was sent.
pub(super) fn failure(number: i32) -> Value {
    let known = usize::try_from(number)
        .ok()
        .and_then(|place| REFUSALS.get(place));
    let code = known.map_or_else(|| number.to_string(), |_| "40002".to_owned());
    json!({"error_response": {
        "code": code,
        "msg": "Invalid Arguments",
        "sub_code": known.unwrap_or(&"isp.unknow-error"),
        "sub_msg": "a text that repeats the parameters",
    }})
}

/// The answer in the form of the fault.
pub(super) fn reshaped(form: Form, body: &[u8]) -> Vec<u8> {
    let body = String::from_utf8_lossy(body);
    let Some((before, sign)) = body.rsplit_once(r#","sign":""#) else {
        return body.into_owned().into();
    };
    match form {
        Form::NoSign => format!("{before}}}"),
        Form::WrongSign => format!(r#"{before},"sign":"A{}"#, &sign[1..]),
        Form::EscapedSlash => format!(r#"{},"sign":"{sign}"#, before.replace('/', "\\/")),
        Form::ErrorInNode => {
            let node = failure(0)["error_response"].take();
            format!(r#"{{"alipay_system_oauth_token_response":{node}}}"#)
        }
        _ => body.into_owned(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use super::*;
    use crate::call::Endpoint;
    use crate::now;
    use crate::people::Purpose;

    const ID: &str = "2021000000000001";

    fn world() -> Arc<World> {
        World::new(vec![format!("{ID}:-:alipay").parse().expect("an app")], 1)
    }

    fn code(world: &World) -> String {
        let names = ["lin".to_owned()];
        world.mint_codes(Purpose::Login, &names, 0, now()).remove(0)
    }

    /// The query of a call at this time, without its signature.
    fn query(at: DateTime<Utc>) -> String {
        let timestamp = (at + TimeDelta::hours(8)).format("%Y-%m-%d %H:%M:%S");
        let fixed = FIXED
            .map(|(name, value)| format!("{name}={value}"))
            .join("&");
        format!("app_id={ID}&{fixed}&timestamp={timestamp}")
    }

    fn asked(world: &World, query: &str, body: &str) -> String {
        let keys = world.alipay_keys(0);
        let text = text_to_sign(&[&Params::parse(query), &Params::parse(body)]);
        let mut sign = vec![0; keys.own.public_modulus_len()];
        keys.own
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut sign,
            )
            .expect("signed");
        let sign = STANDARD.encode(sign).replace('+', "%2B");
        answered(world, &format!("{query}&sign={sign}"), body)
    }

    fn answered(world: &World, query: &str, body: &str) -> String {
        let answer = world.answer(&Call {
            endpoint: Endpoint::Alipay,
            method: &Method::POST,
            params: &Params::parse(query),
            content_type: None,
            body: body.as_bytes(),
            now: now(),
        });
        String::from_utf8(answer.body.to_vec()).expect("UTF-8")
    }

    #[test]
    fn a_signed_call_gets_a_signed_answer_once() {
        let world = world();
        let body = format!("grant_type=authorization_code&code={}", code(&world));
        let answer = asked(&world, &query(now()), &body);
        let (node, sign) = answer
            .strip_prefix(r#"{"alipay_system_oauth_token_response":"#)
            .and_then(|rest| rest.split_once(r#","sign":""#))
            .expect("a node and a signature");
        let keys = world.alipay_keys(0);
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, keys.of_alipay.public_key());
        let sign = STANDARD
            .decode(sign.trim_end_matches("\"}"))
            .expect("base64");
        assert!(key.verify(node.as_bytes(), &sign).is_ok());
        let node: Value = serde_json::from_str(node).expect("JSON");
        assert_eq!(node["open_id"].as_str().map(str::len), Some(47));
        assert_eq!(node["user_id"], Value::Null);
        let again = asked(&world, &query(now()), &body);
        assert!(again.contains("isv.code-invalid"), "{again}");
    }

    #[test]
    fn each_mistake_has_its_word() {
        let world = world();
        let body = format!("grant_type=authorization_code&code={}", code(&world));
        let good = query(now());
        for (query, body, word) in [
            (
                good.replace("method=alipay", "method=alipays"),
                &*body,
                "isv.missing-method",
            ),
            (
                good.replace("charset=utf-8&", ""),
                &body,
                "isv.missing-method",
            ),
            (
                good.replace(ID, "2021000000000002"),
                &body,
                "isv.invalid-app-id",
            ),
            (
                query(now() - TimeDelta::minutes(11)),
                &body,
                "isv.invalid-timestamp",
            ),
            (
                good.clone(),
                "grant_type=refresh_token&code=a",
                "isv.grant-type-invalid",
            ),
            (
                good.clone(),
                "grant_type=authorization_code&code=a",
                "isv.code-invalid",
            ),
        ] {
            let answer = asked(&world, &query, body);
            assert!(answer.contains(word), "{word}: {answer}");
        }
        let unsigned = answered(&world, &good, &body);
        assert!(unsigned.contains("isv.invalid-signature"), "{unsigned}");
    }

    #[test]
    fn the_text_to_sign_is_that_of_the_vector() {
        let query = "app_id=2021000000000001&charset=utf-8&format=JSON&method=alipay.system.oauth.token&sign_type=RSA2&timestamp=2026-09-01+12%3A00%3A00&version=1.0&sign=a&empty=";
        let body = "code=4b203fe6c11548bcabd8da5bb087a83b&grant_type=authorization_code";
        assert_eq!(
            text_to_sign(&[&Params::parse(query), &Params::parse(body)]),
            "app_id=2021000000000001&charset=utf-8&code=4b203fe6c11548bcabd8da5bb087a83b&format=JSON&grant_type=authorization_code&method=alipay.system.oauth.token&sign_type=RSA2&timestamp=2026-09-01 12:00:00&version=1.0"
        );
    }

    #[test]
    fn a_form_changes_the_signature_or_the_text_and_nothing_else() {
        let body = br#"{"node":{"a":"b/c"},"sign":"QUJD"}"#;
        for (form, wanted) in [
            (Form::NoSign, r#"{"node":{"a":"b/c"}}"#),
            (Form::WrongSign, r#"{"node":{"a":"b/c"},"sign":"AUJD"}"#),
            (Form::EscapedSlash, r#"{"node":{"a":"b\/c"},"sign":"QUJD"}"#),
        ] {
            assert_eq!(String::from_utf8_lossy(&reshaped(form, body)), wanted);
        }
        let failed = String::from_utf8(reshaped(Form::ErrorInNode, body)).expect("UTF-8");
        assert!(
            failed.contains("isv.code-invalid") && !failed.contains("sign\":"),
            "{failed}"
        );
    }
}
