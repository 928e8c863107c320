//! `/token` for sites, beside the grant of pages that wait for a phone.

use actix_web::HttpRequest;
use actix_web::web::Data;
use async_trait::async_trait;
use serde::Serialize;
use wxmint_http::{Answer, Fields, Problem, RefusedBody, origin};
use wxmint_keys::token::SignedToken;

use super::Oidc;
use super::grants::{Given, NotGiven, Outcome, ShownCode};
use super::request::is_site;
use crate::clock::now;
use crate::doors::scan::clients::Client;
use crate::doors::scan::of_oauth;
use crate::doors::scan::page::in_own_words;
use crate::doors::scan::token::{FurtherGrants, tell_of_theft, uncached};
use crate::issuer::state::IssuerWorker;
use crate::login::LoginError;

pub(super) const CODE: &str = "authorization_code";
pub(super) const REFRESH: &str = "refresh_token";
/// Codes and refresh tokens that are nobody's, by address: they may be guesses.
const TRIES: &str = "oidc-tries";

const FIELDS: &[&str] = &["grant_type", "device_code", "code", "redirect_uri", "code_verifier", "refresh_token"];

#[derive(Serialize)]
struct TokenAnswer {
    access_token: SignedToken,
    token_type: &'static str,
    expires_in: i64,
    id_token: SignedToken,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

#[async_trait(?Send)]
impl FurtherGrants for Oidc {
    fn fields(&self) -> &'static [&'static str] {
        FIELDS
    }

    async fn grant(
        &self,
        (request, fields, client): (&HttpRequest, &Fields<'_>, &Client),
        grant_type: &str,
        worker: &Data<IssuerWorker>,
    ) -> Option<Answer> {
        if !is_site(client) {
            return None;
        }
        let asked = match grant_type {
            CODE => redeem(fields, client, worker).await,
            REFRESH => refresh(fields, client, worker).await,
            _ => return None,
        };
        let outcome = match asked {
            Ok(outcome) => outcome,
            Err(problem) => return Some(Err(problem)),
        };
        Some(self.answer(request, client, outcome, grant_type, worker).await)
    }
}

async fn redeem(fields: &Fields<'_>, client: &Client, worker: &IssuerWorker) -> Result<Outcome, Problem> {
    let one = |name| fields.text(name)?.ok_or(RefusedBody::Missing(name));
    let (code, redirect_uri, verifier) = (one("code")?, one("redirect_uri")?, one("code_verifier")?);
    let shown = ShownCode { code: &code, redirect_uri: &redirect_uri, verifier: &verifier };
    Ok(worker.login.redeem_code(&shown, client, now()).await)
}

async fn refresh(fields: &Fields<'_>, client: &Client, worker: &IssuerWorker) -> Result<Outcome, Problem> {
    let token = fields.text("refresh_token")?.ok_or(RefusedBody::Missing("refresh_token"))?;
    Ok(worker.login.refresh(&token, client, now()).await)
}

impl Oidc {
    async fn answer(
        &self,
        request: &HttpRequest,
        client: &Client,
        outcome: Outcome,
        grant_type: &str,
        worker: &IssuerWorker,
    ) -> Answer {
        let failed = |error: LoginError| of_oauth(in_own_words(error.into()));
        let detail = match outcome.map_err(failed)? {
            Ok(Given { access, id, refresh, issued }) => {
                self.count(&client.id, if grant_type == CODE { "logged_in" } else { "renewed" });
                let expires_in = (issued.expires_at - now().timestamp()).max(0);
                return Ok(uncached(TokenAnswer {
                    access_token: access,
                    token_type: "Bearer",
                    expires_in,
                    id_token: id,
                    refresh_token: refresh,
                }));
            }
            Err(NotGiven::Unknown) => {
                let address = origin(request).address.unwrap_or_default();
                worker.login.count_by(TRIES, &address).await.map_err(failed)?;
                self.count(&client.id, "unknown");
                "It is no code or refresh token of this client, has expired, or goes with another redirect_uri or verifier."
            }
            Err(NotGiven::Theft(first)) => {
                self.count(&client.id, "repeated");
                tell_of_theft(request, &first, "a code or refresh token was used twice");
                "It was used before, so the login has ended. Log in anew."
            }
            Err(NotGiven::Ended) => {
                self.count(&client.id, "ended");
                "The login has ended: the user was logged out, blocked or unbound meanwhile. Log in anew."
            }
        };
        Err(Problem::invalid(detail).oauth("invalid_grant"))
    }
}
