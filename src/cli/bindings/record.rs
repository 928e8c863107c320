//! The lines of an export. Each line is one person and their binding. The last line is the number
//! of people.

use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use wxmint_ids::{
    AppId, IdText, InvalidId, OpenId, Person, Platform, UnionId, UnionScope, foreign_id,
};
use wxmint_platforms::is_supported;
use wxmint_store::Bound;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) person: Person,
    /// `None`: the person was unbound, and must not be bound again without being asked.
    pub(super) bound: Option<Bound>,
}

/// The members of a line, in this order.
const MEMBERS: [&str; 9] = [
    "platform",
    "appid",
    "openid",
    "user_id",
    "unionid",
    "unionid_scope",
    "unionid_conflict",
    "bound_at",
    "dissolved",
];

impl Record {
    /// Reads a line. A line that names no app is of `app`; a binding without a time gets the time
    /// `now`. Errors do not repeat the content.
    pub(super) fn parse(
        line: &[u8],
        app: Option<&AppId>,
        now: DateTime<Utc>,
    ) -> Result<Self, String> {
        let Ok(Value::Object(mut members)) = serde_json::from_slice(line) else {
            return Err("is not a JSON object".into());
        };
        members.retain(|_, value| !value.is_null());
        // The value of a misspelt member would be lost.
        if !members.keys().all(|name| MEMBERS.contains(&name.as_str())) {
            return Err(format!(
                "has a member that is none of {}",
                MEMBERS.join(", ")
            ));
        }
        let platform = platform(&members)?;
        let named = id::<AppId>(&members, "appid")?.or_else(|| app.cloned());
        let app =
            named.ok_or("has no `appid`; where all lines are of one app, name it by --appid")?;
        let has_capitals = app
            .as_str()
            .bytes()
            .any(|letter| letter.is_ascii_uppercase());
        if platform == Platform::WeChat && has_capitals {
            return Err(
                "has an AppID with capital letters, and WeChat's have none: write it as the console shows it".into()
            );
        }
        let openid = id::<IdText>(&members, "openid")?.ok_or("has no `openid`")?;
        let openid =
            OpenId::new(platform, openid.as_str()).map_err(|error| format!("`openid` {error}"))?;
        record(
            Person {
                platform,
                app,
                openid,
            },
            &members,
            now,
        )
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Person {
            platform,
            app,
            openid,
        } = &self.person;
        let text = |text: &str| Some(Value::from(text));
        let bound = self.bound.as_ref();
        let unionid = bound.and_then(|bound| bound.unionid.as_ref());
        let scope = unionid.map(|unionid| unionid.scope().word());
        let values = [
            text(platform.name()).filter(|_| *platform != Platform::WeChat),
            text(app.as_str()),
            text(openid.as_str()),
            bound.and_then(|bound| text(bound.user.as_str())),
            unionid.and_then(|unionid| text(unionid.as_str())),
            scope
                .filter(|word| !word.is_empty() && *word != platform.name())
                .and_then(text),
            bound.and_then(|bound| text(bound.conflict.as_ref()?.as_str())),
            bound.and_then(|bound| {
                text(&bound.bound_at.to_rfc3339_opts(SecondsFormat::Millis, true))
            }),
            bound.is_none().then(|| true.into()),
        ];
        serializer.collect_map(
            MEMBERS
                .into_iter()
                .zip(values)
                .filter(|(_, value)| value.is_some()),
        )
    }
}

/// The platform of a line. A line that names none is of WeChat.
fn platform(members: &Map<String, Value>) -> Result<Platform, String> {
    match members.get("platform") {
        None => Ok(Platform::WeChat),
        Some(name) => {
            let known = name.as_str().and_then(|name| name.parse().ok());
            let known = known
                .filter(|platform| *platform == Platform::WeChat || is_supported(*platform, false));
            known.ok_or_else(|| {
                "`platform` must be wechat, douyin, qq, kuaishou, bilibili, huawei or alipay"
                    .to_owned()
            })
        }
    }
}

