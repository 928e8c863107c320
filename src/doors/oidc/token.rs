//! `/token` for sites: the grants for codes and refresh tokens.

use std::borrow::Cow;

use async_trait::async_trait;
use wxmint_http::{Answer, Fields, Problem, missing, origin};
use wxmint_ids::UserId;
use wxmint_telemetry::audit::Event;

use super::grants::{CodeGrants, NotGiven, ShownCode};
use super::{LOGIN, Oidc, RENEWAL, renewal::Renewals, request::is_site};
use crate::issuer::grants::{TokenGrants, TokenRequest};
use crate::issuer::state::IssuerWorker;
use crate::oauth::clients::Client;
use crate::oauth::grant::{tell_of_theft, uncached};
use crate::refusals::Refusal;

const CODE: &str = "authorization_code";
const REFRESH: &str = "refresh_token";
/// The limit of unknown or used codes and refresh tokens, counted by address: they may be guesses.
pub(super) const TRIES: &str = "oidc-tries";

#[async_trait(?Send)]
impl TokenGrants for Oidc {
    fn fields(&self) -> &'static [&'static str] {
        &["code", "redirect_uri", "code_verifier", "refresh_token"]
    }

    fn grant_types(&self, client: &Client) -> &'static [&'static str] {
        match client.refresh {
            _ if !is_site(client) => &[],
            Some(_) => &[CODE, REFRESH],
            None => &[CODE],
        }
    }

    async fn grant(
        &self,
        asked: TokenRequest<'_>,
        grant_type: &str,
        worker: &IssuerWorker,
    ) -> Option<Answer> {
        // A site that may renew no more is told so by the error of its refresh token.
        if !is_site(asked.client) || ![CODE, REFRESH].contains(&grant_type) {
            return None;
        }
        Some(give(asked, grant_type, worker, self).await)
    }
}

async fn give(
    asked: TokenRequest<'_>,
    grant_type: &str,
    worker: &IssuerWorker,
    oidc: &Oidc,
) -> Answer {
    let TokenRequest {
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
