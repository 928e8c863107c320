//! `/token`: the page fetches its token (RFC 8628 section 3.4). Here and at other endpoints, a page
//! sends only its `client_id`. A back end also sends its secret, or a token in place of the secret.

use std::iter;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, http::header};
use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use wxmint_http::{
    Answer, ClientCredentials, Fields, Problem, allow_site, identified, missing, origin, private,
    read_form, run_to_completion, unknown_client,
};
use wxmint_ids::{ClientId, UserId};
use wxmint_keys::token::{Issued, SignedToken};
use wxmint_store::limits::{LimitError, Rate};
use wxmint_store::{RateLimitKey, short_digest};
use wxmint_telemetry::audit::{Activity, Event};
use wxmint_verify::peer::NotVerified;
use wxmint_verify::{Algorithm, MAX_LEEWAY, Refused};

use super::clients::{Client, Clients};
use super::page::OAuthError;
use super::requests::{DeviceFlow, NotGranted};
use super::store::{Grant, OWN};
use super::{ASKED, AtDoor, codes::DeviceCode, to_oauth};
use crate::identities::LONGEST_ASSERTION;
use crate::{clock::now, issuer::state::IssuerWorker, login::Unavailable, refusals::Refusal};

pub(in crate::doors) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The fields of the form, including those of further grants.
const FIELDS: [&str; 6] = [
    "grant_type",
    "device_code",
    "code",
    "redirect_uri",
    "code_verifier",
    "refresh_token",
];

/// The form of `POST /token`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form; `token` reads it")]
pub(super) struct TokenForm {
    #[schema(example = "urn:ietf:params:oauth:grant-type:device_code")]
    grant_type: String,
    /// Required with this `grant_type`. Others, of which the issuer's metadata tell, have the fields of their standard.
    device_code: Option<String>,
    client_id: String,
    /// A back end sends it, unless it is in the header Authorization (Basic).
    #[schema(format = Password)]
    client_secret: Option<String>,
    /// With an assertion: urn:ietf:params:oauth:client-assertion-type:jwt-bearer
    client_assertion_type: Option<String>,
    /// A back end with `jwks` or `issuer` sends it in place of a secret (RFC 7523).
    #[schema(format = Password)]
    client_assertion: Option<String>,
}

/// The page's token.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenAnswer {
    /// A JWT (RFC 9068), for `Authorization: Bearer …`.
    #[schema(value_type = String, example = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ii4uLiJ9.…")]
    access_token: SignedToken,
    #[schema(value_type = String, example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    #[schema(example = 86_400)]
    expires_in: i64,
    /// The token's `sub`.
    #[schema(value_type = String, example = "0193f5b2-9c5e-7cc0-8000-000000000000")]
    user_id: UserId,
}

/// Fetch the token of an approved request (RFC 8628 section 3.4)
///
/// Until then the answer is 400: `authorization_pending` (with `"scanned": true` once a phone has looked), `slow_down`
/// (from then on ask 5 seconds later each time), `access_denied`, `expired_token`, `invalid_grant`. A device code gives
/// one token.
#[utoipa::path(post, path = "/token", tag = "scan",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Logged in", body = TokenAnswer),
        (status = 400, description = "Not yet, not any more, or another form of request", body = OAuthError),
        (status = 401, description = "The client is unknown, or its secret is wrong", body = OAuthError)))]
pub(super) async fn token(request: HttpRequest, payload: Payload, at: AtDoor) -> Answer {
    let granted = async {
        let fields = read_form(&request, payload, &FIELDS).await?;
        // Runs to completion, so that a stolen grant is revoked and audited even if the client
        // disconnects.
        run_to_completion(async move { grant(&request, &fields, &at).await }).await
    };
    to_oauth(granted.await)
}

/// A request to `/token`, its form, and its authenticated client.
#[derive(Clone, Copy)]
pub(in crate::doors) struct Asked<'a> {
    pub(in crate::doors) request: &'a HttpRequest,
    pub(in crate::doors) fields: &'a Fields<'a>,
    pub(in crate::doors) client: &'a Client,
}

/// Why another door answers a request to `/token` without tokens.
pub(in crate::doors) enum FurtherRefusal {
    /// The door has no such grant for this client. Holds the grant types that it has.
    OtherGrantTypes(&'static [&'static str]),
    Refused(Problem),
}