/// The scope of the line's unionid: that of its platform, unless the line names another one.
fn scope(platform: Platform, members: &Map<String, Value>) -> Result<UnionScope, String> {
    let word = match members.get("unionid_scope") {
        None => platform.name(),
        Some(_) if platform == Platform::WeChat => {
            return Err("has `unionid_scope`, and WeChat has one scope for all unionids".into());
        }
        Some(Value::String(word)) => word,
        Some(_) => return Err("`unionid_scope` must be a text".into()),
    };
    UnionScope::new(platform, word).map_err(|error| format!("`unionid_scope` {error}"))
}

/// Accepts numbers too, because many systems number their users.
fn id<T: FromStr<Err = InvalidId>>(
    members: &Map<String, Value>,
    name: &str,
) -> Result<Option<T>, String> {
    let text = match members.get(name) {
        None => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
        Some(_) => return Err(format!("`{name}` must be a text")),
    };
    foreign_id(&text)
        .map(Some)
        .map_err(|error| format!("`{name}` {error}"))
}

fn record(
    person: Person,
    members: &Map<String, Value>,
    now: DateTime<Utc>,
) -> Result<Record, String> {
    let user = id(members, "user_id")?;
    let dissolved = members.get("dissolved");
    let scope = scope(person.platform, members)?;
    // Read as an id of any platform first, so that a text which stands for a missing value is refused.
    let unionid = id::<IdText>(members, "unionid")?;
    let unionid = unionid.map(|unionid| UnionId::new(scope, unionid.as_str()));
    let unionid = unionid
        .transpose()
        .map_err(|error| format!("`unionid` {error}"))?;
    let conflict = id(members, "unionid_conflict")?;
    match (user, dissolved) {
        (Some(_), None) if conflict.is_some() && unionid.is_none() => {
            Err("has `unionid_conflict` without `unionid`".into())
        }
        (Some(user), None) => {
            let bound_at = members.get("bound_at").map_or(Ok(now), bound_at)?;
            Ok(Record {
                person,
                bound: Some(Bound {
                    unionid,
                    conflict,
                    bound_at,
                    ..Bound::computed(user)
                }),
            })
        }
        (None, Some(Value::Bool(true))) => Ok(Record {
            person,
            bound: None,
        }),
        (None, None) => Err("has no `user_id`".into()),
        _ => Err("`dissolved` must be true, and stand without `user_id`".into()),
    }
}

fn bound_at(value: &Value) -> Result<DateTime<Utc>, &'static str> {
    let at = value
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    // Rounded to the millisecond, as in an export.
    let at = at.and_then(|at| DateTime::from_timestamp_millis(at.timestamp_millis()));
    at.ok_or("`bound_at` must be a time such as 2026-01-31T08:00:00Z (RFC 3339)")
}

/// The last line of an export. A file without it was cut off.
pub(super) fn trailer(count: usize) -> Value {
    json!({"wxmint_bindings": {"count": count}})
}

/// The number of people in a trailer; `None` if the line is no trailer.
pub(super) fn read_trailer(line: &[u8]) -> Option<Result<usize, String>> {
    line.starts_with(br#"{"wxmint_bindings""#).then(|| {
        let told: Value = serde_json::from_slice(line).unwrap_or_default();
        let count = told["wxmint_bindings"]["count"]
            .as_u64()
            .map(|count| count as usize);
        count
            .filter(|count| told == trailer(*count))
            .ok_or_else(|| "is a trailer of another form, perhaps of a later version".to_owned())
    })
}

