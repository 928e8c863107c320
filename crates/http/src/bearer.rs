//! How a request authenticates: with one bearer token (RFC 6750), or with the credentials of an
//! OAuth 2.0 client. These are a secret in a header or in the form (RFC 6749 section 2.3.1), or a
//! signed assertion (RFC 7521 section 4.2, RFC 7523bis).

use std::{borrow::Cow, time::Duration};

use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::{HttpMessage, HttpRequest, http::StatusCode, web::Payload};
use base64::{Engine, engine::general_purpose::STANDARD};
use wxmint_telemetry::bounded;
use wxmint_verify::peer::{Denied, NotVerified, token_of};
use wxmint_verify::{NoBearer, Refused, UnverifiedIssuer};

use super::{Fields, Problem, ProblemCode, SMALL_BODY, body_fields::Names, pairs, read_body};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The form fields with which a client authenticates.
const FIELDS: [&str; 4] = [
    "client_id",
    "client_secret",
    "client_assertion_type",
    "client_assertion",
];
const FORM: &str = "application/x-www-form-urlencoded";

/// Returns the token of the one `Authorization: Bearer …` header. A token in the query is refused, because URLs end up
/// in logs (RFC 6750 section 2.3).
pub fn bearer_token(request: &HttpRequest) -> Result<&str, Problem> {
    if pairs(request.query_string())
        .iter()
        .any(|(name, _)| name == "access_token")
    {
        let detail =
            "An access token does not belong in a URL. Send it as `Authorization: Bearer …`.";
        return Err(unreadable_token().with_detail(detail));
    }
    let values = request.headers().get_all(AUTHORIZATION);
    token_of(values.map(HeaderValue::as_bytes)).map_err(|denied| match denied {
        Denied::NoToken(NoBearer::None) => no_token(),
        _ => unreadable_token(),
    })
}

/// Returns the service whose token another issuer has signed; `None` if the token is refused.
///
/// The reason for a refusal is logged and not answered. If the keys of that issuer are not known,
/// the answer is 503, to be retried after a second.
pub fn identified<Service>(
    found: Result<Option<Service>, NotVerified>,
) -> Result<Option<Service>, Problem> {
    if let Err(NotVerified::Refused(reason)) = found {
        bounded!(info, &format!("service {reason}"), %reason, "the token of a service is refused");
        return Ok(None);
    }
    let detail = "The keys of the token's issuer are not known at the moment. Try again.";
    found.map_err(|_| {
        Problem::new(ProblemCode::KeysUnavailable, detail).retry_after(Duration::from_secs(1))
    })
}

/// The answer to a request that a gate does not let through. The reason is logged.
pub fn denied(denied: Denied) -> Problem {
    if matches!(
        denied,
        Denied::NotVerified(NotVerified::Refused(_)) | Denied::Unspeakable
    ) {
        let reason = denied.to_string();
        bounded!(info, &reason, reason, "token refused");
    }
    problem_of(denied)
}

/// The answer to a token that was refused, the same for every reason.
pub fn no_valid_token() -> Problem {
    problem_of(Denied::NotVerified(Refused::Revoked.into()))
}

/// Logs `reason` and returns [`no_valid_token`]. The reason must not repeat anything of the token.
pub fn refused_token(reason: &str) -> Problem {
    bounded!(info, reason, reason, "token refused");
    no_valid_token()
}

/// 401 for a request that has no token.
fn no_token() -> Problem {
    problem_of(Denied::NoToken(NoBearer::None))
}

/// 400 for several `Authorization` headers, or for one that holds no bearer token.
fn unreadable_token() -> Problem {
    problem_of(Denied::NoToken(NoBearer::Malformed)).with_status(StatusCode::BAD_REQUEST)
}

fn problem_of(denied: Denied) -> Problem {
    let denial = denied.denial();
    let code = ProblemCode::ALL
        .iter()
        .find(|code| code.as_str() == denial.code)
        .expect("the codes of a denial are among ours");
    let status = StatusCode::from_u16(denial.status).expect("a denial has a status of HTTP");
    let mut problem = Problem::new(*code, denial.detail).with_status(status);
    problem.retry_after = denial.retry_after;
    match denial.challenge {
        Some(challenge) => problem.challenge(challenge),
        None => problem,
    }
}

