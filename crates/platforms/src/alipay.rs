//! Alipay's exchange of a login code (`alipay.system.oauth.token`,
//! <https://opendocs.alipay.com/open/02ailc>). The app signs the request, and Alipay signs the answer.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Request, Url};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use wxmint_ids::{AppId, LoginCode, Platform};
use wxmint_verify::json::read_object;
use wxmint_wechat::{AlipayIdentity, AlipayKeys, PlatformApp, Session};

use crate::answer::{BYTE_ORDER_MARK, session, text};
use crate::client::{form, post};
use crate::error::{Meaning, PlatformError};

pub(crate) const URL: &str = "https://openapi.alipay.com/gateway.do";

const METHOD: &str = "alipay.system.oauth.token";
/// Alipay's clock (UTC+8), in hours.
const ZONE: i64 = 8;
/// The code of a success, where an answer has one.
const SUCCESS: &str = "10000";
/// The words of Alipay's that a log and a metric may show. Others could hold anything.
const WORDS: [(&str, Meaning); 15] = [
    ("isv.code-invalid", Meaning::CodeInvalid),
    ("isv.invalid-app-id", Meaning::Misconfigured),
    ("isv.invalid-signature", Meaning::Misconfigured),
    ("isv.invalid-timestamp", Meaning::Misconfigured),
    ("isv.grant-type-invalid", Meaning::Misconfigured),
    ("isv.missing-method", Meaning::Misconfigured),
    ("isv.missing-app-id", Meaning::Misconfigured),
    ("isv.missing-signature", Meaning::Misconfigured),
    ("isv.missing-signature-type", Meaning::Misconfigured),
    ("isv.missing-signature-key", Meaning::Misconfigured),
    ("isv.missing-timestamp", Meaning::Misconfigured),
    ("isv.missing-version", Meaning::Misconfigured),
    ("isv.insufficient-isv-permissions", Meaning::Misconfigured),
    ("isp.unknow-error", Meaning::Busy),
    ("aop.unknow-error", Meaning::Busy),
];

/// The request, signed by the app.
pub(crate) fn request(
    url: &Url,
    id: &AppId,
    keys: &AlipayKeys,
    code: &LoginCode,
    now: DateTime<Utc>,
) -> Request {
    let timestamp = (now + TimeDelta::hours(ZONE)).format("%Y-%m-%d %H:%M:%S");
    let timestamp = timestamp.to_string();
    let common = [
        ("app_id", id.as_str()),
        ("charset", "utf-8"),
        ("format", "JSON"),
        ("method", METHOD),
        ("sign_type", "RSA2"),
        ("timestamp", &timestamp),
        ("version", "1.0"),
    ];
    let own = [
        ("code", code.as_str()),
        ("grant_type", "authorization_code"),
    ];
    let sign = keys.sign(&text_to_sign(common.into_iter().chain(own)));
    let mut url = url.clone();
    url.query_pairs_mut()
        .extend_pairs(common)
        .append_pair("sign", &sign);
    let content_type = "application/x-www-form-urlencoded;charset=utf-8";
    post(url, form(own), content_type)
}

/// The parameters without empty ones, sorted by name, as `name=value` joined by `&`, not encoded.
fn text_to_sign<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut parameters: Vec<_> = parameters.filter(|(_, value)| !value.is_empty()).collect();
    parameters.sort_unstable();
    let pairs: Vec<_> = parameters
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// The answer. A repeated member is an error. The nodes stay as they came, because Alipay signs their
/// bytes.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, rename = "alipay_system_oauth_token_response")]
    node: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error_response: Option<&'a RawValue>,
    #[serde(default)]
    sign: Option<String>,
}

/// The person whom the answer names. Alipay's texts are not read, because they may hold the code.
pub(crate) fn read(
    app: &PlatformApp,
    keys: &AlipayKeys,
    body: &[u8],
) -> Result<Session, PlatformError> {
    let unanswered = |reason: &str| PlatformError::unanswered(Platform::Alipay, reason);
    let json = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let envelope: Envelope<'_> =
        serde_json::from_slice(json).map_err(|_| unanswered("it is no answer of Alipay's form"))?;
    if let Some(error) = envelope.error_response {
        return Err(refusal(&node(error)?));
    }
    let raw = envelope
        .node
        .ok_or_else(|| unanswered("it has neither a result nor an error"))?;
    let members = node(raw)?;
    let has_failed = text(&members, "code").is_some_and(|code| code != SUCCESS);
    // That a login has failed is believed without a signature.
    if has_failed || members.contains_key("sub_code") {
        return Err(refusal(&members));
    }
    let signature = envelope.sign.unwrap_or_default();
    let is_signed = keys.has_signed(raw.get().as_bytes(), &signature)
        || keys.has_signed(raw.get().replace("\\/", "/").as_bytes(), &signature);
    if !is_signed {
        return Err(unanswered("its signature is not Alipay's"));
    }
    let name = match keys.identity {
        AlipayIdentity::OpenId => "open_id",
        AlipayIdentity::UserId => "user_id",
    };
    let person = text(&members, name).ok_or(PlatformError::OtherIdentity {
        platform: Platform::Alipay,
        lacks: name,
    })?;
    session(app, person, text(&members, "union_id"), None)
}

