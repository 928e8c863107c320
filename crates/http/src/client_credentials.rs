//! The credentials by which a client of OAuth2 shows itself: a secret in a header or in the form (RFC 6749 section
//! 2.3.1), or a token in its place (RFC 7521 section 4.2, RFC 7523bis).

use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::{HttpMessage, HttpRequest, http::StatusCode, web::Payload};
use base64::{Engine, engine::general_purpose::STANDARD};
use wxmint_verify::UnverifiedIssuer;

use super::{Fields, Problem, SMALL_BODY, pairs, read_body};

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The fields by which a client shows who it is.
const FIELDS: [&str; 4] = ["client_id", "client_secret", "client_assertion_type", "client_assertion"];
const FORM: &str = "application/x-www-form-urlencoded";

/// The client that a request names, and at most one of the two that show it.
pub struct ClientCredentials {
    pub id: String,
    pub secret: Option<String>,
    pub assertion: Option<String>,
}

/// Reads a form with these fields, and those that show who sends it.
pub async fn read_form(
    request: &HttpRequest,
    payload: Payload,
    names: &[&'static str],
) -> Result<Fields<'static>, Problem> {
    if !request.content_type().eq_ignore_ascii_case(FORM) {
        return Err(Problem::invalid(format!("Send a form, with the header `Content-Type: {FORM}`.")));
    }
    let body = read_body(payload, SMALL_BODY).await?;
    // One without a value counts as left out (RFC 6749 section 3.2).
    let has_value = |pair: &&[u8]| pair.iter().position(|byte| *byte == b'=').is_none_or(|at| at + 1 < pair.len());
    let body = body.split(|byte| *byte == b'&').filter(has_value).collect::<Vec<_>>().join(&b'&');
    Fields::from_form(&body, &[names, &FIELDS].concat())
}

impl ClientCredentials {
    pub fn of(request: &HttpRequest, fields: &Fields<'_>) -> Result<Self, Problem> {
        let id = fields.text("client_id")?;
        let secret = fields.text("client_secret")?;
        let (basic, assertion) = (basic(request)?, assertion(fields)?);
        if [basic.is_some(), secret.is_some(), assertion.is_some()].iter().filter(|is_shown| **is_shown).count() > 1 {
            return Err(Problem::invalid("Send the client's secret once: in the header, or in the form."));
        }
        // The issuer of an assertion is the client.
        let named = assertion.as_ref().and_then(|assertion| UnverifiedIssuer::of(assertion).ok());
        let id = id.or(named.as_ref().map(|named| named.as_str().into()));
        let (id, secret) = match (basic, id) {
            (Some((named, _)), Some(id)) if named != *id => {
                return Err(Problem::invalid("The header Authorization and the field `client_id` name two clients."));
            }
            (Some((id, secret)), _) => (id, Some(secret)),
            (None, Some(id)) => (id.into_owned(), secret.map(|secret| secret.into_owned())),
            (None, None) => return Err(Problem::invalid("The field `client_id` is missing.")),
        };
        Ok(Self { id, secret, assertion })
    }
}

fn assertion(fields: &Fields<'_>) -> Result<Option<String>, Problem> {
    match (fields.text("client_assertion_type")?.as_deref(), fields.text("client_assertion")?) {
        (None, None) => Ok(None),
        (Some(ASSERTION), Some(assertion)) => Ok(Some(assertion.into_owned())),
        _ => Err(Problem::invalid(format!("Send a `client_assertion`, with `client_assertion_type={ASSERTION}`."))),
    }
}

/// Name and secret of the header, each decoded as in a form.
fn basic(request: &HttpRequest) -> Result<Option<(String, String)>, Problem> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let Some(header) = headers.next() else { return Ok(None) };
    let read = |header: &HeaderValue| {
        let (scheme, text) = header.to_str().ok()?.split_once(' ')?;
        let text = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        let decoded = |text: &str| match &mut pairs(&format!("={text}"))[..] {
            [(name, text)] if name.is_empty() => Some(std::mem::take(text)),
            _ => None,
        };
        scheme.eq_ignore_ascii_case("Basic").then_some((decoded(id)?, decoded(secret)?))
    };
    let form = "Send one header Authorization: Basic, with client_id and client_secret.";
    read(header).filter(|_| headers.next().is_none()).map(Some).ok_or_else(|| unknown_client(form))
}

/// The answer to a client that is not known (RFC 6749 section 5.2): 401, with the scheme that it may use.
pub fn unknown_client(detail: &'static str) -> Problem {
    let problem = Problem::invalid(detail).with_status(StatusCode::UNAUTHORIZED);
    problem.challenge("Basic realm=\"wxmint\"").oauth("invalid_client")
}