/// The client that a request names, and its secret or its assertion. A request has at most one of
/// the two.
pub struct ClientCredentials {
    /// The `client_id`, or the issuer of the assertion.
    pub id: String,
    /// The secret, in plain text.
    pub secret: Option<String>,
    /// The signed JWT that the client sends in place of a secret.
    pub assertion: Option<String>,
}

/// Reads a form with the fields `names` and the fields with which a client authenticates.
pub async fn read_form(
    request: &HttpRequest,
    payload: Payload,
    names: Names<'_>,
) -> Result<Fields<'static>, Problem> {
    if !request.content_type().eq_ignore_ascii_case(FORM) {
        return Err(Problem::invalid(format!(
            "Send a form, with the header `Content-Type: {FORM}`."
        )));
    }
    let body = read_body(payload, SMALL_BODY).await?;
    // A field without a value counts as absent (RFC 6749 section 3.2).
    let body = body
        .split(|byte| *byte == b'&')
        .filter(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=');
            equals.is_none_or(|at| at + 1 < pair.len())
        })
        .collect::<Vec<_>>()
        .join(&b'&');
    Fields::from_form(&body, &[names, &FIELDS].concat())
}

impl ClientCredentials {
    /// Reads the credentials from the header `Authorization: Basic` or from the form. An assertion
    /// also names the client, by its issuer.
    pub fn of(request: &HttpRequest, fields: &Fields<'_>) -> Result<Self, Problem> {
        let id = fields.text("client_id")?;
        let secret = fields.text("client_secret")?;
        let basic = basic(request)?;
        let assertion = assertion(fields)?;
        if [basic.is_some(), secret.is_some(), assertion.is_some()]
            .iter()
            .filter(|is_shown| **is_shown)
            .count()
            > 1
        {
            return Err(Problem::invalid(
                "Send the client's secret once: in the header, or in the form.",
            ));
        }
        // The issuer of an assertion is the client.
        let named = assertion
            .as_ref()
            .and_then(|assertion| UnverifiedIssuer::of(assertion).ok());
        let id = id.or(named.as_ref().map(|named| named.as_str().into()));
        let (id, secret) = match (basic, id) {
            (Some((named, _)), Some(id)) if named != *id => {
                return Err(Problem::invalid(
                    "The header Authorization and the field `client_id` name two clients.",
                ));
            }
            (Some((id, secret)), _) => (id, Some(secret)),
            (None, Some(id)) => (id.into_owned(), secret.map(Cow::into_owned)),
            (None, None) => return Err(Problem::invalid("The field `client_id` is missing.")),
        };
        Ok(Self {
            id,
            secret,
            assertion,
        })
    }
}

fn assertion(fields: &Fields<'_>) -> Result<Option<String>, Problem> {
    match (
        fields.text("client_assertion_type")?.as_deref(),
        fields.text("client_assertion")?,
    ) {
        (None, None) => Ok(None),
        (Some(ASSERTION), Some(assertion)) => Ok(Some(assertion.into_owned())),
        _ => Err(Problem::invalid(format!(
            "Send a `client_assertion`, with `client_assertion_type={ASSERTION}`."
        ))),
    }
}

/// The client id and the secret of the header `Authorization: Basic`. Each is form-decoded (RFC
/// 6749 section 2.3.1).
fn basic(request: &HttpRequest) -> Result<Option<(String, String)>, Problem> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let Some(header) = headers.next() else {
        return Ok(None);
    };
    let form = "Send one header Authorization: Basic, with client_id and client_secret.";
    id_and_secret(header)
        .filter(|_| headers.next().is_none())
        .map(Some)
        .ok_or_else(|| unknown_client(form))
}

fn id_and_secret(header: &HeaderValue) -> Option<(String, String)> {
    let (scheme, text) = header.to_str().ok()?.split_once(' ')?;
    let text = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let id = form_decoded(id)?;
    let secret = form_decoded(secret)?;
    scheme.eq_ignore_ascii_case("Basic").then_some((id, secret))
}

