//! `/token` for sites: the grants for codes and refresh tokens, beside the device code grant.

use std::borrow::Cow;

use actix_web::HttpResponse;
use async_trait::async_trait;
use wxmint_http::{Answer, Fields, Problem, missing, origin};
use wxmint_ids::UserId;
use wxmint_telemetry::audit::Event;

use super::grants::{CodeGrants, NotGiven, ShownCode};
use super::{LOGIN, Oidc, RENEWAL, renewal::Renewals, request::is_site};
use crate::doors::scan::token::{Asked, FurtherGrants, FurtherRefusal, tell_of_theft, uncached};
use crate::{issuer::state::IssuerWorker, refusals::Refusal};

pub(super) const CODE: &str = "authorization_code";
pub(super) const REFRESH: &str = "refresh_token";
/// The limit of unknown or used codes and refresh tokens, counted by address: they may be guesses.
pub(super) const TRIES: &str = "oidc-tries";

#[async_trait(?Send)]
impl FurtherGrants for Oidc {
    async fn grant(
        &self,
        asked: Asked<'_>,
        grant_type: &str,
        worker: &IssuerWorker,
    ) -> Result<HttpResponse, FurtherRefusal> {
        let client = asked.client;
        if !is_site(client) {
            return Err(FurtherRefusal::OtherGrantTypes(&[]));
        }
        match grant_type {
            CODE | REFRESH => Ok(give(asked, grant_type, worker, self).await?),
            _ if client.refresh.is_none() => Err(FurtherRefusal::OtherGrantTypes(&[CODE])),
            _ => Err(FurtherRefusal::OtherGrantTypes(&[CODE, REFRESH])),
        }
    }
}

async fn give(asked: Asked<'_>, grant_type: &str, worker: &IssuerWorker, oidc: &Oidc) -> Answer {
    let Asked {
        request,
        fields,
        client,
    } = asked;
    let (activity, done) = if grant_type == CODE {
        (LOGIN, "logged_in")
    } else {
        (RENEWAL, "renewed")
    };
    let login = &worker.login;
    let given = if grant_type == CODE {
        let shown = ShownCode {
            code: &field(fields, "code")?,
            redirect_uri: &field(fields, "redirect_uri")?,
            verifier: &field(fields, "code_verifier")?,
        };
        CodeGrants::of(login).redeem_code(&shown, client).await
    } else {
        let token = field(fields, "refresh_token")?;
        Renewals::of(login).refresh(&token, client).await
    };
    let tell =
        |user: Option<&UserId>, outcome| oidc.tell(request, (activity, outcome), &client.id, user);
    let count = async || {
        worker
            .login
            .limits()
            .count_by_address(TRIES, &origin(request).address.unwrap_or_default())
            .await
    };
    let detail = match given {
        Ok(given) => {
            tell(Some(&given.user), done);
            return Ok(uncached(given));
        }
        Err(NotGiven::Failed(error)) => {
            let event = Event {
                client: Some(client.id.clone()),
                ..Event::new(activity, origin(request))
            };
            return Err(Refusal::from(error).tell(event, client.id.0.as_str()));
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
        Err(NotGiven::Revocation(first)) => {
            tell(Some(&first.user), "ended");
            "The login has ended: the user was logged out, blocked or unbound meanwhile. Log in anew."
        }
    };
    Err(Problem::invalid(detail).oauth("invalid_grant"))
}

fn field<'f>(fields: &'f Fields<'_>, name: &'static str) -> Result<Cow<'f, str>, Problem> {
    fields.text(name)?.ok_or_else(|| missing(name))
}
