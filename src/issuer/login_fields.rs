//! The fields of a login and of its answer, as the API describes them; how they are parsed, and the
//! messages about wrong fields.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use utoipa::ToSchema;
use wxmint_http::{Fields, Problem, ProblemCode};
use wxmint_ids::{AppId, LoginCode, PhoneCode, UserId};
use wxmint_keys::token::SignedToken;
use wxmint_store::Ticket;

use crate::accounts::{Password, Username};
use crate::login::{Credentials, LoginProof, LoginRequest};

/// The body of `POST /login`: `code` or `bind_ticket`, and at most one of a password and a
/// `phone_code`.
#[derive(ToSchema)]
pub struct LoginBody {
    /// The code of `wx.login`, or of the login of another platform: 5 minutes, one use. Needed unless
    /// `bind_ticket` is sent.
    #[schema(value_type = Option<String>)]
    code: Option<LoginCode>,
    /// The AppID of the mini program; needed only where several are configured, and the Referer
    /// that WeChat sends does not tell.
    #[schema(value_type = Option<String>)]
    appid: Option<AppId>,
    /// To bind this WeChat user to an account: its name, at most 512 characters. Goes with
    /// `password`.
    #[schema(value_type = Option<String>)]
    username: Option<Username>,
    /// The account's password, at most 1024 characters. Goes with `username`; in the body alone,
    /// never in the URL.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<Password>,
    /// To log in by phone number: the code of the button `open-type="getPhoneNumber"`, which is not
    /// wx.login's.
    #[schema(value_type = Option<String>)]
    phone_code: Option<PhoneCode>,
    /// In place of `code`: what `binding_required` came with. 5 minutes, one attempt.
    #[schema(value_type = Option<String>)]
    bind_ticket: Option<Ticket>,
}

/// The answer to a login.
#[derive(Serialize, ToSchema)]
pub(super) struct LoginAnswer<'a> {
    /// A JWT (RFC 9068), for `Authorization: Bearer …`.
    #[schema(value_type = String, example = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ii4uLiJ9.…")]
    pub(super) access_token: &'a SignedToken,
    #[schema(value_type = String, example = "Bearer")]
    pub(super) token_type: &'static str,
    /// Seconds.
    #[schema(example = 86_400)]
    pub(super) expires_in: u64,
    /// The token's `sub`.
    #[schema(value_type = String, example = "0193f5b2-9c5e-7cc0-8000-000000000000")]
    pub(super) user_id: &'a UserId,
    /// True only in the answer to the login that created the user.
    pub(super) new_user: bool,
    /// The token again, under the names that older mini programs read (`WXMINT_TOKEN_ALIASES`).
    #[serde(flatten)]
    #[schema(ignore)]
    pub(super) aliases: BTreeMap<&'a str, &'a SignedToken>,
}

pub(super) type Asked = Result<LoginRequest, Problem>;

const NAMES: &[&str] = &[
    "code",
    "appid",
    "username",
    "password",
    "phone_code",
    "bind_ticket",
    ANONYMOUS_CODE,
];
/// The field of a code that Douyin gives for a device on which nobody has logged in.
const ANONYMOUS_CODE: &str = "anonymous_code";

const NO_CODE: &str = "The field `code` is missing. Send the code that wx.login gives.";
/// The answer to JSON that a client labels as a form, as curl does.
const NO_CODE_IN_FORM: &str = "\
    The body was read as a form, because Content-Type is application/x-www-form-urlencoded, and this form has no field \
    `code`. If the body is JSON, send the header `Content-Type: application/json`.";
const NO_PERSON: &str = "The field `anonymous_code` names a device, and no person. Send the `code` that tt.login gives with `force: true`.";
const SEND_BY_POST: &str = "Add `method: 'POST'` to wx.request, so that `data` goes into the body.";
/// The advice for a POST, whose body has room for credentials.
const SEND_IN_BODY: &str =
    "Put it beside `code` in the `data` of wx.request, which a POST sends in the body.";

impl LoginBody {
    /// Parses a JSON body.
    pub fn from_json(body: &[u8]) -> Asked {
        Self::of(&Fields::from_json(body, NAMES).map_err(no_fields)?)?.into_request(NO_CODE)
    }