fn node(raw: &RawValue) -> Result<Map<String, Value>, PlatformError> {
    read_object(raw.get().as_bytes()).map_err(|_| {
        PlatformError::unanswered(
            Platform::Alipay,
            "its result is no object of single members",
        )
    })
}

fn refusal(members: &Map<String, Value>) -> PlatformError {
    let number = text(members, "code").and_then(|code| code.parse().ok());
    let number: i64 = number.unwrap_or_default();
    let word = text(members, "sub_code");
    let known = WORDS.iter().find(|(known, _)| Some(*known) == word);
    let meaning = match (known, number) {
        (Some((_, meaning)), _) => *meaning,
        (None, 40001 | 40003 | 40006) => Meaning::Misconfigured,
        (None, 20000 | 20001) => Meaning::Busy,
        (None, _) => Meaning::Unknown,
    };
    PlatformError::Refused {
        platform: Platform::Alipay,
        number,
        word: known.map(|(word, _)| *word),
        meaning,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_lc_rs::digest::{SHA256, digest};
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use wxmint_ids::UnionScope;
    use wxmint_wechat::PlatformCredentials;

    use super::*;

    /// The keys of the app, and those with which Alipay signs for it.
    fn keys(identity: AlipayIdentity) -> [AlipayKeys; 2] {
        let [own, of_alipay] =
            [(); 2].map(|()| KeyPair::generate(KeySize::Rsa2048).expect("a key"));
        let texts = |pair: &KeyPair| {
            let private: Pkcs8V1Der<'_> = pair.as_der().expect("DER");
            [private.as_ref(), pair.public_key().as_ref()].map(|der| STANDARD.encode(der))
        };
        let [own, own_public] = texts(&own);
        let [of_alipay, public] = texts(&of_alipay);
        [
            AlipayKeys::new(&own, &public, identity).expect("keys"),
            AlipayKeys::new(&of_alipay, &own_public, identity).expect("keys"),
        ]
    }

    fn reads(keys: &AlipayKeys, body: &str) -> Result<Session, PlatformError> {
        let app = PlatformApp {
            platform: Platform::Alipay,
            is_game: false,
            credentials: PlatformCredentials::Alipay(keys.clone()),
            unions: UnionScope::new(Platform::Alipay, "shops").expect("a scope"),
        };
        read(&app, keys, body.as_bytes())
    }

    fn answer(node: &str, sign: &str) -> String {
        format!(
            r#"{{"alipay_system_oauth_token_response":{node},"alipay_cert_sn":"1","sign":"{sign}"}}"#
        )
    }

    #[test]
    fn the_text_to_sign_is_that_of_the_vector() {
        let parameters = [
            ("version", "1.0"),
            ("app_id", "2021000000000001"),
            ("charset", "utf-8"),
            ("app_auth_token", ""),
            ("code", "4b203fe6c11548bcabd8da5bb087a83b"),
            ("format", "JSON"),
            ("grant_type", "authorization_code"),
            ("method", METHOD),
            ("sign_type", "RSA2"),
            ("timestamp", "2026-09-01 12:00:00"),
        ];
        let text = text_to_sign(parameters.into_iter());
        assert_eq!(text.len(), 207, "{text}");
        let digest = digest(&SHA256, text.as_bytes());
        let hex: String = digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "652ee0885f3c8aac8c7e3b4c9f60ba65640d803a28931fa82da7e86be862e493"
        );
    }

    #[test]
    fn the_request_is_signed_over_query_and_body_and_has_alipays_time() {
        let [own, alipay] = keys(AlipayIdentity::OpenId);
        let url = URL.parse().expect("a URL");
        let id = "2021000000000001".parse().expect("an AppID");
        let code = "a+b/c=&d".parse().expect("a code");
        let now = DateTime::from_timestamp(1_788_235_200, 0).expect("a time");
        let request = request(&url, &id, &own, &code, now);
        assert_eq!(request.method(), reqwest::Method::POST);
        let pairs =
            |url: &Url| -> BTreeMap<String, String> { url.query_pairs().into_owned().collect() };
        let mut query = pairs(request.url());
        let sign = query.remove("sign").expect("a signature");
        assert_eq!(query["timestamp"], "2026-09-01 12:00:00");
        assert_eq!(query["charset"], "utf-8");
        assert!(!query.contains_key("code"));
        let body = request
            .body()
            .and_then(|body| body.as_bytes())
            .expect("a body");
        let mut form = url.clone();
        form.set_query(Some(str::from_utf8(body).expect("ASCII")));
        let form = pairs(&form);
        assert_eq!(form["code"], "a+b/c=&d");
        let both = query.iter().chain(&form);
        let text = text_to_sign(both.map(|(name, value)| (name.as_str(), value.as_str())));
        assert!(alipay.has_signed(text.as_bytes(), &sign), "{text}");
    }

    #[test]
    fn a_signed_answer_names_the_person_and_one_that_is_not_names_nobody() {
        let [own, alipay] = keys(AlipayIdentity::OpenId);
        let node = r#"{"access_token":"a/b","open_id":"the-person","user_id":"2088000000000001","union_id":"the-union","expires_in":"1296000"}"#;
        let sign = alipay.sign(node);
        let escaped = node.replace('/', "\\/");
        for body in [
            answer(node, &sign),
            format!("\u{feff}{}", answer(node, &sign)),
            answer(&escaped, &sign),
            format!(r#"{{"sign":"{sign}","alipay_system_oauth_token_response":{node}}}"#),
        ] {
            let session = reads(&own, &body).expect("a session");
            assert_eq!(session.openid.as_str(), "the-person");
            let unionid = session.unionid.expect("a unionid");
            assert_eq!(unionid.as_str(), "the-union");
            assert_eq!(unionid.scope().prefix(), "alipay/shops:");
            assert!(session.session_key.is_none());
        }
        let forged = node.replace("the-person", "the-victim");
        for body in [
            answer(&forged, &sign),
            answer(&format!("{node} "), &alipay.sign("{}")),
            answer(node, ""),
            answer(node, &own.sign(node)),
            format!(r#"{{"alipay_system_oauth_token_response":{node}}}"#),
            format!(
                r#"{{"alipay_system_oauth_token_response":{node},"sign":"{sign}","sign":"{sign}"}}"#
            ),
            format!(
                r#"{{"alipay_system_oauth_token_response":{forged},"alipay_system_oauth_token_response":{node},"sign":"{sign}"}}"#
            ),
            r#"{"sign":""}"#.to_owned(),
            "<html>".to_owned(),
        ] {
            let refused = reads(&own, &body).expect_err(&body);
            assert!(
                matches!(refused, PlatformError::Unanswered { .. }),
                "{body}: {refused}"
            );
        }
    }

    #[test]
    fn the_identity_is_the_one_of_the_setting_and_never_the_other() {
        for (identity, name, other) in [
            (AlipayIdentity::OpenId, "open_id", "user_id"),
            (AlipayIdentity::UserId, "user_id", "open_id"),
        ] {
            let [own, alipay] = keys(identity);
            let both = format!(r#"{{"{name}":"right","{other}":"wrong"}}"#);
            let session = reads(&own, &answer(&both, &alipay.sign(&both))).expect("a session");
            assert_eq!(session.openid.as_str(), "right");
            for value in [r#""""#, "null", r#""undefined-is-missing""#] {
                let lacks = if value.len() > 4 {
                    format!(r#"{{"{other}":{value}}}"#)
                } else {
                    format!(r#"{{"{name}":{value},"{other}":"wrong"}}"#)
                };
                let refused = reads(&own, &answer(&lacks, &alipay.sign(&lacks)));
                let refused = refused.expect_err(&lacks);
                assert!(
                    matches!(refused, PlatformError::OtherIdentity { .. }),
                    "{refused}"
                );
                assert!(refused.to_string().contains(name), "{refused}");
            }
        }
    }

    #[test]
    fn a_failure_is_believed_without_a_signature_and_its_text_is_dropped() {
        let [own, _] = keys(AlipayIdentity::OpenId);
        for (members, meaning, label) in [
            (
                r#""code":"40002","sub_code":"isv.code-invalid""#,
                Meaning::CodeInvalid,
                "isv.code-invalid",
            ),
            (
                r#""code":"40002","sub_code":"isv.invalid-signature""#,
                Meaning::Misconfigured,
                "isv.invalid-signature",
            ),
            (
                r#""code":"40002","sub_code":"isv.missing-method""#,
                Meaning::Misconfigured,
                "isv.missing-method",
            ),
            (
                r#""code":"40002","sub_code":"isv.planted-CODE""#,
                Meaning::Unknown,
                "other",
            ),
            (r#""code":"40001""#, Meaning::Misconfigured, "40001"),
            (
                r#""code":"40006","sub_code":"isv.insufficient-user-permissions""#,
                Meaning::Misconfigured,
                "40006",
            ),
            (
                r#""code":"20000","sub_code":"isp.unknow-error""#,
                Meaning::Busy,
                "isp.unknow-error",
            ),
            (r#""code":"20001""#, Meaning::Busy, "20001"),
            (r#""code":"99999""#, Meaning::Unknown, "other"),
        ] {
            let node = format!(r#"{{{members},"msg":"planted-CODE","sub_msg":"planted-CODE"}}"#);
            for body in [
                format!(r#"{{"error_response":{node}}}"#),
                format!(r#"{{"alipay_system_oauth_token_response":{node}}}"#),
            ] {
                let refused = reads(&own, &body).expect_err(&body);
                let PlatformError::Refused { meaning: told, .. } = refused else {
                    panic!("{body}: {refused}")
                };
                assert_eq!((told, &*refused.label()), (meaning, label), "{body}");
                assert!(!refused.to_string().contains("planted"), "{refused}");
            }
        }
    }
}
