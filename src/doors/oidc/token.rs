//! `/token` for sites, beside the grant of pages that wait for a phone.

use actix_web::HttpRequest;
use actix_web::web::Data;
use async_trait::async_trait;
use serde::Serialize;
use wxmint_http::{Answer, Fields, Problem, RefusedBody, origin, to_the_end};
use wxmint_ids::UserId;
use wxmint_keys::token::SignedToken;

use super::Oidc;
use super::grants::{Given, NotGiven, ShownCode};
use super::request::is_site;
use super::told::{LOGIN, RENEWAL, Told};
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

/// A site shows this for its tokens.
enum Shown {
    Code(ShownCode),
    Refresh(String),
}

impl Shown {
    /// `None` if the grant is none of this door's.
    fn read(grant_type: &str, fields: &Fields<'_>) -> Result<Option<Self>, Problem> {
        let one = |name| Ok::<_, Problem>(fields.text(name)?.ok_or(RefusedBody::Missing(name))?.into_owned());
        Ok(match grant_type {
            CODE => {
                let (code, redirect_uri, verifier) = (one("code")?, one("redirect_uri")?, one("code_verifier")?);
                Some(Self::Code(ShownCode { code, redirect_uri, verifier }))
            }
            REFRESH => Some(Self::Refresh(one("refresh_token")?)),
            _ => None,
        })
    }
}

/// RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3.
#[derive(Serialize)]
struct TokenAnswer {
    access_token: SignedToken,
    token_type: &'static str,
    expires_in: i64,
    id_token: SignedToken,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// The site may have asked for more.
    scope: String,
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
        let shown = match Shown::read(grant_type, fields) {
            Ok(shown) => shown?,
            Err(problem) => return Some(Err(problem)),
        };
        let (request, client, worker, told) = (request.clone(), client.clone(), Data::clone(worker), self.told.clone());
        // Whatever was stolen ends, and is told, although the client may hang up.
        Some(to_the_end(async move { give(&request, &client, &shown, &worker, &told).await }).await)
    }
}

async fn give(request: &HttpRequest, client: &Client, shown: &Shown, worker: &IssuerWorker, told: &Told) -> Answer {
    let failed = |error: LoginError| of_oauth(in_own_words(error.into()));
    let (activity, done, outcome) = match shown {
        Shown::Code(code) => (LOGIN, "logged_in", worker.login.redeem_code(code, client, now()).await),
        Shown::Refresh(token) => (RENEWAL, "renewed", worker.login.refresh(token, client, now()).await),
    };
    let tell = |user: Option<&UserId>, outcome| told.tell(request, (activity, outcome), &client.id, user);
    let detail = match outcome.map_err(failed)? {
        Ok(Given { access, id, refresh, issued, scope }) => {
            tell(Some(&issued.user), done);
            return Ok(uncached(TokenAnswer {
                access_token: access,
                token_type: "Bearer",
                expires_in: (issued.expires_at - now().timestamp()).max(0),
                id_token: id,
                refresh_token: refresh,
                scope,
            }));
        }
        Err(NotGiven::Unknown) => {
            tell(None, "unknown");
            let address = origin(request).address.unwrap_or_default();
            worker.login.count_by(TRIES, &address).await.map_err(failed)?;
            "It is no code or refresh token of this client, has expired, or goes with another redirect_uri or verifier."
        }
        Err(NotGiven::Theft(first)) => {
            tell(Some(&first.user), "repeated");
            tell_of_theft(request, &first, "a code or refresh token was used twice");
            "It was used before, so the login has ended. Log in anew."
        }
        Err(NotGiven::Ended(first)) => {
            tell(Some(&first.user), "ended");
            "The login has ended: the user was logged out, blocked or unbound meanwhile. Log in anew."
        }
    };
    Err(Problem::invalid(detail).oauth("invalid_grant"))
}
