//! The device code grant: the page fetches its token (RFC 8628 section 3.4). Pages of other doors
//! fetch their grant in the same way.

use async_trait::async_trait;
use wxmint_http::{Answer, Problem, missing, origin, private};

use super::codes::DeviceCode;
use super::page::{open_request, visitor};
use super::requests::DeviceFlow;
use super::{Scan, store::OWN};
use crate::clock::now;
use crate::issuer::grants::{Give, PhoneLogin, PhoneLoginRequest, TokenGrants, TokenRequest};
use crate::issuer::{state::IssuerWorker, token_route::TokenAnswer};
use crate::login::RequestError;
use crate::oauth::clients::Client;
use crate::oauth::grant::{Grant, NotGranted, tell_of_theft, uncached};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

#[async_trait(?Send)]
impl TokenGrants for Scan {
    fn fields(&self) -> &'static [&'static str] {
        &["device_code"]
    }

    fn grant_types(&self, _: &Client) -> &'static [&'static str] {
        &[GRANT]
    }

    async fn grant(
        &self,
        asked: TokenRequest<'_>,
        grant_type: &str,
        worker: &IssuerWorker,
    ) -> Option<Answer> {
        if grant_type != GRANT {
            return None;
        }
        Some(self.give_token(asked, worker).await)
    }
}

#[async_trait(?Send)]
impl PhoneLogin for Scan {
    async fn ask_phone(&self, page: PhoneLoginRequest<'_>) -> Answer {
        let opened = open_request(self, page, visitor(page.request)).await?;
        Ok(private(opened))
    }

    async fn fetch_grant(
        &self,
        page: PhoneLoginRequest<'_>,
        device_code: &str,
        give: Give<'_>,
    ) -> Result<String, NotGranted> {
        self.fetch(page, device_code, async move |grant| give(grant).await)
            .await
    }
}

impl Scan {
    async fn give_token(&self, asked: TokenRequest<'_>, worker: &IssuerWorker) -> Answer {
        let TokenRequest {
            request,
            fields,
            client,
        } = asked;
        let code = fields
            .text("device_code")?
            .ok_or_else(|| missing("device_code"))?;
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
        let page = PhoneLoginRequest {
            request,
            worker,
            client,
            door: OWN,
        };
        let answer = self.fetch(page, &code, sign).await.map_err(not_granted)?;
        tracing::info!(
            user = answer.user_id.as_str(),
            client_id = client.id.as_str(),
            "a page was logged in"
        );
        Ok(uncached(answer))
    }

    /// Fetches the grant of a device code, counts the outcome, and audits a theft.
    async fn fetch<T>(
        &self,
        page: PhoneLoginRequest<'_>,
        device_code: &str,
        give: impl AsyncFnOnce(Grant) -> Result<T, RequestError>,
    ) -> Result<T, NotGranted> {
        let PhoneLoginRequest {
            request,
            worker,
            client,
            door,
        } = page;
        let code: DeviceCode = device_code.parse().map_err(|()| NotGranted::Unknown)?;
        let address = origin(request).address.unwrap_or_default();
        let fetched = DeviceFlow::of(&worker.login)
            .fetch_grant(&code, (client, door), &address, give)
            .await;
        match &fetched {
            Ok(_) => self.count(&worker.issuer, &client.id, "redeemed"),
            Err(NotGranted::Repeated(token)) => {
                self.count(&worker.issuer, &client.id, "repeated");
                tell_of_theft(request, token, "a device code was used twice");
            }
            Err(_) => {}
        }
        fetched
    }
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
