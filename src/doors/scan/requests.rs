//! Scan to log in: a page opens a device request, the person's phone approves it, and the page
//! fetches a token (RFC 8628). An approval is a login whose token goes to another device.
//! docs/scan-login.md draws the steps.

use wxmint_http::Problem;
use wxmint_keys::random;
use wxmint_store::{AttemptId, TokenState, limits::TooMany};
use wxmint_wechat::ByToken;

use super::UNKNOWN_DEVICE_CODE;
use super::codes::{DeviceCode, UserCode};
use super::page::Visitor;
use super::store::{DeviceRequest, Devices, Poll};
use crate::apps::UnknownApp;
use crate::login::{
    CountError, LimitReached, LoginParts, RequestError, Unavailable,
    check_is_mini_program_of_wechat, client_tag,
};
use crate::oauth::clients::{Client, Clients};
use crate::oauth::grant::{Grant, NotGranted};
use crate::oauth::records::retry_for_5_s;
use crate::refusals::Refusal;

/// The limit of open device requests of an address (`WXMINT_LIMIT_OPEN_REQUESTS`).
const OPEN_REQUESTS: &str = "open_requests";
/// The limit of device authorizations, counted by address.
const REQUESTS: &str = "device";
/// The limit of requests that may have guessed a code, counted by address: pictures, approvals
/// without a token, unknown codes.
pub(super) const TRIES: &str = "device-tries";
/// The limits of mini-program codes: one for each device request, and one for each app, of which an
/// address has a share. No setting changes them.
const PICTURES: &str = "pictures";
/// How many user codes are drawn before giving up. A code is drawn anew if another request has it.
const MOST_DRAWS: usize = 5;

/// 404: the device request does not exist, has expired, was denied, or is used up.
pub(super) fn gone() -> Refusal {
    let detail = "There is no such request of a page, or it has expired, was denied, or is used up. Scan the page's new code.";
    Problem::new(UNKNOWN_DEVICE_CODE, detail).into()
}

/// Device requests, as pages ask for them.
#[derive(Clone, Copy)]
pub(super) struct DeviceFlow<'a> {
    login: &'a LoginParts,
}

impl<'a> DeviceFlow<'a> {
    pub(super) fn of(login: &'a LoginParts) -> Self {
        Self { login }
    }

