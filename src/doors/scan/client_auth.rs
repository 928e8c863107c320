//! Finds who asks: a page by its `client_id`, a back end by its secret too (RFC 6749 section 2.3.1).

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::web::Payload;
use actix_web::{HttpMessage, HttpRequest};
use base64::{Engine, engine::general_purpose::STANDARD};
use wxmint_http::{Fields, Problem, SMALL_BODY, cors, pairs, read_body};
use wxmint_ids::ClientId;

use super::clients::{Client, Clients};

const FORM: &str = "application/x-www-form-urlencoded";

pub(in crate::doors) async fn read_form(
    request: &HttpRequest,
    payload: Payload,
    names: &'static [&'static str],
) -> Result<Fields<'static>, Problem> {
    if !request.content_type().eq_ignore_ascii_case(FORM) {
        return Err(Problem::invalid(
            "Send a form, with the header `Content-Type: application/x-www-form-urlencoded`.",
        ));
    }
    let body = read_body(payload, SMALL_BODY).await?;
    Ok(Fields::from_form(&body, names)?)
}

/// Finds out who asks. Pages of the client's own origins may read whatever is answered from here on.
pub(in crate::doors) fn authenticate<'c>(
    request: &HttpRequest,
    fields: &Fields<'_>,
    clients: &'c Clients,
) -> Result<&'c Client, Problem> {
    let (id, secret) = (fields.text("client_id")?, fields.text("client_secret")?.filter(|secret| !secret.is_empty()));
    let basic = basic(request)?;
    if basic.is_some() && secret.is_some() {
        return Err(Problem::invalid("Send the client's secret once: in the header, or in the form."));
    }
    let (id, secret) = match (basic, id) {
        (Some((named, _)), Some(id)) if named != *id => {
            return Err(Problem::invalid("The header Authorization and the field `client_id` name two clients."));
        }
        (Some((id, secret)), _) => (id, Some(secret)),
        (None, Some(id)) => (id.into_owned(), secret.map(|secret| secret.into_owned())),
        (None, None) => return Err(Problem::invalid("The field `client_id` is missing.")),
    };
    let known = id.parse::<ClientId>().ok().and_then(|id| clients.get(&id));
    let client = known.ok_or_else(|| unknown("No client here has this `client_id`."))?;
    cors::allow(request, |origin| client.origins.iter().any(|own| own == origin));
    match (client.is_back_end(), secret) {
        (true, Some(secret)) if client.has_secret(&secret) => Ok(client),
        (true, Some(_)) => Err(unknown("The client's secret is wrong.")),
        (true, None) => Err(unknown("This client is a back end, and its secret is missing.")),
        (false, Some(_)) => {
            Err(unknown("This client is a page and has no secret: send none, or give it one in the file."))
        }
        (false, None) => Ok(client),
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
    read(header).filter(|_| headers.next().is_none()).map(Some).ok_or_else(|| unknown(form))
}

/// RFC 6749 section 5.2: 401, with the scheme that the client may use.
fn unknown(detail: &'static str) -> Problem {
    let problem = Problem::invalid(detail).with_status(StatusCode::UNAUTHORIZED);
    problem.challenge("Basic realm=\"wxmint\"").oauth("invalid_client")
}
