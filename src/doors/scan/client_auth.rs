//! Finds who asks: a page by its `client_id`, a back end by its secret too (RFC 6749 section 2.3.1), or by a token in
//! place of the secret (RFC 7521 section 4.2, RFC 7523bis).

use std::iter;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::web::Payload;
use actix_web::{HttpMessage, HttpRequest};
use base64::{Engine, engine::general_purpose::STANDARD};
use wxmint_http::{Fields, Problem, SMALL_BODY, cors, identify, pairs, read_body};
use wxmint_identities::LONGEST_ASSERTION;
use wxmint_ids::ClientId;
use wxmint_store::limits::Rate;
use wxmint_store::{LimitKey, Meter, short_digest};
use wxmint_verify::{MAX_LEEWAY, UnverifiedIssuer};

use super::AtDoor;
use super::clients::{Client, Clients};
use crate::clock::now;
use crate::login::LoginError;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// An assertion is valid no longer than this.
const ONCE: Rate = Rate { burst: 1, period: LONGEST_ASSERTION.saturating_add(MAX_LEEWAY.saturating_mul(2)) };
/// The fields by which a client shows who it is.
const FIELDS: [&str; 4] = ["client_id", "client_secret", "client_assertion_type", "client_assertion"];
const FORM: &str = "application/x-www-form-urlencoded";

/// Reads a form with these fields, and those that show who sends it.
pub(in crate::doors) async fn read_form(
    request: &HttpRequest,
    payload: Payload,
    names: &[&'static str],
) -> Result<Fields<'static>, Problem> {
    if !request.content_type().eq_ignore_ascii_case(FORM) {
        return Err(Problem::invalid(
            "Send a form, with the header `Content-Type: application/x-www-form-urlencoded`.",
        ));
    }
    let body = read_body(payload, SMALL_BODY).await?;
    Ok(Fields::from_form(&body, &[names, &FIELDS].concat())?)
}

/// Finds out who asks. Pages of the client's own origins may read whatever is answered from here on.
pub(in crate::doors) async fn authenticate<'c>(
    request: &HttpRequest,
    fields: &Fields<'_>,
    clients: &'c Clients,
    at: &AtDoor,
) -> Result<&'c Client, Problem> {
    let (id, secret) = (fields.text("client_id")?, fields.text("client_secret")?.filter(|secret| !secret.is_empty()));
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
    let known = id.parse::<ClientId>().ok().and_then(|id| clients.get(&id));
    let client = known.ok_or_else(|| unknown("No client here has this `client_id`."))?;
    cors::allow(request, |origin| client.origins.iter().any(|own| own == origin));
    if let Some(assertion) = assertion {
        return check(client, &assertion, at).await.map(|()| client);
    }
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

fn assertion(fields: &Fields<'_>) -> Result<Option<String>, Problem> {
    match (fields.text("client_assertion_type")?.as_deref(), fields.text("client_assertion")?) {
        (None, None) => Ok(None),
        (Some(ASSERTION), Some(assertion)) => Ok(Some(assertion.into_owned())),
        _ => Err(Problem::invalid(format!("Send a `client_assertion`, with `client_assertion_type={ASSERTION}`."))),
    }
}

/// Checks the token of a client. One that the client has made itself is for this issuer alone, and is used once.
async fn check(client: &Client, assertion: &str, (worker, scan): &AtDoor) -> Result<(), Problem> {
    let identity = client.identity.as_ref().ok_or_else(|| unknown("This client has no `jwks` and no `issuer`."))?;
    let shown = identify(&scan.issuers, assertion, iter::once(((), identity)), now()).await?;
    let ((), shown) = shown.ok_or_else(|| unknown("The client's assertion is not valid here."))?;
    if !identity.makes_assertions() {
        return Ok(());
    }
    let id = shown.id.as_ref().filter(|_| shown.audience.len() == 1);
    let id = id.ok_or_else(|| unknown("The assertion needs a `jti`, and one `aud`: the issuer's URL."))?;
    let used = short_digest(&format!("{} {id}", client.id)).to_string();
    let meter = Meter { key: LimitKey::new("assertions", used), rate: ONCE };
    let counted = worker.login.store.count(&meter).await.map_err(LoginError::from)?;
    counted.map(drop).map_err(|_| unknown("The client's assertion was used before: sign another."))
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