fn form_decoded(text: &str) -> Option<String> {
    match &mut pairs(&format!("={text}"))[..] {
        [(name, text)] if name.is_empty() => Some(std::mem::take(text)),
        _ => None,
    }
}

/// 401 for a client that is not known or not authenticated (RFC 6749 section 5.2).
/// `WWW-Authenticate` names the scheme `Basic`.
pub fn unknown_client(detail: impl Into<String>) -> Problem {
    let problem = Problem::invalid(detail).with_status(StatusCode::UNAUTHORIZED);
    problem
        .challenge("Basic realm=\"wxmint\"")
        .oauth("invalid_client")
}

#[cfg(test)]
mod tests {
    use actix_web::http::{StatusCode, header::WWW_AUTHENTICATE};
    use actix_web::test::TestRequest;

    use super::*;

    fn request(path: &str, headers: &[&str]) -> HttpRequest {
        let start = TestRequest::with_uri(path);
        let add = |request: TestRequest, value: &&str| {
            request.append_header((
                AUTHORIZATION,
                HeaderValue::from_bytes(value.as_bytes()).expect("a value"),
            ))
        };
        headers.iter().fold(start, add).to_http_request()
    }

    fn challenge(problem: &Problem) -> String {
        let answer = problem.respond(&request("/", &[]));
        let value = answer.headers().get(WWW_AUTHENTICATE).expect("a challenge");
        value.to_str().expect("text").to_owned()
    }

    #[test]
    fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
        for header in [
            "Bearer a.b-c_d",
            "bearer a.b-c_d",
            "BEARER a.b-c_d",
            "Bearer   a.b-c_d",
            "Bearer a.b-c_d ",
        ] {
            assert_eq!(
                bearer_token(&request("/", &[header])),
                Ok("a.b-c_d"),
                "{header:?}"
            );
        }
        assert_eq!(bearer_token(&request("/?token=1", &["Bearer a"])), Ok("a"));
    }

    #[test]
    fn who_shows_no_token_is_asked_for_one_without_an_error() {
        for headers in [
            &[][..],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Basic YTpi"],
            &["BearerToken"],
            &["Bearer\ta"],
        ] {
            let problem = bearer_token(&request("/", headers)).expect_err("no token");
            assert_eq!(problem.status, StatusCode::UNAUTHORIZED, "{headers:?}");
            assert_eq!(problem.code, ProblemCode::InvalidToken, "{headers:?}");
            assert_eq!(challenge(&problem), "Bearer", "{headers:?}");
        }
    }

    #[test]
    fn two_credentials_or_one_in_the_wrong_place_are_a_mistake_in_the_request() {
        for (path, headers) in [
            ("/", &["Bearer a", "Bearer b"][..]),
            ("/", &["Bearer a", "Bearer a"]),
            ("/", &["Basic YTpi", "Bearer a"]),
            ("/", &["Bearer a, Bearer b"]),
            ("/", &["Bearer a,b"]),
            ("/", &["Bearer a b"]),
            ("/", &["Bearer \"a\""]),
            ("/", &["Bearer é"]),
            ("/?access_token=a", &["Bearer a"]),
            ("/?access_token=a", &[]),
            ("/?x=1&access%5Ftoken=", &[]),
        ] {
            let problem = bearer_token(&request(path, headers)).expect_err("refused");
            assert_eq!(
                problem.status,
                StatusCode::BAD_REQUEST,
                "{path} {headers:?}"
            );
            assert!(
                challenge(&problem).starts_with("Bearer error=\"invalid_request\", "),
                "{path} {headers:?}"
            );
        }
    }

    #[test]
    fn a_refused_token_is_told_so_in_the_words_of_rfc_6750() {
        let problem = no_valid_token();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (StatusCode::UNAUTHORIZED, "invalid_token")
        );
        assert!(
            challenge(&problem).starts_with("Bearer error=\"invalid_token\", error_description=\"")
        );
        // RFC 6750 section 3 lists the characters that a description may contain.
        let allowed = |byte: u8| matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~');
        for problem in [unreadable_token(), problem] {
            let challenge = challenge(&problem);
            let description = challenge.split('"').nth(3).expect("a description");
            assert!(description.bytes().all(allowed), "{description}");
        }
    }
}