    /// Parses a form (`application/x-www-form-urlencoded`).
    pub fn from_form(body: &[u8]) -> Asked {
        Self::of(&Fields::from_form(body, NAMES).map_err(no_fields)?)?.into_request(NO_CODE_IN_FORM)
    }

    /// Parses a query string. Credentials in it are refused unless `may_hold_password`, which is
    /// for pages that were published so (`WXMINT_DANGEROUS_PASSWORD_IN_QUERY`).
    pub fn from_query(query: &str, may_hold_password: bool) -> Asked {
        let fields = of_query(query, (!may_hold_password).then_some(SEND_BY_POST))?;
        Self::of(&fields)?.into_request(NO_CODE)
    }

    /// Parses a JSON body that may have one further text field, called `name`.
    pub fn with_field(
        body: &[u8],
        name: &'static str,
    ) -> Result<(LoginRequest, Option<String>), Problem> {
        let fields = Fields::from_json(body, &[NAMES, &[name]].concat()).map_err(no_fields)?;
        let further = fields.text(name)?.map(Cow::into_owned);
        Ok((Self::of(&fields)?.into_request(NO_CODE)?, further))
    }

    /// Refuses credentials in the query of a POST whatever the settings say, because that query is
    /// not read and the page has a body for them.
    pub fn refuse_password_beside_body(query: &str) -> Result<(), Problem> {
        of_query(query, Some(SEND_IN_BODY)).map(drop)
    }

    fn of(fields: &Fields<'_>) -> Result<Self, Problem> {
        if fields.text(ANONYMOUS_CODE)?.is_some() {
            return Err(Problem::invalid(NO_PERSON));
        }
        Ok(Self {
            code: fields.parse("code")?,
            appid: fields.parse("appid")?,
            username: fields.parse("username")?,
            password: fields.parse("password")?,
            phone_code: fields.parse("phone_code")?,
            bind_ticket: fields.parse("bind_ticket")?,
        })
    }

    /// The login that is asked for. `no_code` is the message if there is no `code`.
    fn into_request(self, no_code: &str) -> Asked {
        let proof = match (self.code, self.bind_ticket) {
            (Some(code), None) => LoginProof::Code(code),
            (None, Some(ticket)) => LoginProof::Ticket(ticket),
            (None, None) => return Err(Problem::invalid(no_code)),
            (Some(_), Some(_)) => return Err(both("code", "bind_ticket")),
        };
        let credentials = match (self.username, self.password, self.phone_code) {
            (None, None, None) => Credentials::Nothing,
            (Some(username), Some(password), None) => Credentials::Password(username, password),
            (None, None, Some(phone_code)) => Credentials::Phone(phone_code),
            (Some(_), None, _) => return Err(alone("password")),
            (None, Some(_), _) => return Err(alone("username")),
            (Some(_), Some(_), Some(_)) => return Err(both("password", "phone_code")),
        };
        Ok(LoginRequest {
            app: self.appid,
            app_hint: None,
            proof,
            credentials,
        })
    }
}

/// Adds an example of a right body to the message.
fn no_fields(Problem { detail, .. }: Problem) -> Problem {
    Problem::invalid(format!("{detail} Send {{\"code\": \"…\"}}."))
}

/// The fields of a query. If there is an `advice`, credentials are refused with it.
fn of_query(query: &str, advice: Option<&str>) -> Result<Fields<'static>, Problem> {
    let fields = Fields::from_form(query.as_bytes(), NAMES).map_err(no_fields)?;
    if let Some(advice) = advice
        && (fields.text("username")?.is_some() || fields.text("password")?.is_some())
    {
        let detail = format!(
            "A user name or password must not be in the URL, where logs and histories keep it. {advice}"
        );
        return Err(Problem::new(ProblemCode::CredentialsInQuery, detail));
    }
    Ok(fields)
}

fn both(one: &str, other: &str) -> Problem {
    Problem::invalid(format!(
        "The fields `{one}` and `{other}` exclude each other."
    ))
}

