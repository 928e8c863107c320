//! `/token` for sites: the grants for codes and refresh tokens, beside the device code grant.

use async_trait::async_trait;
use wxmint_http::{Answer, Problem, missing, origin};
use wxmint_ids::UserId;
use wxmint_telemetry::audit::Event;

use super::{LOGIN, Oidc, RENEWAL, grants::NotGiven, request::is_site};
use crate::doors::scan::token::{Asked, FurtherGrants, GrantTypes, tell_of_theft, uncached};
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
    ) -> Result<Answer, GrantTypes> {
        let (_, _, client) = asked;
        match grant_type {
            _ if !is_site(client) => Err(&[]),
            CODE | REFRESH => Ok(give(asked, grant_type, worker, self).await),
            _ if client.refresh.is_none() => Err(&[CODE]),
            _ => Err(&[CODE, REFRESH]),
        }
    }
}

async fn give(
    (request, fields, client): Asked<'_>,
    grant_type: &str,
    worker: &IssuerWorker,
    oidc: &Oidc,
) -> Answer {
    let one = |name| {
        Ok::<_, Problem>(
            fields
                .text(name)?
                .ok_or_else(|| missing(name))?
                .into_owned(),
        )
    };
    let (activity, done, outcome) = if grant_type == CODE {
        let (code, redirect_uri, verifier) =
            (one("code")?, one("redirect_uri")?, one("code_verifier")?);
        (
            LOGIN,
            "logged_in",
            worker
                .login
                .redeem_code(&code, [&redirect_uri, &verifier], client)
                .await,
        )
    } else {
        (
            RENEWAL,
            "renewed",
            worker.login.refresh(&one("refresh_token")?, client).await,
        )
    };
    let tell =
        |user: Option<&UserId>, outcome| oidc.tell(request, (activity, outcome), &client.id, user);
    let count = async || {
        worker
            .login
            .count_by(TRIES, &origin(request).address.unwrap_or_default())
            .await
    };
    let refused = |error| {
        let event = Event {
            client: Some(client.id.clone()),
            ..Event::new(activity, origin(request))
        };
        Refusal::from(error).tell(event, client.id.0.as_str())
    };
    let detail = match outcome.map_err(refused)? {
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
        Err(NotGiven::Revocation(first)) => {
            tell(Some(&first.user), "ended");
            "The login has ended: the user was logged out, blocked or unbound meanwhile. Log in anew."
        }
    };
    Err(Problem::invalid(detail).oauth("invalid_grant"))
}
