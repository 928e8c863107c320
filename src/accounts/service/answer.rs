//! The responses that a service may give (docs/accounts.openapi.yaml): one form for yes and one for no. Any other
//! response counts as none, because the error page of a gateway must never count as a wrong password.

use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

use crate::{
    accounts::{LoginCheck, Named},
    ids::{InvalidId, UserId},
    token::{InvalidClaims, UncheckedClaims},
};

/// Why a response cannot be used. The texts are for the operator, complete "the account backend did not answer: …", and
/// repeat nothing of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error(
        "status {0}: it redirects, but a password is never sent to another URL; WXMINT_ACCOUNTS must be the final URL"
    )]
    Redirect(u16),
    #[error(
        "status {0}: it, or a gateway before it, does not accept our signature; the answer to a wrong password is 200 with \
         {{\"user_id\":null}}"
    )]
    Unwelcome(u16),
    #[error(
        "status {0}: WXMINT_ACCOUNTS must be the URL below which /password-checks, /users/by-phone, /users and, if \
         WXMINT_ACCOUNTS_CHECK=true, /login-checks lie"
    )]
    NotFound(u16),
    #[error("status 429: it allows fewer calls")]
    TooOften,
    #[error("status {0}: it failed")]
    Failed(u16),
    /// Any other status except 200 and 201.
    #[error("status {0} instead of 200")]
    Status(u16),
    /// The body is not JSON, such as HTML or incomplete JSON.
    #[error("{0} bytes that are not JSON")]
    NotJson(usize),
    /// A member is missing, repeated, of another type, or not in the contract.
    #[error("JSON whose members are not exactly those of docs/accounts.openapi.yaml")]
    Members,
    /// The `user_id` cannot be a token's `sub`.
    #[error("a user_id that {0}")]
    UserId(#[from] InvalidId),
    /// Only one of `user_id` and `new_user` means that there is a user.
    #[error("a user_id without new_user, or new_user without a user")]
    Contradiction,
    /// The claims cannot be in a token.
    #[error("it has {0}")]
    Claims(#[from] InvalidClaims),
    /// A user had to be made, so "no" is not an answer.
    #[error("no user, although it had to make one")]
    NotMade,
}

impl Unusable {
    /// Whether the same request may succeed if it is repeated at once.
    pub(super) fn may_pass(self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Whether the service is failing, rather than this one request or the configuration. Only the status of a gateway
    /// is proof: a service may answer 500 for one strange user name, or 429 for one name, and that must not affect
    /// other users.
    pub(super) fn is_outage(self) -> bool {
        matches!(self, Self::Failed(502..=504))
    }

    /// The name in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Redirect(_) => "status_3xx",
            Self::Unwelcome(_) | Self::NotFound(_) | Self::TooOften => "status_4xx",
            Self::Status(400..=499) => "status_4xx",
            Self::Failed(_) => "status_5xx",
            Self::Claims(_) => "invalid_claims",
            _ => "unreadable",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checked {
    #[serde(deserialize_with = "present")]
    user_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    #[serde(deserialize_with = "present")]
    user_id: Option<String>,
    #[serde(default)]
    new_user: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Admitted {
    claims: UncheckedClaims,
}

/// Requires the member: `null` means no, but a missing member means nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

/// Reads the response to a password check; `None` means that the password is wrong.
pub fn read_checked(status: u16, body: &[u8]) -> Result<Option<UserId>, Unusable> {
    let Checked { user_id } = read(status, body)?;
    Ok(user_id.map(|id| id.parse()).transpose()?)
}

/// Reads the response to a search by phone number; `None` means that the service refuses.
pub fn read_found(status: u16, body: &[u8]) -> Result<Option<Named>, Unusable> {
    match read(status, body)? {
        Found { user_id: Some(id), new_user: Some(made) } => Ok(Some(Named { user: id.parse()?, made })),
        Found { user_id: None, new_user: None | Some(false) } => Ok(None),
        _ => Err(Unusable::Contradiction),
    }
}

/// Reads the response to a request for a new user.
pub fn read_made(status: u16, body: &[u8]) -> Result<Named, Unusable> {
    read_found(status, body)?.ok_or(Unusable::NotMade)
}

/// Reads the response to the question of whether a user may log in. Here alone, no is the status 403, whatever its body
/// says.
pub fn read_admission(status: u16, body: &[u8]) -> Result<LoginCheck, Unusable> {
    if status == 403 {
        return Ok(LoginCheck::Refused);
    }
    let Admitted { claims } = read(status, body)?;
    Ok(LoginCheck::Admitted(claims.try_into()?))
}

fn read<'de, A: Deserialize<'de>>(status: u16, body: &'de [u8]) -> Result<A, Unusable> {
    check_status(status)?;
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

fn check_status(status: u16) -> Result<(), Unusable> {
    Err(match status {
        200 | 201 => return Ok(()),
        300..=399 => Unusable::Redirect(status),
        401 | 403 => Unusable::Unwelcome(status),
        404 | 405 => Unusable::NotFound(status),
        429 => Unusable::TooOften,
        500..=599 => Unusable::Failed(status),
        _ => Unusable::Status(status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(made: bool) -> Named {
        Named { user: "u-1".parse().expect("a user"), made }
    }

    #[test]
    fn yes_and_no_are_read() {
        assert_eq!(read_checked(200, br#"{"user_id":"u-1"}"#), Ok(Some(named(false).user)));
        assert_eq!(read_checked(200, br#"{"user_id":null}"#), Ok(None));
        assert_eq!(read_found(200, br#"{"user_id":"u-1","new_user":false}"#), Ok(Some(named(false))));
        assert_eq!(read_found(200, br#"{"user_id":null}"#), Ok(None));
        assert_eq!(read_made(201, br#" {"new_user" : true, "user_id":"u-1"} "#), Ok(named(true)));
    }

    #[test]
    fn a_response_with_another_status_is_unusable_whatever_its_body_says() {
        for (status, unusable) in [
            (204, Unusable::Status(204)),
            (301, Unusable::Redirect(301)),
            (308, Unusable::Redirect(308)),
            (400, Unusable::Status(400)),
            (401, Unusable::Unwelcome(401)),
            (403, Unusable::Unwelcome(403)),
            (404, Unusable::NotFound(404)),
            (405, Unusable::NotFound(405)),
            (429, Unusable::TooOften),
            (500, Unusable::Failed(500)),
            (503, Unusable::Failed(503)),
            (999, Unusable::Status(999)),
        ] {
            assert_eq!(read_checked(status, br#"{"user_id":null}"#), Err(unusable));
            assert_eq!(read_checked(status, br#"{"user_id":"u-1"}"#), Err(unusable));
            assert_eq!(read_made(status, br#"{"user_id":"u-1","new_user":true}"#), Err(unusable));
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
            (r#"{"user_id":null,"error":"the database is away"}"#, Unusable::Members),
            (r#"{"code":0,"data":{"user_id":"u-1"}}"#, Unusable::Members),
            (r#"{"user_id":""}"#, Unusable::UserId(InvalidId::Empty)),
        ] {
            assert_eq!(read_checked(200, body.as_bytes()), Err(unusable), "{body}");
        }
        for id in ["a b", "a\\n", "\u{540d}", &"a".repeat(129)] {
            let answer = read_checked(200, format!(r#"{{"user_id":"{id}"}}"#).as_bytes());
            assert!(matches!(answer, Err(Unusable::UserId(_))), "{id}");
        }
    }

    #[test]
    fn an_admission_is_200_with_claims_or_403_and_nothing_else() {
        let admitted = |claims: serde_json::Value| {
            let serde_json::Value::Object(claims) = claims else { panic!("an object") };
            Ok(LoginCheck::Admitted(claims.try_into().expect("claims")))
        };
        let roles = serde_json::json!({"roles": ["admin"], "tenant": "x"});
        assert_eq!(read_admission(200, br#"{"claims":{"roles":["admin"],"tenant":"x"}}"#), admitted(roles));
        assert_eq!(read_admission(200, br#"{"claims":{}}"#), admitted(serde_json::json!({})));
        for body in ["", "<html>", r#"{"claims":{}}"#] {
            assert_eq!(read_admission(403, body.as_bytes()), Ok(LoginCheck::Refused));
        }
        for (status, unusable) in [(401, Unusable::Unwelcome(401)), (404, Unusable::NotFound(404))] {
            assert_eq!(read_admission(status, br#"{"claims":{}}"#), Err(unusable));
        }
        for (body, unusable) in [
            ("", Unusable::NotJson(0)),
            ("{}", Unusable::Members),
            (r#"{"claims":null}"#, Unusable::Members),
            (r#"{"claims":[]}"#, Unusable::Members),
            (r#"[{"roles":[]}]"#, Unusable::Members),
            (r#"{"claims":{},"user_id":"u-1"}"#, Unusable::Members),
            (r#"{"claims":{},"claims":{}}"#, Unusable::Members),
            (r#"{"claims":{"roles":["a"],"roles":["b"]}}"#, Unusable::Members),
            (r#"{"claims":{"\u0073ub":"mallory"}}"#, Unusable::Claims(InvalidClaims::Registered("sub"))),
            (r#"{"claims":{"AUD":"x"}}"#, Unusable::Claims(InvalidClaims::Registered("aud"))),
        ] {
            assert_eq!(read_admission(200, body.as_bytes()), Err(unusable), "{body}");
        }
    }

    #[test]
    fn a_user_needs_new_user_and_a_refusal_must_not_have_it() {
        for body in
            [r#"{"user_id":"u-1"}"#, r#"{"user_id":"u-1","new_user":null}"#, r#"{"user_id":null,"new_user":true}"#]
        {
            assert_eq!(read_found(200, body.as_bytes()), Err(Unusable::Contradiction), "{body}");
        }
        assert_eq!(read_found(200, br#"{"user_id":null,"new_user":false}"#), Ok(None));
        assert_eq!(read_found(200, br#"{"user_id":"u-1","new_user":"true"}"#), Err(Unusable::Members));
        assert_eq!(read_made(200, br#"{"user_id":null}"#), Err(Unusable::NotMade));
    }
}