fn alone(missing: &str) -> Problem {
    Problem::invalid(format!(
        "The field `{missing}` is missing. A user name and its password go together."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(body: &str) -> Result<LoginRequest, Problem> {
        LoginBody::from_json(body.as_bytes())
    }

    #[track_caller]
    fn refusal<T: std::fmt::Debug>(asked: Result<T, Problem>) -> String {
        asked.expect_err("refused").detail
    }

    #[test]
    fn one_login_in_three_forms() {
        let query = LoginBody::from_query("code=0a1&appid=wx1", false);
        let form = LoginBody::from_form(b"appid=wx1&code=0a1&extra=%FF");
        let body = LoginBody::from_json(
            br#"{"code":"0a1","appid":"wx1","extra":{"deep":[1]},"password":null}"#,
        );
        for request in [query, form, body] {
            let request = request.expect("a login");
            let LoginProof::Code(code) = request.proof else {
                panic!("a code")
            };
            assert_eq!(
                (code.as_str(), request.app.expect("an app").as_str()),
                ("0a1", "wx1")
            );
        }
    }

    #[test]
    fn every_fault_is_named_and_no_value_is_repeated() {
        let long = format!(r#"{{"code":"{}"}}"#, "hunter2".repeat(147));
        for (body, said) in [
            (long.as_str(), "`code` must be at most 1024 characters"),
            (
                "{\"code\":\"a\",\"anonymous_code\":\"hunter2\"}",
                "`anonymous_code` names a device",
            ),
            ("", "not valid JSON (line 1, column 0)"),
            (
                "{\"code\":\"hunter2\"",
                "not valid JSON (line 1, column 17)",
            ),
            ("[\"hunter2\"]", "must be a JSON object"),
            ("\"hunter2\"", "must be a JSON object"),
            ("{}", "`code` is missing"),
            ("{\"code\":null}", "`code` is missing"),
            ("{\"code\":12}", "`code` must be a string, not a number"),
            (
                "{\"code\":[\"hunter2\"]}",
                "`code` must be a string, not an array",
            ),
            (
                "{\"code\":{\"hunter2\":1}}",
                "`code` must be a string, not an object",
            ),
            ("{\"code\":true}", "`code` must be a string, not a boolean"),
            ("{\"code\":\"\"}", "`code` must not be empty"),
            (
                "{\"code\":\"hunter2\\ud800\"}",
                "`code` must not hold half of a surrogate pair",
            ),
            (
                "{\"code\":\"hunter2\\u0000\"}",
                "`code` must consist of visible ASCII characters",
            ),
            (
                "{\"code\":\"a\",\"code\":\"hunter2\"}",
                "`code` appears twice",
            ),
            (
                "{\"code\":\"a\",\"appid\":\"hunter2 \"}",
                "`appid` must consist of letters",
            ),
            (
                "{\"code\":\"a\",\"password\":\"hunter2\"}",
                "`username` is missing",
            ),
        ] {
            let refused = refusal(json(body));
            assert!(refused.contains(said), "{body}: {refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn a_login_is_by_one_proof_and_at_most_one_identity() {
        let ticket = "AAAAAAAAAAAAAAAAAAAAAA";
        let shown = |body: &str| {
            json(body).map(|asked| format!("{:?} {:?}", asked.proof, asked.credentials))
        };
        for (members, expected) in [
            (r#""code":"a""#.to_owned(), "Code(LoginCode(…)) Nothing"),
            (
                r#""code":"a","username":" lin ","password":"p""#.to_owned(),
                "Code(LoginCode(…)) Password(Username(…), Password(…))",
            ),
            (
                r#""code":"a","phone_code":"b","username":null"#.to_owned(),
                "Code(LoginCode(…)) Phone(PhoneCode(…))",
            ),
            (
                format!(r#""bind_ticket":"{ticket}","username":"lin","password":"p""#),
                "Ticket(Ticket(…)) Password(Username(…), Password(…))",
            ),
        ] {
            assert_eq!(
                shown(&format!("{{{members}}}")).as_deref(),
                Ok(expected),
                "{members}"
            );
        }
        for (members, refused) in [
            (
                r#""username":"lin","password":"p""#.to_owned(),
                Problem::invalid(NO_CODE),
            ),
            (
                format!(r#""code":"a","bind_ticket":"{ticket}""#),
                both("code", "bind_ticket"),
            ),
            (
                r#""code":"a","username":"lin""#.to_owned(),
                alone("password"),
            ),
            (r#""code":"a","password":"p""#.to_owned(), alone("username")),
            (
                r#""code":"a","password":"p","phone_code":"b""#.to_owned(),
                alone("username"),
            ),
            (
                r#""code":"a","username":"lin","password":"p","phone_code":"b""#.to_owned(),
                both("password", "phone_code"),
            ),
        ] {
            assert_eq!(shown(&format!("{{{members}}}")), Err(refused), "{members}");
        }
    }

    #[test]
    fn what_people_type_is_bounded_and_its_field_is_named() {
        for (name, text, said) in [
            (
                "username",
                "hunter2".repeat(100),
                "must be at most 512 characters",
            ),
            (
                "username",
                "hunter2\\u0007".to_owned(),
                "must not hold control characters",
            ),
            ("username", "  ".to_owned(), "must not be empty"),
            (
                "password",
                "hunter2".repeat(200),
                "must be at most 1024 characters",
            ),
            ("password", String::new(), "must not be empty"),
            (
                "phone_code",
                "hunter2，".to_owned(),
                "must consist of visible ASCII",
            ),
            ("bind_ticket", "hunter2}{".to_owned(), "must "),
        ] {
            let other = if name == "username" {
                "password"
            } else {
                "username"
            };
            let said_now = refusal(json(&format!(
                r#"{{"code":"a","{name}":"{text}","{other}":"x"}}"#
            )));
            assert!(said_now.contains(&format!("`{name}` {said}")), "{said_now}");
            assert!(
                !said_now.contains("hunter2") && !said_now.contains("Send {"),
                "{said_now}"
            );
        }
    }

    #[test]
    fn what_is_not_utf8_is_refused_also_where_nobody_reads_it() {
        for body in [
            b"{\"code\":\"\xff\"}".as_slice(),
            b"{\"code\":\"a\",\"extra\":\"\xff\"}",
        ] {
            assert_eq!(
                refusal(LoginBody::from_json(body)),
                "The body is not UTF-8. Send {\"code\": \"…\"}."
            );
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = |name| {
            format!(
                "{{\"code\":\"a\",\"{name}\":{}1{}}}",
                "[".repeat(10_000),
                "]".repeat(10_000)
            )
        };
        assert!(json(&deep("x")).is_ok(), "what nobody reads is skipped");
        let refused = wxmint_http::malformed("appid", "must be a string, not an array");
        assert_eq!(json(&deep("appid")).expect_err("refused"), refused);
    }

    #[test]
    fn a_password_in_a_query_is_refused_with_the_line_to_add() {
        for query in ["code=a&password=hunter2", "username=b&code=a", "password="] {
            let refused = LoginBody::from_query(query, false).expect_err(query);
            assert_eq!(refused.code, ProblemCode::CredentialsInQuery);
            assert!(refused.detail.contains("method: 'POST'"));
        }
    }

    #[test]
    fn a_password_in_a_query_passes_only_by_the_dangerous_way() {
        let query = "code=a&username=lin&password=p%20p";
        let asked = LoginBody::from_query(query, true);
        let Ok(LoginRequest {
            credentials: Credentials::Password(name, password),
            ..
        }) = asked
        else {
            panic!("{asked:?}")
        };
        assert_eq!((name.as_str(), password.expose()), ("lin", "p p"));
    }

    #[test]
    fn a_password_in_the_query_of_a_post_is_refused_with_where_it_belongs() {
        for query in [
            "password=hunter2",
            "username=lin&password=hunter2",
            "a=b&username",
        ] {
            let refused = LoginBody::refuse_password_beside_body(query).expect_err(query);
            assert_eq!(refused.code, ProblemCode::CredentialsInQuery);
            assert!(
                refused.detail.contains("`data`") && !refused.detail.contains("method"),
                "{refused:?}"
            );
        }
        assert_eq!(
            LoginBody::refuse_password_beside_body("code=a&utm_source=hunter2"),
            Ok(())
        );
    }

    #[test]
    fn a_field_twice_in_a_form_is_refused() {
        let refused = refusal(LoginBody::from_form(b"code=a&code=b"));
        assert_eq!(
            refused,
            "The field `code` appears twice. Send {\"code\": \"…\"}."
        );
    }
}
