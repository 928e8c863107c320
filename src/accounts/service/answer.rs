//! The responses that a service may give (docs/accounts.openapi.yaml): one form for yes and one for
//! no. Any other response counts as no response, because the error page of a gateway must never
//! count as a wrong password.

use serde::Deserialize;
use serde_json::{Map, Value, error::Category};
use wxmint_ids::{InvalidForeignId, UserId, foreign_id};
use wxmint_keys::token::{ExtraClaims, InvalidClaims, unchecked_claims};

use crate::accounts::Named;
use crate::findings::Message;

/// Why a response cannot be used. The texts are for the operator, complete "the account backend did
/// not answer: …", and repeat nothing of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Any status except 200 and 201.
    #[error("status {0}")]
    Status(u16),
    #[error("{0} bytes that are not JSON")]
    NotJson(usize),
    #[error("JSON whose members are not exactly those of docs/accounts.openapi.yaml")]
    Members,
    /// The `user_id` cannot be a token's `sub`.
    #[error("a user_id that {0}")]
    UserId(#[from] InvalidForeignId),
    #[error("a user_id without new_user, or new_user without a user")]
    Contradiction,
    #[error("it has {0}")]
    Claims(#[from] InvalidClaims),
    /// A user had to be made, so "no" is not an answer.
    #[error("no user, although it had to make one")]
    NotMade,
}

in_chinese! {
    &Unusable:
        Unusable::Status(status) => "状态码 {status}",
        Unusable::NotJson(length) => "{length} 字节，不是 JSON",
        Unusable::Members => "JSON 的字段与 docs/accounts.openapi.yaml 不完全一致",
        Unusable::UserId(why) => "user_id 不能用（{why}）",
        Unusable::Contradiction => "只有 user_id 而没有 new_user，或者相反",
        Unusable::Claims(what) => "声明有误（{what}）",
        Unusable::NotMade => "没有用户，而它必须创建一个";
}

impl Unusable {
    pub(crate) fn cure(self) -> Message {
        match self {
            Self::Status(300..=399) => message!(set_accounts_to_final_url),
            Self::Status(404 | 405) => message!(set_accounts_to_url_below),
            Self::Status(401 | 403) => message!(have_service_take_our_keys),
            Self::Status(429) => message!(raise_limit_of_service_for_wxmint),
            Self::Status(500..=599) => message!(look_at_log_of_service),
            _ => message!(have_service_answer_as_described),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckedPassword {
    /// Required: `null` means no, but a missing member means nothing.
    #[serde(deserialize_with = "Option::deserialize")]
    user_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FoundUser {
    #[serde(deserialize_with = "Option::deserialize")]
    user_id: Option<String>,
    #[serde(default)]
    new_user: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Admitted {
    #[serde(deserialize_with = "unchecked_claims")]
    claims: Map<String, Value>,
}

/// Reads the response to a password check; `None` means that the password is wrong.
pub fn read_checked(status: u16, body: &[u8]) -> Result<Option<UserId>, Unusable> {
    let CheckedPassword { user_id } = read(status, body)?;
    Ok(user_id.as_deref().map(foreign_id).transpose()?)
}

/// Reads the response to a search by phone number; `None` means that the service refuses.
pub fn read_found(status: u16, body: &[u8]) -> Result<Option<Named>, Unusable> {
    match read(status, body)? {
        FoundUser {
            user_id: Some(id),
            new_user: Some(made),
        } => Ok(Some(Named {
            user: foreign_id(&id)?,
            made,
        })),
        FoundUser {
            user_id: None,
            new_user: None | Some(false),
        } => Ok(None),
        _ => Err(Unusable::Contradiction),
    }
}

/// Reads the response to the creation of a user, which must name one.
pub fn read_made(status: u16, body: &[u8]) -> Result<Named, Unusable> {
    read_found(status, body)?.ok_or(Unusable::NotMade)
}

/// Reads the response to the question whether a user may log in. Only here "no" is the status 403,
/// whatever its body.
pub fn read_admission(status: u16, body: &[u8]) -> Result<Option<ExtraClaims>, Unusable> {
    if status == 403 {
        return Ok(None);
    }
    let Admitted { claims } = read(status, body)?;
    Ok(Some(claims.try_into()?))
}

fn read<'de, A: Deserialize<'de>>(status: u16, body: &'de [u8]) -> Result<A, Unusable> {
    if ![200, 201].contains(&status) {
        return Err(Unusable::Status(status));
    }
    // serde would also read the members from an array, in order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Unusable::Members);
    }
    // serde_json's message is dropped because it may quote the body.
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Data => Unusable::Members,
        Category::Io | Category::Syntax | Category::Eof => Unusable::NotJson(body.len()),
    })
}

#[cfg(test)]
mod tests {
    use wxmint_ids::InvalidId;

    use super::*;

    fn named(made: bool) -> Named {
        Named {
            user: "u-1".parse().expect("a user"),
            made,
        }
    }

    #[test]
    fn yes_and_no_are_read() {
        assert_eq!(
            read_checked(200, br#"{"user_id":"u-1"}"#),
            Ok(Some(named(false).user))
        );
        assert_eq!(read_checked(200, br#"{"user_id":null}"#), Ok(None));
        assert_eq!(
            read_found(200, br#"{"user_id":"u-1","new_user":false}"#),
            Ok(Some(named(false)))
        );
        assert_eq!(read_found(200, br#"{"user_id":null}"#), Ok(None));
        assert_eq!(
            read_made(201, br#" {"new_user" : true, "user_id":"u-1"} "#),
            Ok(named(true))
        );
    }

    #[test]
    fn a_response_with_another_status_is_unusable_whatever_its_body_says() {
        for (status, cure) in [
            (204, "accounts.openapi.yaml"),
            (301, "the final URL"),
            (399, "the final URL"),
            (400, "accounts.openapi.yaml"),
            (401, "the audience"),
            (403, "the audience"),
            (404, "the URL below which"),
            (405, "the URL below which"),
            (429, "raise the limit"),
            (500, "the log of the service"),
            (599, "the log of the service"),
            (999, "accounts.openapi.yaml"),
        ] {
            let unusable = Unusable::Status(status);
            assert!(
                unusable.cure().contains(cure),
                "{unusable}: {}",
                unusable.cure()
            );
            assert_eq!(read_checked(status, br#"{"user_id":null}"#), Err(unusable));
            assert_eq!(read_checked(status, br#"{"user_id":"u-1"}"#), Err(unusable));
            assert_eq!(
                read_made(status, br#"{"user_id":"u-1","new_user":true}"#),
                Err(unusable)
            );
        }
    }

    #[test]
    fn a_response_to_a_password_check_must_have_exactly_the_right_form() {
        for (body, unusable) in [
            ("", Unusable::NotJson(0)),
            ("<html>login</html>", Unusable::NotJson(18)),
            (r#"{"user_id":"u-1""#, Unusable::NotJson(16)),
            (r#"{"user_id":"u-1"} {}"#, Unusable::NotJson(20)),
            ("null", Unusable::Members),
            ("{}", Unusable::Members),
            (r#" ["u-1"]"#, Unusable::Members),
            ("[null]", Unusable::Members),
            (r#"{"user_id":1}"#, Unusable::Members),
            (r#"{"user_id":false}"#, Unusable::Members),
            (r#"{"user_id":"u-1","user_id":null}"#, Unusable::Members),
            (
                r#"{"user_id":null,"error":"the database is away"}"#,
                Unusable::Members,
            ),
            (r#"{"code":0,"data":{"user_id":"u-1"}}"#, Unusable::Members),
            (
                r#"{"user_id":""}"#,
                Unusable::UserId(InvalidId::Empty.into()),
            ),
        ] {
            assert_eq!(read_checked(200, body.as_bytes()), Err(unusable), "{body}");
        }
        let filler = Unusable::UserId(InvalidForeignId::Filler);
        for id in ["0", "-1", "null", "None", "undefined", "[object Object]"] {
            let answers = [r#"{"user_id":"ID"}"#, r#"{"user_id":"ID","new_user":true}"#]
                .map(|body| body.replace("ID", id));
            assert_eq!(
                read_checked(200, answers[0].as_bytes()),
                Err(filler),
                "{id}"
            );
            assert_eq!(read_found(200, answers[1].as_bytes()), Err(filler), "{id}");
            assert_eq!(read_made(200, answers[1].as_bytes()), Err(filler), "{id}");
        }
        for id in ["a b", "a\\n", "\u{540d}", &"a".repeat(129)] {
            let answer = read_checked(200, format!(r#"{{"user_id":"{id}"}}"#).as_bytes());
            assert!(matches!(answer, Err(Unusable::UserId(_))), "{id}");
        }
    }

    #[test]
    fn an_admission_is_200_with_claims_or_403_and_nothing_else() {
        let admitted = |claims: serde_json::Value| {
            let serde_json::Value::Object(claims) = claims else {
                panic!("an object")
            };
            Ok(Some(claims.try_into().expect("claims")))
        };
        let roles = serde_json::json!({"roles": ["admin"], "tenant": "x"});
        assert_eq!(
            read_admission(200, br#"{"claims":{"roles":["admin"],"tenant":"x"}}"#),
            admitted(roles)
        );
        assert_eq!(
            read_admission(200, br#"{"claims":{}}"#),
            admitted(serde_json::json!({}))
        );
        for body in ["", "<html>", r#"{"claims":{}}"#] {
            assert_eq!(read_admission(403, body.as_bytes()), Ok(None));
        }
        for status in [401, 404] {
            assert_eq!(
                read_admission(status, br#"{"claims":{}}"#),
                Err(Unusable::Status(status))
            );
        }
        for (body, unusable) in [
            ("", Unusable::NotJson(0)),
            ("{}", Unusable::Members),
            (r#"{"claims":null}"#, Unusable::Members),
            (r#"{"claims":[]}"#, Unusable::Members),
            (r#"[{"roles":[]}]"#, Unusable::Members),
            (r#"{"claims":{},"user_id":"u-1"}"#, Unusable::Members),
            (r#"{"claims":{},"claims":{}}"#, Unusable::Members),
            (
                r#"{"claims":{"roles":["a"],"roles":["b"]}}"#,
                Unusable::Members,
            ),
            (
                r#"{"claims":{"\u0073ub":"mallory"}}"#,
                Unusable::Claims(InvalidClaims::Registered("sub")),
            ),
            (
                r#"{"claims":{"AUD":"x"}}"#,
                Unusable::Claims(InvalidClaims::Registered("aud")),
            ),
        ] {
            assert_eq!(
                read_admission(200, body.as_bytes()),
                Err(unusable),
                "{body}"
            );
        }
    }

    #[test]
    fn a_user_needs_new_user_and_a_refusal_must_not_have_it() {
        for body in [
            r#"{"user_id":"u-1"}"#,
            r#"{"user_id":"u-1","new_user":null}"#,
            r#"{"user_id":null,"new_user":true}"#,
        ] {
            assert_eq!(
                read_found(200, body.as_bytes()),
                Err(Unusable::Contradiction),
                "{body}"
            );
        }
        assert_eq!(
            read_found(200, br#"{"user_id":null,"new_user":false}"#),
            Ok(None)
        );
        assert_eq!(
            read_found(200, br#"{"user_id":"u-1","new_user":"true"}"#),
            Err(Unusable::Members)
        );
        assert_eq!(
            read_made(200, br#"{"user_id":null}"#),
            Err(Unusable::NotMade)
        );
    }
}