impl From<Problem> for FurtherRefusal {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// The grants of another door at the same endpoint.
#[async_trait(?Send)]
pub(in crate::doors) trait FurtherGrants {
    /// Answers a request with this grant type.
    async fn grant(
        &self,
        asked: Asked<'_>,
        grant_type: &str,
        worker: &IssuerWorker,
    ) -> Result<HttpResponse, FurtherRefusal>;
}

async fn grant(request: &HttpRequest, fields: &Fields<'_>, at: &AtDoor) -> Answer {
    let (worker, scan) = at;
    let clients = scan.clients();
    let client = authenticate(request, fields, &clients, at).await?;
    let grant_type = fields
        .text("grant_type")?
        .ok_or_else(|| missing("grant_type"))?;
    let asked = Asked {
        request,
        fields,
        client,
    };
    if grant_type != GRANT {
        return further_grant(asked, &grant_type, worker).await;
    }
    let code = device_code(asked)?;
    match fetch(asked, &code, worker).await {
        Ok(answer) => {
            scan.count(&client.id, "redeemed");
            tracing::info!(
                user = answer.user_id.as_str(),
                client_id = client.id.as_str(),
                "a page was logged in"
            );
            Ok(uncached(answer))
        }
        Err(refusal) => {
            if let NotGranted::Repeated(token) = &refusal {
                scan.count(&client.id, "repeated");
                tell_of_theft(request, token, "a device code was used twice");
            }
            Err(not_granted(refusal))
        }
    }
}

/// Asks the other door, if there is one, for a grant of this type.
async fn further_grant(asked: Asked<'_>, grant_type: &str, worker: &IssuerWorker) -> Answer {
    let granted = match asked.request.app_data::<Data<dyn FurtherGrants>>() {
        Some(further) => further.grant(asked, grant_type, worker).await,
        None => Err(FurtherRefusal::OtherGrantTypes(&[])),
    };
    granted.map_err(|refusal| match refusal {
        FurtherRefusal::Refused(problem) => problem,
        FurtherRefusal::OtherGrantTypes(others) => {
            let types = [others, &[GRANT]].concat().join(" or ");
            Problem::invalid(format!("`grant_type` must be {types}."))
                .oauth("unsupported_grant_type")
        }
    })
}

fn device_code(asked: Asked<'_>) -> Result<DeviceCode, Problem> {
    let code = asked
        .fields
        .text("device_code")?
        .ok_or_else(|| missing("device_code"))?;
    code.parse().map_err(|()| not_granted(NotGranted::Unknown))
}

/// Fetches the grant of a device code, and signs its token.
async fn fetch(
    asked: Asked<'_>,
    code: &DeviceCode,
    worker: &IssuerWorker,
) -> Result<TokenAnswer, NotGranted> {
    let client = asked.client;
    let address = origin(asked.request).address.unwrap_or_default();
    let now = now();
    let sign = async |grant: Grant| {
        let issued = grant.token;
        let minter = worker.login.minter.with(&client.audience, client.token_ttl);
        Ok(TokenAnswer {
            access_token: minter.mint(&issued, &grant.claims, now)?,
            token_type: "Bearer",
            expires_in: (issued.expires_at - now.timestamp()).max(0),
            user_id: issued.user,
        })
    };
    DeviceFlow::of(&worker.login)
        .fetch_grant(code, (client, OWN), &address, sign)
        .await
}

/// An answer with a token, which no cache may keep (RFC 6749 section 5.1).
pub(in crate::doors) fn uncached(answer: impl Serialize) -> HttpResponse {
    let mut answer = private(answer);
    answer
        .headers_mut()
        .insert(header::PRAGMA, header::HeaderValue::from_static("no-cache"));
    answer
}

/// Logs and audits that a one-time code or token was used twice, so that the client's token was
/// revoked.
pub(in crate::doors) fn tell_of_theft(request: &HttpRequest, token: &Issued, found: &'static str) {
    bounded!(
        warn,
        token.id.as_str(),
        client_id = token.app.as_str(),
        "{found}, so its token was revoked"
    );
    let ended = Event {
        client: Some(ClientId(token.app.clone())),
        user: Some(token.user.clone()),
        note: Some(found.into()),
        ..Event::new(Activity::END, origin(request))
    };
    ended.tell_bounded(token.id.as_str());
}

fn not_granted(refusal: NotGranted) -> Problem {
    let has_scanned = matches!(refusal, NotGranted::Pending { scanned: true });
    let (code, detail) = match refusal {
        NotGranted::Failed(error) => return error.into(),
        NotGranted::Pending { scanned: false } => {
            ("authorization_pending", "Nobody has scanned the code yet.")
        }
        NotGranted::Pending { scanned: true } => (
            "authorization_pending",
            "The code is scanned and not confirmed yet.",
        ),
        NotGranted::TooSoon => (
            "slow_down",
            "Wait for 5 more seconds between two requests from now on.",
        ),
        NotGranted::Denied => (
            "access_denied",
            "The person has said no, has chosen another number, or was logged out meanwhile. Begin anew.",
        ),
        NotGranted::Expired => ("expired_token", "The code has expired. Begin anew."),
        NotGranted::Unknown | NotGranted::Repeated(_) => (
            "invalid_grant",
            "This client has no such device_code, or its token was fetched before. Begin anew.",
        ),
    };
    let mut problem = Problem::invalid(detail).oauth(code);
    problem.oauth_member = has_scanned.then_some("scanned");
    problem
}

/// Lets an assertion through once in a period that is longer than any assertion is valid.
const ONCE: Rate = Rate {
    burst: 1,
    period: LONGEST_ASSERTION.saturating_add(MAX_LEEWAY.saturating_mul(2)),
};

impl Clients {
    /// Adds to the metadata of `endpoint` how clients can authenticate, and with which algorithms
    /// assertions may be signed if a client uses assertions.
    pub(in crate::doors) fn describe(&self, endpoint: &str, metadata: &mut Value) {
        let show_tokens = self.identities().next().is_some();
        // Client libraries use the first method that they know. A back end's secret comes first.
        let methods = [
            "client_secret_basic",
            "client_secret_post",
            "none",
            "private_key_jwt",
        ];
        metadata[format!("{endpoint}_auth_methods_supported")] =
            json!(methods[..3 + usize::from(show_tokens)]);
        if show_tokens {
            metadata[format!("{endpoint}_auth_signing_alg_values_supported")] =
                json!(Algorithm::ALL.map(Algorithm::name));
        }
    }
}

/// Authenticates the client, and audits a refusal. From here on, pages of the client's own origins
/// may read the answer.
pub(in crate::doors) async fn authenticate<'c>(
    request: &HttpRequest,
    fields: &Fields<'_>,
    clients: &'c Clients,
    at: &AtDoor,
) -> Result<&'c Client, Problem> {
    let named = ClientCredentials::of(request, fields).and_then(|shown| {
        let known = shown
            .id
            .parse::<ClientId>()
            .ok()
            .and_then(|id| clients.get(&id));
        Ok((
            known.ok_or_else(|| unknown_client("No client here has this `client_id`."))?,
            shown,
        ))
    });
    let (client, shown) = named.map_err(|problem| refused(request, None, problem))?;
    allow_site(request, |origin| {
        client.origins.iter().any(|own| own == origin)
    });
    prove(client, shown, at)
        .await
        .map(|()| client)
        .map_err(|problem| refused(request, Some(client), problem))
}