    /// Opens a device request. Fails if the client's app has no session keys, if the client's id is
    /// also an app's, or if the address has too many requests.
    pub(super) async fn ask_phone(
        &self,
        (client, door): (&Client, &'static str),
        visitor: Visitor,
    ) -> Result<(DeviceCode, DeviceRequest), RequestError> {
        let Visitor {
            address,
            counted_by,
            browser,
        } = visitor;
        let apps = self.login.apps.all();
        let calls = self.login.app_calls();
        check_is_mini_program_of_wechat(calls.choose(&apps, Some(&client.app), None)?)?;
        if apps.choose(Some(&client.id.0), None).is_ok() {
            // Revocations name a client and an app in the same way, so a revocation for one
            // would also revoke the tokens of the other.
            return Err(UnknownApp::NotConfigured.into());
        }
        self.login
            .limits()
            .count_by_address(REQUESTS, &counted_by)
            .await?;
        let request = DeviceRequest {
            client: client.id.clone(),
            door,
            app: client.app.clone(),
            address,
            counted_by,
            browser,
            numbers: client.matches.then(draw_numbers),
        };
        for _ in 0..MOST_DRAWS {
            let code = DeviceCode::random();
            let most = self.login.policy.limit_open_requests;
            let is_open = Devices(&self.login.store)
                .open_device(&code, &request, most)
                .await
                .map_err(CountError::of_limit(OPEN_REQUESTS))?;
            if is_open {
                return Ok((code, request));
            }
        }
        Err(Unavailable::Contended.into())
    }

    /// Lets WeChat draw the mini-program code of an open device request. `None` if there is no such
    /// request.
    pub(super) async fn picture(
        &self,
        code: &UserCode,
        clients: &Clients,
        address: &str,
    ) -> Result<Option<Vec<u8>>, RequestError> {
        self.login.limits().count_by_address(TRIES, address).await?;
        let devices = Devices(&self.login.store);
        let found = devices
            .find_device(code, None)
            .await?
            .filter(|found| found.approver.is_none());
        let Some(found) = found else { return Ok(None) };
        let Some(client) = of_request(clients, &found.request) else {
            return Ok(None);
        };
        let id = AttemptId::random().to_string();
        devices
            .take_code(&client.app, address, &id)
            .await
            .map_err(CountError::of_limit(PICTURES))?;
        if !devices.count_picture(code).await? {
            devices.give_back_code(&client.app, address, &id).await?;
            let refused = TooMany {
                retry_after: found.expires_in,
            };
            return Err(LimitReached {
                limit: PICTURES,
                refused,
            }
            .into());
        }
        let scene = code.to_string();
        let page = client.page.as_deref();
        let draw =
            async |by: ByToken<'_>| by.mini_program_code(&scene, page, client.env_version).await;
        let drawn = self
            .login
            .app_calls()
            .by_access_token(&client.app, draw)
            .await;
        if drawn.is_err() {
            devices.give_back_code(&client.app, address, &id).await?;
            devices.uncount_picture(code).await?;
        }
        Ok(Some(drawn?))
    }

    /// Gives the page its grant once: calls `give` with the grant and returns the result. The
    /// device code is used up only after `give` has succeeded, so that a page may repeat a failed
    /// request. A device code that is used twice may have been stolen, so its token is revoked.
    /// `address` is the asking client's address, as limits count it.
    pub(super) async fn fetch_grant<T>(
        &self,
        code: &DeviceCode,
        (client, door): (&Client, &str),
        address: &str,
        give: impl AsyncFnOnce(Grant) -> Result<T, RequestError>,
    ) -> Result<T, NotGranted> {
        self.login.app_calls().check_app(&client.app, false)?;
        let devices = Devices(&self.login.store);
        let attempt = AttemptId::random();
        let ask = async |takes| {
            devices
                .poll_device(code, (&client.id, door), &client.app, (&attempt, takes))
                .await
        };
        // A lost answer from Redis must not cost the page its token.
        let poll = async |takes| {
            if let Ok(polled) = ask(takes).await {
                Ok(polled)
            } else {
                ask(takes).await
            }
        };
        let polled = poll(false).await?;
        let grant = self.granted(polled, address).await?;
        self.check_grant(&grant, client).await?;
        let given = give(grant.clone()).await?;
        let failure = match poll(true).await {
            Ok(polled) => {
                if self.granted(polled, address).await? == grant {
                    return Ok(given);
                }
                // The person has just approved again, and the grant is another.
                Unavailable::Contended
            }
            Err(error) => error.into(),
        };
        retry_for_5_s(async || devices.release_device(code, &attempt).await).await?;
        Err(failure.into())
    }

    /// The grant that a poll has found. Counts an unknown device code against the client's
    /// address, and revokes the token of a device code that is used twice.
    async fn granted(&self, polled: Poll, address: &str) -> Result<Grant, NotGranted> {
        match polled {
            Poll::Granted(grant) => Ok(grant),
            Poll::Pending { scanned } => Err(NotGranted::Pending { scanned }),
            Poll::TooSoon => Err(NotGranted::TooSoon),
            Poll::Denied => Err(NotGranted::Denied),
            Poll::Expired => Err(NotGranted::Expired),
            Poll::Unknown => {
                self.login.limits().count_by_address(TRIES, address).await?;
                Err(NotGranted::Unknown)
            }
            Poll::Repeated(token) => {
                // Completes a revocation that an earlier request began and answered with 503.
                if !self
                    .login
                    .store
                    .revocations
                    .token_state(&token)
                    .await?
                    .is_published()
                {
                    self.login.store.revocations.revoke_token(&token).await?;
                }
                Err(NotGranted::Repeated(Box::new(token)))
            }
        }
    }

    /// Refuses a grant whose token has expired, or was revoked since the approval.
    async fn check_grant(&self, grant: &Grant, client: &Client) -> Result<(), NotGranted> {
        if grant.token.expires_at <= self.login.store.clock.now().timestamp() {
            return Err(NotGranted::Expired);
        }
        // A revocation of the user since the approval has revoked this token, too.
        let is_over = self
            .login
            .minter
            .has_revoked_all(&grant.token, &client_tag(&client.id.0));
        if is_over
            || !matches!(
                self.login
                    .store
                    .revocations
                    .token_state(&grant.token)
                    .await?,
                TokenState::People(_)
            )
        {
            return Err(NotGranted::Denied);
        }
        Ok(())
    }
}

/// The client of a device request, unless the client has been removed from the file or has another
/// mini program now.
pub(super) fn of_request<'c>(clients: &'c Clients, request: &DeviceRequest) -> Option<&'c Client> {
    clients
        .get(&request.client)
        .filter(|client| client.app == request.app)
}