/// Half of a digest: 16 bytes that identify a person who has a line.
pub(super) fn mark(person: &Person) -> u128 {
    let whole = digest(
        &SHA256,
        format!(
            "{}{}:{}",
            person.platform.prefix(),
            person.app,
            person.openid.as_str()
        )
        .as_bytes(),
    );
    whole
        .as_ref()
        .iter()
        .take(16)
        .fold(0, |mark, byte| mark << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::json;

    const WHOLE: &str = r#"{"appid":"wx1","openid":"o1","user_id":"u1","unionid":"n1","unionid_conflict":"u2","bound_at":"2026-01-31T08:00:00.123Z"}"#;

    fn parse(line: &str) -> Result<Record, String> {
        Record::parse(line.as_bytes(), None, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_line_that_was_written_is_read_as_it_was() {
        for line in [
            WHOLE,
            r#"{"appid":"wx1","openid":"o1","user_id":"u1","bound_at":"2026-01-31T08:00:00.000Z"}"#,
            r#"{"appid":"wx1","openid":"o1","dissolved":true}"#,
        ] {
            assert_eq!(parse(line).map(|record| json(&record)).as_deref(), Ok(line));
        }
    }

    #[test]
    fn the_order_of_members_spaces_and_offsets_do_not_matter() {
        let other = r#" {"user_id": "u1", "unionid_conflict":"u2","bound_at":"2026-01-31T16:00:00.1234+08:00",
            "openid":"o1", "unionid":"n1", "appid":"wx1"} "#;
        assert_eq!(parse(other), parse(WHOLE));
    }

    #[test]
    fn the_table_of_another_system_may_have_nulls_and_numbers_and_leave_the_app_out() {
        let (app, now) = (
            "wx1".parse().expect("an app"),
            DateTime::from_timestamp_millis(1).expect("a time"),
        );
        let read = |line: &str| {
            Record::parse(line.as_bytes(), Some(&app), now).map(|record| json(&record))
        };
        let expected = |app: &str, user: &str| {
            let at = "1970-01-01T00:00:00.001Z";
            Ok(format!(
                r#"{{"appid":"{app}","openid":"o1","user_id":"{user}","bound_at":"{at}"}}"#
            ))
        };
        assert_eq!(
            read(r#"{"openid":"o1","user_id":42,"unionid":null,"bound_at":null}"#),
            expected("wx1", "42")
        );
        assert_eq!(
            read(r#"{"platform":"wechat","openid":"o1","user_id":42}"#),
            expected("wx1", "42")
        );
        assert_eq!(
            read(r#"{"openid":"o1","user_id":18446744073709551615,"appid":"wx2"}"#),
            expected("wx2", "18446744073709551615")
        );
    }

    #[test]
    fn a_line_of_a_platform_that_nobody_logs_in_at_is_refused() {
        for platform in ["\"wecom\"", "\"secret\"", "7"] {
            let line =
                format!(r#"{{"platform":{platform},"appid":"wx1","openid":"o","user_id":"u"}}"#);
            let refused = Record::parse(line.as_bytes(), None, DateTime::UNIX_EPOCH);
            let why = refused.map(|record| json(&record)).expect_err(&line);
            assert!(why.starts_with("`platform` must be wechat"), "{why}");
        }
    }

    #[test]
    fn a_line_of_another_platform_keeps_its_platform_and_its_scope() {
        for line in [
            r#"{"platform":"douyin","appid":"tt1","openid":"_000a.b","user_id":"u1","unionid":"n1","bound_at":"2026-01-31T08:00:00.000Z"}"#,
            r#"{"platform":"douyin","appid":"ttA","openid":"o1","user_id":"u1","unionid":"n1","unionid_scope":"shops","bound_at":"2026-01-31T08:00:00.000Z"}"#,
            r#"{"platform":"kuaishou","appid":"ks1","openid":"o1","dissolved":true}"#,
        ] {
            let record = parse(line);
            assert_eq!(record.map(|record| json(&record)).as_deref(), Ok(line));
        }
        let record = parse(
            r#"{"platform":"douyin","appid":"tt1","openid":"o1","user_id":"u1","unionid":"n1"}"#,
        );
        let bound = record.expect("a line").bound.expect("a user");
        assert_eq!(
            bound.unionid.expect("a unionid").scope().prefix(),
            "douyin/douyin:"
        );
        let of_wechat = r#"{"appid":"wx1","openid":"o1","user_id":"u1","unionid":"n1","unionid_scope":"shops"}"#;
        let refused = parse(of_wechat).expect_err("WeChat has one scope");
        assert!(refused.contains("unionid_scope"), "{refused}");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_content() {
        for (line, wrong) in [
            ("", "is not a JSON object"),
            ("secret", "is not a JSON object"),
            (r#"["secret"]"#, "is not a JSON object"),
            (
                r#"{"openid":"secret","user_id":"secret"}"#,
                "has no `appid`",
            ),
            (r#"{"appid":"wx1","user_id":"secret"}"#, "has no `openid`"),
            (r#"{"appid":"wx1","openid":"secret"}"#, "has no `user_id`"),
            (
                r#"{"appid":"wx1","openid":"","user_id":"u"}"#,
                "`openid` must not be empty",
            ),
            (
                r#"{"appid":"wx1","openid":"secret one","user_id":"u"}"#,
                "`openid` must consist of",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":"secret one"}"#,
                "`user_id` must consist of",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":1.5}"#,
                "`user_id` must be a text",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":["secret"]}"#,
                "`user_id` must be a text",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":0}"#,
                "`user_id` must name somebody",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":-1}"#,
                "`user_id` must name somebody",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":"[object Object]"}"#,
                "`user_id` must name somebody",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":""}"#,
                "`user_id` must not be empty",
            ),
            (
                r#"{"appid":"wx1","openid":"openid","user_id":"user_id"}"#,
                "`openid` must name somebody",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":"u","unionid":"NULL"}"#,
                "`unionid` must name somebody",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":"u","unionid":0}"#,
                "`unionid` must name somebody",
            ),
            (
                r#"{"appid":"WX0123456789ABCDEF","openid":"o","user_id":"u"}"#,
                "has an AppID with capital letters",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":"u","union_id":"secret"}"#,
                "has a member that is none of",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":"u","bound_at":"secret"}"#,
                "`bound_at` must be a time",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":"u","bound_at":1769846400}"#,
                "`bound_at` must be a time",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":"u","unionid_conflict":"secret"}"#,
                "without `unionid`",
            ),
            (
                r#"{"appid":"wx1","openid":"o","user_id":"u","dissolved":true}"#,
                "`dissolved` must be true, and",
            ),
            (
                r#"{"appid":"wx1","openid":"o","dissolved":"secret"}"#,
                "`dissolved` must be true, and",
            ),
        ] {
            let said = parse(line).expect_err(line);
            assert!(
                said.contains(wrong) && !said.contains("secret"),
                "{line}: {said}"
            );
        }
    }

    #[test]
    fn a_person_has_a_mark_that_nobody_else_has() {
        let [one, two, same] = ["o1", "o2", "o1"].map(|openid| Person {
            platform: Platform::WeChat,
            app: "wx1".parse().expect("an app"),
            openid: openid.parse().expect("an openid"),
        });
        assert!(mark(&one) == mark(&same) && mark(&one) != mark(&two));
        let elsewhere = Person {
            platform: Platform::Douyin,
            ..one.clone()
        };
        assert_ne!(mark(&one), mark(&elsewhere));
    }

    #[test]
    fn a_trailer_is_told_from_other_lines() {
        assert_eq!(read_trailer(trailer(3).to_string().as_bytes()), Some(Ok(3)));
        assert!(read_trailer(br#"{"appid":"wx1","openid":"o1","user_id":"u1"}"#).is_none());
        let later = br#"{"wxmint_bindings":{"count":1,"sha512":""}}"#;
        assert!(read_trailer(later).expect("meant to be one").is_err());
    }
}
