//! Reads the answer of a platform as its row of the table says. The HTTP status says nothing at these
//! platforms, so an error is known by its number alone.

use serde_json::{Map, Value};
use wxmint_ids::UnionId;
use wxmint_verify::json::{Malformed, read_object};
use wxmint_wechat::{PlatformApp, Session, SessionKey};

use crate::error::{Meaning, PlatformError};
use crate::table::CodeCall;

/// The longest member that is read, in bytes. The platforms' ids and keys have at most 64.
const LONGEST: usize = 1024;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The person whom the answer names. The platform's texts are not read, because they may hold the
/// code.
pub(crate) fn read(
    call: &CodeCall,
    app: &PlatformApp,
    body: &[u8],
) -> Result<Session, PlatformError> {
    let unusable = |reason: &str| PlatformError::unanswered(call.platform, reason);
    let json = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let answer = read_object(json).map_err(|error| match error {
        Malformed::NotAnObject => unusable("it is no JSON object"),
        Malformed::MemberTwice => unusable("it has a member twice"),
    })?;
    match number(call, &answer).map_err(|()| unusable("its error number is no number"))? {
        Some(number) if number != call.success => {
            return Err(PlatformError::Refused {
                platform: call.platform,
                number,
                meaning: meaning(call, number),
            });
        }
        None if !call.may_lack_number => return Err(unusable("it has no error number")),
        _ => {}
    }
    let members = match call.data {
        None => Some(&answer),
        Some(name) => answer.get(name).and_then(Value::as_object),
    };
    let members = members.ok_or_else(|| unusable("it is a success without data"))?;
    let person = call.persons.iter().find_map(|name| text(members, name));
    let person = person.ok_or_else(|| unusable("it names no person"))?;
    let unionid = call.unionid.and_then(|name| text(members, name));
    let unionid = unionid.map(str::parse::<UnionId>).transpose();
    let unionid = unionid.map_err(|_| unusable("its unionid has another form"))?;
    Ok(Session {
        openid: person
            .parse()
            .map_err(|_| unusable("its id of the person has another form"))?,
        unionid: unionid.map(|unionid| unionid.in_scope(app.unions.clone())),
        session_key: text(members, "session_key").map(SessionKey::new),
    })
}

/// The error number of the answer, which may be a text. `None` if it has none.
fn number(call: &CodeCall, answer: &Map<String, Value>) -> Result<Option<i64>, ()> {
    let mut members = call.numbers.iter().filter_map(|name| answer.get(*name));
    match members.find(|value| !is_absent(value)) {
        None => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| ()),
        Some(value) => value.as_i64().map(Some).ok_or(()),
    }
}

fn meaning(call: &CodeCall, number: i64) -> Meaning {
    if call.of_client.contains(&number) {
        Meaning::CodeInvalid
    } else if call.of_operator.contains(&number) {
        Meaning::Misconfigured
    } else if call.of_platform.contains(&number) {
        Meaning::Busy
    } else {
        Meaning::Unknown
    }
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || value == ""
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = members.get(name)?.as_str()?;
    (1..=LONGEST).contains(&text.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wxmint_ids::{Platform, UnionScope};

    use super::*;
    use crate::table::{CALLS, place_of};

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";

    fn reads(platform: Platform, is_game: bool, body: &str) -> Result<Session, PlatformError> {
        let app = PlatformApp {
            platform,
            is_game,
            secret: "01234567".parse().expect("a secret"),
            unions: UnionScope::new(platform, "shops").expect("a scope"),
        };
        let place = place_of(platform, is_game).expect("a row");
        read(&CALLS[place], &app, body.as_bytes())
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
            assert!(
                refused.starts_with("douyin gave no usable answer") && refused.contains(reason),
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
    fn a_number_means_what_its_platforms_list_says_and_an_unknown_one_is_no_wrong_code() {
        for call in &CALLS {
            let lists = [
                (call.of_client, Meaning::CodeInvalid),
                (call.of_operator, Meaning::Misconfigured),
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