/// Audits a refusal of a client, or of a request that names no known client.
pub(super) fn refused(request: &HttpRequest, client: Option<&Client>, problem: Problem) -> Problem {
    let (app, client) = client
        .map(|client| (client.app.clone(), client.id.clone()))
        .unzip();
    let event = Event {
        app,
        client,
        ..Event::new(ASKED, origin(request))
    };
    let who = format!(
        "{} {}",
        event.client.as_ref().map_or("", ClientId::as_str),
        event.address()
    );
    Refusal::from(problem).tell(event, &who)
}

async fn prove(client: &Client, shown: ClientCredentials, at: &AtDoor) -> Result<(), Problem> {
    if let Some(assertion) = shown.assertion {
        return check(client, &assertion, at).await;
    }
    Err(unknown_client(match (client.is_back_end(), shown.secret) {
        (false, None) => return Ok(()),
        (true, Some(secret)) if client.has_secret(&secret) => return Ok(()),
        (true, Some(_)) => "The client's secret is wrong.",
        (true, None) => "This client is a back end, and its secret is missing.",
        (false, Some(_)) => {
            "This client is a page and has no secret: send none, or give it one in the file."
        }
    }))
}

/// Checks the token that a client has sent in place of a secret. An assertion that the client has
/// signed itself must be for this issuer only, and can be used once.
async fn check(client: &Client, assertion: &str, (worker, scan): &AtDoor) -> Result<(), Problem> {
    let identity = client
        .identity
        .as_ref()
        .ok_or_else(|| unknown_client("This client has no `jwks` and no `issuer`."))?;
    let found = scan
        .issuers
        .find(assertion, iter::once(((), identity)), now())
        .await;
    let is_for_another = matches!(found, Err(NotVerified::Refused(Refused::Audience)));
    let Some(((), shown)) = identified(found)? else {
        // Many libraries put the endpoint's address into `aud`, which RFC 7523bis forbids: another
        // server could publish that address as its own endpoint, and replay here the assertions
        // that it receives.
        return Err(if is_for_another {
            unknown_client(format!(
                "The assertion's `aud` must be the issuer's URL, {}, and not the address of an endpoint.",
                worker.issuer.settings.issuer
            ))
        } else {
            unknown_client("The client's assertion is not valid here.")
        });
    };
    if !identity.makes_assertions() {
        return Ok(());
    }
    let id = shown.id.as_ref().filter(|_| shown.audience.len() == 1);
    let id = id.ok_or_else(|| {
        unknown_client("The assertion needs a `jti`, and one `aud`: the issuer's URL.")
    })?;
    let used = short_digest(&format!("{} {id}", client.id)).to_string();
    let meter = RateLimitKey::new("assertions", used, ONCE);
    match worker.login.store.limits.count(&meter).await {
        Ok(_) => Ok(()),
        Err(LimitError::TooMany(_)) => Err(unknown_client(
            "The client's assertion was used before: sign another.",
        )),
        Err(LimitError::Store(error)) => Err(Unavailable::from(error).into()),
    }
}
