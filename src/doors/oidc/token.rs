//! `/token` for sites, beside the grant of pages that wait for a phone.

use actix_web::HttpRequest;
use actix_web::web::Data;
use async_trait::async_trait;
use wxmint_http::{Answer, Fields, Problem, RefusedBody, origin};
use wxmint_ids::UserId;

use super::grants::{NotGiven, ShownCode};
use super::request::is_site;
use super::{LOGIN, Oidc, RENEWAL};
use crate::doors::scan::clients::Client;
use crate::doors::scan::token::{FurtherGrants, tell_of_theft, uncached};
use crate::issuer::state::IssuerWorker;

pub(super) const CODE: &str = "authorization_code";
pub(super) const REFRESH: &str = "refresh_token";
/// Codes and refresh tokens that are nobody's or were used, by address: they may be guesses.
pub(super) const TRIES: &str = "oidc-tries";

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
    ) -> Result<Answer, &'static [&'static str]> {
        let shown = match Shown::read(grant_type, fields) {
            _ if !is_site(client) => return Err(&[]),
            Ok(None) if client.site.refresh.is_none() => return Err(&[CODE]),
            Ok(None) => return Err(&[CODE, REFRESH]),
            Ok(Some(shown)) => shown,
            Err(problem) => return Ok(Err(problem)),
        };
        Ok(give(request, client, &shown, worker, self).await)
    }
}

async fn give(request: &HttpRequest, client: &Client, shown: &Shown, worker: &IssuerWorker, oidc: &Oidc) -> Answer {
    let (activity, done, outcome) = match shown {
        Shown::Code(code) => (LOGIN, "logged_in", worker.login.redeem_code(code, client).await),
        Shown::Refresh(token) => (RENEWAL, "renewed", worker.login.refresh(token, client).await),
    };
    let tell = |user: Option<&UserId>, outcome| oidc.tell(request, (activity, outcome), &client.id, user);
    let count = async || worker.login.count_by(TRIES, &origin(request).address.unwrap_or_default()).await;
    let detail = match outcome? {
        Ok(given) => {
            tell(Some(&given.user), done);
            return Ok(uncached(given));
        }
        Err(NotGiven::Unknown) => {
            tell(None, "unknown");
            count().await?;
            "It is no code or refresh token of this client, has expired, or goes with another redirect_uri or verifier."
        }
        Err(NotGiven::Theft(first)) => {
            tell(Some(&first.user), "repeated");
            tell_of_theft(request, &first, "a code or refresh token was used twice");
            count().await?;
            "It was used before, so the login has ended. Log in anew."
        }
        Err(NotGiven::Ended(first)) => {
            tell(Some(&first.user), "ended");
            "The login has ended: the user was logged out, blocked or unbound meanwhile. Log in anew."
        }
    };
    Err(Problem::invalid(detail).oauth("invalid_grant"))
}
