//! Reads the answer of a platform as its row of the table says. The HTTP status says nothing at these
//! platforms, so an error is known by its number alone.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use wxmint_ids::{AppId, OpenId, UnionId};
use wxmint_verify::json::{Malformed, read_object};
use wxmint_wechat::{PlatformApp, Session, SessionKey};

use crate::error::{Meaning, PlatformError};
use crate::table::{CodeCall, Members};

/// The longest member that is read, in bytes. An ID token is the longest.
const LONGEST: usize = 4096;
/// Seconds by which two clocks may differ.
const LEEWAY: i64 = 60;
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The person whom the answer names. The platform's texts are not read, because they may hold the
/// code.
pub(crate) fn read(
    call: &CodeCall,
    id: &AppId,
    app: &PlatformApp,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Session, PlatformError> {
    let unanswered = |reason: &str| PlatformError::unanswered(call.platform, reason);
    let unusable = |reason: &str| PlatformError::unusable(call.platform, reason);
    let json = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let answer = read_object(json).map_err(|error| match error {
        Malformed::NotAnObject => unanswered("it is no JSON object"),
        Malformed::MemberTwice => unanswered("it has a member twice"),
    })?;
    let numbers =
        numbers(call, &answer).map_err(|()| unanswered("its error number is no number"))?;
    if numbers.is_empty() && !call.may_lack_number {
        return Err(unanswered("it has no error number"));
    }
    if let Some((number, meaning)) = refusal(call, &numbers) {
        return Err(PlatformError::Refused {
            platform: call.platform,
            number,
            word: None,
            meaning,
        });
    }
    let claims;
    let members = match call.members {
        Members::Top => Some(&answer),
        Members::In(name) => answer.get(name).and_then(Value::as_object),
        Members::IdToken { member, issuer } => {
            let token = text(&answer, member).ok_or_else(|| unusable("it has no ID token"))?;
            claims = claims_of(token, issuer, id, now)
                .ok_or_else(|| unusable("its ID token is not of the platform and for the app"))?;
            Some(&claims)
        }
    };
    let members = members.ok_or_else(|| unusable("it is a success without data"))?;
    let person = call.persons.iter().find_map(|name| text(members, name));
    let person = person.ok_or_else(|| unusable("it names no person"))?;
    let unionid = call.unionid.and_then(|name| text(members, name));
    let session_key = text(members, "session_key").map(SessionKey::new);
    session(app, person, unionid, session_key)
}

/// The session of this person of the app, whose ids must have the form of a platform's.
pub(crate) fn session(
    app: &PlatformApp,
    person: &str,
    unionid: Option<&str>,
    session_key: Option<SessionKey>,
) -> Result<Session, PlatformError> {
    let unusable = |reason: &str| PlatformError::unusable(app.platform, reason);
    let unionid = unionid.map(|unionid| UnionId::new(app.unions.clone(), unionid));
    Ok(Session {
        openid: OpenId::new(app.platform, person)
            .map_err(|_| unusable("its id of the person has another form"))?,
        unionid: unionid
            .transpose()
            .map_err(|_| unusable("its unionid has another form"))?,
        session_key,
    })
}

/// The error numbers of the answer, each of which may be a text.
fn numbers(call: &CodeCall, answer: &Map<String, Value>) -> Result<Vec<i64>, ()> {
    let members = call.numbers.iter().filter_map(|name| answer.get(*name));
    let given = members.filter(|value| !is_absent(value));
    given
        .map(|value| match value {
            Value::String(text) => text.parse().map_err(|_| ()),
            value => value.as_i64().ok_or(()),
        })
        .collect()
}

/// The number that says why the platform refuses, and its meaning. `None` for a success.
fn refusal(call: &CodeCall, numbers: &[i64]) -> Option<(i64, Meaning)> {
    let failed = numbers.iter().filter(|number| **number != call.success);
    let failed: Vec<_> = failed
        .map(|number| (*number, meaning(call, *number)))
        .collect();
    let mut known = failed
        .iter()
        .filter(|(_, meaning)| *meaning != Meaning::Unknown);
    known.next().or(failed.first()).copied()
}

/// The claims of an ID token, if it is of this issuer, for this app, and not expired.
fn claims_of(
    token: &str,
    issuer: &str,
    app: &AppId,
    now: DateTime<Utc>,
) -> Option<Map<String, Value>> {
    let payload = token.split('.').nth(1)?;
    let claims = read_object(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let expires_at = claims.get("exp").and_then(Value::as_i64)?;
    let is_fit = text(&claims, "iss") == Some(issuer)
        && text(&claims, "aud") == Some(app.as_str())
        && expires_at.saturating_add(LEEWAY) > now.timestamp();
    is_fit.then_some(claims)
}

fn meaning(call: &CodeCall, number: i64) -> Meaning {
    if call.of_client.contains(&number) {
        Meaning::CodeInvalid
    } else if call.of_operator.contains(&number) {
        Meaning::Misconfigured
    } else if call.of_person.contains(&number) {
        Meaning::SlowDown
    } else if call.of_platform.contains(&number) {
        Meaning::Busy
    } else {
        Meaning::Unknown
    }
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || value == ""
}

pub(crate) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = members.get(name)?.as_str()?;
    (1..=LONGEST).contains(&text.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wxmint_ids::{Platform, UnionScope};

    use wxmint_wechat::PlatformCredentials;

    use super::*;
    use crate::table::{CALLS, place_of};

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";

    fn reads(platform: Platform, is_game: bool, body: &str) -> Result<Session, PlatformError> {
        let app = PlatformApp {
            platform,
            is_game,
            credentials: PlatformCredentials::Secret("01234567".parse().expect("a secret")),
            unions: UnionScope::new(platform, "shops").expect("a scope"),
        };
        let place = place_of(platform, is_game).expect("a row");
        let id = "10086".parse().expect("an AppID");
        read(
            &CALLS[place],
            &id,
            &app,
            body.as_bytes(),
            DateTime::UNIX_EPOCH,
        )
    }

    fn named(session: &Session) -> [Option<&str>; 3] {
        let unionid = session.unionid.as_ref();
        [
            Some(session.openid.as_str()),
            unionid.map(UnionId::as_str),
            session.session_key.as_ref().map(SessionKey::expose),
        ]
    }

    #[test]
    fn each_platforms_own_answer_names_the_person() {
        let union = "f3b0a7a6-6b9c-4b3a-9d5e-0a3f0d7d8c11";
        for (platform, is_game, body, unionid) in [
            (
                Platform::Douyin,
                false,
                json!({"err_no": 0, "err_tips": "success", "log_id": "1", "data": {"session_key": KEY, "openid": "_000a.b", "anonymous_openid": "", "unionid": union}}),
                Some(union),
            ),
            (
                Platform::Douyin,
                true,
                json!({"error": 0, "session_key": KEY, "openid": "_000a.b", "anonymous_openid": "", "unionid": union}),
                Some(union),
            ),
            (
                Platform::Qq,
                false,
                json!({"openid": "_000a.b", "session_key": KEY, "errcode": 0, "errmsg": "", "unionid": "UID_1"}),
                Some("UID_1"),
            ),
            (
                Platform::Kuaishou,
                false,
                json!({"result": 1, "session_key": KEY, "open_id": "_000a.b", "unionid": "u"}),
                None,
            ),
            (
                Platform::Bilibili,
                false,
                json!({"openId": "_000a.b", "session_key": KEY}),
                None,
            ),
        ] {
            let session = reads(platform, is_game, &body.to_string()).expect("a session");
            assert_eq!(named(&session), [Some("_000a.b"), unionid, Some(KEY)]);
            let scope = session.unionid.map(|unionid| unionid.scope().prefix());
            let prefix = unionid.map(|_| format!("{platform}/shops:"));
            assert_eq!(scope, prefix);
        }
    }

    #[test]
    fn forms_that_were_seen_are_read_and_what_names_nobody_is_refused() {
        let success = |data: &str| {
            let body = format!(r#"{{"err_no":"0","data":{data}}}"#);
            reads(Platform::Douyin, false, &body)
        };
        for data in [
            r#"{"openid":"a","unionid":""}"#,
            r#"{"openid":"a","unionid":null,"new":[1]}"#,
        ] {
            let session = success(data).expect("a session");
            assert_eq!(named(&session), [Some("a"), None, None], "{data}");
        }
        for (data, reason) in [
            (r#"{"openid":"","anonymous_openid":"a"}"#, "names no person"),
            (r#"{"openid":null}"#, "names no person"),
            (r#"{"openid":7}"#, "names no person"),
            ("{}", "names no person"),
            ("null", "without data"),
            (r#""""#, "without data"),
            (r#"{"openid":"a","openid":"b"}"#, "member twice"),
            (r#"{"openid":"a b"}"#, "another form"),
            (r#"{"openid":"a","unionid":"a:b"}"#, "another form"),
        ] {
            let refused = success(data).expect_err(data).to_string();
            // An answer that one person can cause is no outage.
            let begin = if reason == "member twice" {
                "douyin gave no usable answer"
            } else {
                "douyin gave an answer that cannot be used"
            };
            assert!(
                refused.starts_with(begin) && refused.contains(reason),
                "{data}: {refused}"
            );
        }
        let marked = "\u{feff}{\"openid\":\"a\"}";
        assert!(reads(Platform::Qq, false, marked).is_ok());
        // The members of Douyin's older call are not at the top of this one.
        for flat in [
            r#"{"error":0,"openid":"a"}"#,
            r#"{"err_no":0,"openid":"a"}"#,
            r#"{"data":{"openid":"a"}}"#,
            r#"{"err_no":null,"data":{"openid":"a"}}"#,
            r#"{"err_no":"no","data":{"openid":"a"}}"#,
            "[]",
            "<html>",
            "",
        ] {
            assert!(reads(Platform::Douyin, false, flat).is_err(), "{flat}");
        }
    }

    #[test]
    fn the_id_token_of_huawei_names_the_person_and_one_of_another_app_or_issuer_nobody() {
        let token = |claims: Value| {
            let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
            let body = json!({"token_type": "Bearer", "access_token": "a", "id_token": format!("e30.{payload}.c2ln")});
            reads(Platform::Huawei, false, &body.to_string())
        };
        let good = json!({"iss": "https://accounts.huawei.com", "aud": "10086", "exp": 1, "sub": "the-union", "openid": "the person=+/"});
        let mut claims = good.clone();
        claims["openid"] = json!("the-person=+/");
        let session = token(claims.clone()).expect("a session");
        assert_eq!(
            named(&session),
            [Some("the-person=+/"), Some("the-union"), None]
        );
        assert!(token(good).is_err(), "a blank in the id");
        for (name, value) in [
            ("iss", json!("https://accounts.example.com")),
            ("aud", json!("10087")),
            ("exp", json!(-60)),
            ("exp", json!("1")),
            ("exp", json!(i64::MIN)),
            ("openid", Value::Null),
            ("openid", json!("")),
        ] {
            let mut other = claims.clone();
            other[name] = value;
            assert!(token(other.clone()).is_err(), "{other}");
        }
        let none = r#"{"token_type":"Bearer","access_token":"a","scope":"openid"}"#;
        assert!(reads(Platform::Huawei, false, none).is_err(), "no ID token");
        for (body, number, meaning) in [
            (
                r#"{"error":1101,"sub_error":20155}"#,
                20155,
                Meaning::CodeInvalid,
            ),
            (
                r#"{"error":"1101","sub_error":"20002"}"#,
                20002,
                Meaning::Misconfigured,
            ),
            (
                r#"{"error":1103,"sub_error":77}"#,
                1103,
                Meaning::CodeInvalid,
            ),
            (r#"{"error":77,"sub_error":78}"#, 78, Meaning::Unknown),
        ] {
            let refused = reads(Platform::Huawei, false, body).expect_err(body);
            let platform = Platform::Huawei;
            assert_eq!(
                refused,
                PlatformError::Refused {
                    platform,
                    number,
                    word: None,
                    meaning
                }
            );
        }
    }

    #[test]
    fn a_number_means_what_its_platforms_list_says_and_an_unknown_one_is_no_wrong_code() {
        for call in &CALLS {
            let lists = [
                (call.of_client, Meaning::CodeInvalid),
                (call.of_operator, Meaning::Misconfigured),
                (call.of_person, Meaning::SlowDown),
                (call.of_platform, Meaning::Busy),
                (&[99_999, 100_200_999][..], Meaning::Unknown),
            ];
            for (numbers, meaning) in lists {
                for number in numbers {
                    let mut body = json!({"data": null});
                    body[call.numbers[0]] = json!(number);
                    let refused = reads(call.platform, call.is_of_games, &body.to_string());
                    let wanted = PlatformError::Refused {
                        platform: call.platform,
                        number: *number,
                        word: None,
                        meaning,
                    };
                    assert_eq!(refused.expect_err("refused"), wanted);
                }
            }
        }
        let failed = r#"{"errcode":40018,"errmsg":"bad code","error":3,"message":"bad code"}"#;
        let refused = reads(Platform::Douyin, true, failed).expect_err("refused");
        assert_eq!(refused.label(), "40018");
    }
}
