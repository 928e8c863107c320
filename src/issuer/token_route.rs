//! `/token` (RFC 6749 section 3.2): a client fetches a token by a grant of one of the doors. The
//! route is there if there is a file of clients.

use actix_web::HttpRequest;
use actix_web::web::{Data, Payload};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use wxmint_http::ProblemCode::{self, KeysUnavailable};
use wxmint_http::run_to_completion;
use wxmint_http::{Answer, Fields, Problem, missing, not_found, read_form, routes};
use wxmint_ids::UserId;
use wxmint_keys::token::SignedToken;

use super::grants::{TokenGrants, TokenRequest};
use super::route_constants::{BODY, LIMIT, PLACE, SECURITY, STORE, TOKEN_PATH};
use super::{Issuer, state::IssuerWorker};
use crate::oauth::error::{OAuthError, to_oauth};

/// The problem of a client's token whose issuer's keys are not known.
const KEYS: &[ProblemCode] = &[KeysUnavailable];

routes! {
    #[openapi(tags((name = "clients", description = "For pages, devices and sites that fetch a token")))]
    POST "/token" self::token [STORE, KEYS, LIMIT], BODY;
}

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

/// The client's token.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenAnswer {
    /// A JWT (RFC 9068), for `Authorization: Bearer …`.
    #[schema(value_type = String, example = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ii4uLiJ9.…")]
    pub(crate) access_token: SignedToken,
    #[schema(value_type = String, example = "Bearer")]
    pub(crate) token_type: &'static str,
    /// Seconds.
    #[schema(example = 86_400)]
    pub(crate) expires_in: i64,
    /// The token's `sub`.
    #[schema(value_type = String, example = "0193f5b2-9c5e-7cc0-8000-000000000000")]
    pub(crate) user_id: UserId,
}

/// Fetch the token of an approved request (RFC 8628 section 3.4)
///
/// Until then the answer is 400: `authorization_pending` (with `"scanned": true` once a phone has looked), `slow_down`
/// (from then on ask 5 seconds later each time), `access_denied`, `expired_token`, `invalid_grant`. A device code gives
/// one token.
#[utoipa::path(post, path = "/token", tag = "clients",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Logged in", body = TokenAnswer),
        (status = 400, description = "Not yet, not any more, or another form of request", body = OAuthError),
        (status = 401, description = "The client is unknown, or its secret is wrong", body = OAuthError)))]
pub(super) async fn token(
    request: HttpRequest,
    payload: Payload,
    worker: Data<IssuerWorker>,
) -> Answer {
    let granted = async {
        let mut names = vec!["grant_type"];
        names.extend(worker.issuer.token_grants().flat_map(TokenGrants::fields));
        let fields = read_form(&request, payload, &names).await?;
        // Runs to completion, so that a stolen grant is revoked and audited even if the client
        // disconnects.
        run_to_completion(async move { grant(&request, &fields, &worker).await }).await
    };
    to_oauth(granted.await)
}

async fn grant(request: &HttpRequest, fields: &Fields<'_>, worker: &IssuerWorker) -> Answer {
    let issuer = &worker.issuer;
    let oauth = issuer.oauth.as_ref().ok_or_else(|| not_found(PLACE))?;
    let clients = oauth.clients();
    let client = oauth
        .authenticate(request, fields, &clients, &worker.login)
        .await?;
    let grant_type = fields
        .text("grant_type")?
        .ok_or_else(|| missing("grant_type"))?;
    let asked = TokenRequest {
        request,
        fields,
        client,
    };
    for grants in issuer.token_grants() {
        if let Some(answer) = grants.grant(asked, &grant_type, worker).await {
            return answer;
        }
    }
    let types: Vec<_> = issuer
        .token_grants()
        .flat_map(|grants| grants.grant_types(client))
        .copied()
        .collect();
    let detail = format!("`grant_type` must be {}.", types.join(" or "));
    Err(Problem::invalid(detail).oauth("unsupported_grant_type"))
}

impl Issuer {
    /// The members of the metadata about `/token` (RFC 8414 section 2). Null without a file of
    /// clients.
    pub(super) fn token_metadata(&self) -> Value {
        let Some(oauth) = &self.oauth else {
            return Value::Null;
        };
        let clients = oauth.clients();
        let mut types = Vec::new();
        for grants in self.token_grants() {
            for client in clients.iter() {
                for name in grants.grant_types(client) {
                    if !types.contains(name) {
                        types.push(name);
                    }
                }
            }
        }
        let mut members = json!({
            "token_endpoint": format!("{}{TOKEN_PATH}", self.settings.issuer),
            "grant_types_supported": types,
        });
        clients.describe("token_endpoint", &mut members);
        members
    }
}