/// Three different numbers of two digits, and which of them the page shows.
fn draw_numbers() -> ([String; 3], String) {
    // The remainders of 64 bits are as good as equally likely.
    let drawn = u64::from_be_bytes(*random());
    let mut left = (10..100).collect::<Vec<_>>();
    let places = [drawn % 90, drawn / 90 % 89, drawn / (90 * 89) % 88];
    let numbers = places.map(|place| left.swap_remove(place as usize).to_string());
    let right = numbers[(drawn / (90 * 89 * 88) % 3) as usize].clone();
    (numbers, right)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, time::Duration};

    use wxmint_ids::{AppId, Person, Platform};
    use wxmint_keys::{PrivateJwk, token::ExtraClaims};
    use wxmint_verify::Algorithm;
    use wxmint_wechat::{App, AppExchanger, AppKind};

    use super::*;
    use crate::clock::now;
    use crate::doors::scan::browser::BrowserName;
    use crate::doors::scan::store::approver;
    use crate::issuer::caller::tests::issuer;

    /// A revocation for one would also revoke the tokens of the other.
    #[actix_web::test]
    async fn a_client_whose_id_is_the_appid_of_an_app_opens_no_request() {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let issuer = issuer(&key, ("WXMINT_TOKEN_TTL", "24h"));
        let login = issuer.login_parts().expect("a worker");
        let file =
            r#"{"clients":[{"client_id":"wxpartner","name":"TV","appid":"wx0123456789abcdef"}]}"#;
        let clients = Clients::parse(file.as_bytes(), Duration::MAX).expect("clients");
        let client = clients
            .get(&"wxpartner".parse().expect("an id"))
            .expect("the client");
        let ask = async || {
            let address = "192.0.2.1".to_owned();
            let visitor = Visitor {
                counted_by: address.clone(),
                address,
                browser: BrowserName::default(),
            };
            DeviceFlow::of(&login)
                .ask_phone((client, ""), visitor)
                .await
        };
        ask().await.expect("a request");
        issuer.apps.from_elsewhere_are([App {
            id: client.id.0.clone(),
            kind: AppKind::MiniProgram,
            exchanger: AppExchanger::Component("wxplatform".parse().expect("an AppID")),
        }]);
        assert!(matches!(
            ask().await,
            Err(RequestError::App(crate::login::AppRefusal::Unknown(
                UnknownApp::NotConfigured
            )))
        ));
    }

    /// The page waits and asks again, and must not look like a thief.
    #[actix_web::test]
    async fn a_device_code_that_was_answered_by_a_fault_gives_a_token_afterwards_and_once() {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let login = issuer(&key, ("WXMINT_TOKEN_TTL", "24h"))
            .login_parts()
            .expect("a worker");
        let app: AppId = "wx0123456789abcdef".parse().expect("an app");
        let devices = Devices(&login.store);
        let file = format!(
            r#"{{"clients":[{{"client_id":"tv","name":"TV","appid":"{app}","match":false}}]}}"#
        );
        let clients = Clients::parse(file.as_bytes(), Duration::MAX).expect("clients");
        let client = clients
            .get(&"tv".parse().expect("an id"))
            .expect("the client");
        let person = approver(&Person {
            platform: Platform::WeChat,
            app,
            openid: "o1".parse().expect("an openid"),
        });
        let address = "192.0.2.1".to_owned();
        let visitor = Visitor {
            counted_by: address.clone(),
            address,
            browser: BrowserName::default(),
        };
        let (code, _) = DeviceFlow::of(&login)
            .ask_phone((client, ""), visitor)
            .await
            .expect("a request");
        let approve = async || {
            let id = login.minter.token_id("mark", now()).expect("random");
            let token = login.minter.issued(
                "user-1".parse().expect("a user"),
                client.id.0.clone(),
                id,
                now(),
            );
            let grant = Grant {
                token,
                claims: ExtraClaims::default(),
                mark: "mark".into(),
            };
            assert_eq!(
                devices
                    .approve_device(code.user_code(), &person, &grant)
                    .await,
                Ok(true)
            );
            grant
        };
        devices
            .claim_device(code.user_code(), &person, None)
            .await
            .expect("claimed");
        approve().await;
        let at = (client, "");
        for _ in 0..2 {
            let fault = async |_| Err::<(), _>(Unavailable::Contended.into());
            let fetched = DeviceFlow::of(&login)
                .fetch_grant(&code, at, "192.0.2.1", fault)
                .await;
            assert!(matches!(
                fetched,
                Err(NotGranted::Failed(RequestError::Unavailable(
                    Unavailable::Contended
                )))
            ));
        }
        let latest = RefCell::new(None);
        let meanwhile = async |_| Ok(latest.replace(Some(approve().await)));
        let fetched = DeviceFlow::of(&login)
            .fetch_grant(&code, at, "192.0.2.1", meanwhile)
            .await;
        assert!(
            matches!(
                fetched,
                Err(NotGranted::Failed(RequestError::Unavailable(
                    Unavailable::Contended
                )))
            ),
            "the token would be another than the one that is kept"
        );
        let fetch = async || {
            DeviceFlow::of(&login)
                .fetch_grant(&code, at, "192.0.2.1", async |grant| Ok(grant))
                .await
        };
        let latest = latest.take().expect("a grant");
        assert_eq!(fetch().await.expect("the grant"), latest);
        assert!(matches!(
            fetch().await,
            Err(NotGranted::Repeated(token)) if *token == latest.token
        ));
    }
}
