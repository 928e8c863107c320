//! Scan to log in: a page asks, the person's phone says yes, and the page has a token (RFC 8628). An approval is a
//! login whose token goes to another device.
//!
//! ```text
//! page                  wxmint                    phone
//!   │── who may come in? ─▶│                         │
//!   │◀─ device code, user code, number ──│           │
//!   │          (the phone scans the user code)       │
//!   │                      │◀── who asks? ───────────│
//!   │                      │◀── code, number ────────│   a login, as in login.rs
//!   │── device code ──────▶│                         │
//!   │◀──────────── token ──│                         │
//! ```

use aws_lc_rs::rand;
use chrono::{DateTime, Utc};
use wxmint_http::Problem;
use wxmint_store::{LimitKey, StoreError, TokenState, limits::TooMany};
use wxmint_wechat::ByToken;

use super::UNKNOWN_DEVICE_CODE;
use super::clients::{Client, Clients};
use super::codes::{DeviceCode, UserCode};
use super::store::{DeviceRequest, Devices, Poll};
use crate::login::{IP, LoginError, LoginWorker, mark_of_client, new_attempt};
use crate::{apps::UnknownApp, refusals::Refusal};

/// The limit of open requests of an address. No variable sets it.
pub(in crate::doors) const OPEN_REQUESTS: &str = "open_requests";
/// Requests of pages are counted by address.
const REQUESTS: &str = "device";
/// Requests of strangers who may have guessed a code, by address: pictures, approvals without a token, and device codes
/// that are nobody's.
pub(super) const TRIES: &str = "device-tries";
/// The limit of mini-program codes of one request. No variable sets it.
const PICTURES: &str = "pictures";
/// How often a user code is drawn anew that another request has.
const MOST_DRAWS: usize = 5;

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        LoginError::from(error).into()
    }
}

/// The request of a page never was, has expired, was denied, or is used up.
pub(super) fn gone() -> Refusal {
    let detail =
        "There is no such request of a page, or it has expired, was denied, or is used up. Scan the page's new code.";
    Problem::new(UNKNOWN_DEVICE_CODE, detail).into()
}

impl LoginWorker {
    /// Opens a request of a page. `address` is the page's, as limits count it. A back end's visitors are counted apart
    /// from everybody else, because a back end can name any address.
    pub(in crate::doors) async fn ask_phone(
        &self,
        (client, door): (&Client, &'static str),
        address: &str,
        user_agent: &str,
    ) -> Result<(DeviceCode, DeviceRequest), LoginError> {
        let apps = self.apps.all();
        if !self.choose(&apps, Some(&client.app), None)?.kind.has_session_keys() {
            return Err(LoginError::NoSessionKeys);
        }
        if apps.choose(Some(&client.id.0), None).is_ok() {
            // Ends of the one would be ends of the other.
            return Err(UnknownApp::NotConfigured.into());
        }
        let counted_by = if client.is_back_end() { format!("{} {address}", client.id) } else { address.to_owned() };
        self.count_by(REQUESTS, &counted_by).await?;
        let request = DeviceRequest {
            client: client.id.clone(),
            door,
            app: client.app.clone(),
            address: address.to_owned(),
            counted_by,
            user_agent: user_agent.to_owned(),
            numbers: if client.matches { Some(draw_numbers()?) } else { None },
        };
        for _ in 0..MOST_DRAWS {
            let code = DeviceCode::random().map_err(|_| LoginError::NoRandomness)?;
            let opened = Devices(&self.store).open_device(&code, &request).await?;
            if opened.map_err(LoginError::too_many(OPEN_REQUESTS))? {
                return Ok((code, request));
            }
        }
        Err(LoginError::Contended)
    }

    /// Draws the mini-program code of an open request. `None` if there is no such request.
    pub(super) async fn picture(
        &self,
        code: &UserCode,
        clients: &Clients,
        address: &str,
    ) -> Result<Option<Vec<u8>>, LoginError> {
        self.count_by(TRIES, address).await?;
        let Some(found) = Devices(&self.store).find_device(code, None).await?.filter(|found| found.approver.is_none())
        else {
            return Ok(None);
        };
        let Some(client) = of_request(clients, &found.request) else { return Ok(None) };
        if !Devices(&self.store).count_picture(code).await? {
            return Err(LoginError::too_many(PICTURES)(TooMany { retry_after: found.expires_in }));
        }
        let scene = code.to_string();
        let draw =
            async |by: ByToken<'_>| by.mini_program_code(&scene, client.page.as_deref(), client.env_version).await;
        let drawn = self.by_access_token(&client.app, &new_attempt()?, draw).await;
        if drawn.is_err() {
            Devices(&self.store).uncount_picture(code).await?;
        }
        drawn.map(Some)
    }

    pub(in crate::doors) async fn count_by(&self, kind: &'static str, address: &str) -> Result<(), LoginError> {
        self.count(LimitKey::new(kind, address), self.policy.limits.ip, IP).await
    }

    /// Gives the page its grant, once. Whoever asks again with the same code may have stolen it, so the token is ended.
    /// `address`: of who asks, as limits count it.
    pub(in crate::doors) async fn fetch_grant(
        &self,
        code: &DeviceCode,
        (client, door): (&Client, &str),
        address: &str,
        now: DateTime<Utc>,
    ) -> Result<Poll, LoginError> {
        self.choose(&self.apps.all(), Some(&client.app), None)?;
        let attempt = new_attempt()?;
        let poll = async || Devices(&self.store).poll_device(code, (&client.id, door), &client.app, &attempt).await;
        // An answer that was lost must not cost the page its token.
        let polled = if let Ok(polled) = poll().await { polled } else { poll().await? };
        match &polled {
            Poll::Granted(grant) if grant.token.expires_at <= now.timestamp() => return Ok(Poll::Expired),
            Poll::Granted(grant) => {
                // An end of the user since the approval has ended this token too.
                let is_over = self.minter.has_ended_all(&grant.token, &mark_of_client(&client.id.0));
                if is_over || !matches!(self.store.token_state(&grant.token).await?, TokenState::People(_)) {
                    return Ok(Poll::Denied);
                }
            }
            Poll::Repeated(token) => {
                // An end that was begun, and answered 503, is finished.
                if !self.store.token_state(token).await?.is_told() {
                    self.store.end_token(token).await?;
                }
            }
            Poll::Unknown => self.count_by(TRIES, address).await?,
            Poll::Pending { .. } | Poll::TooSoon | Poll::Denied | Poll::Expired => {}
        }
        Ok(polled)
    }
}

/// The client of a request, unless it has left the file, or is of another mini program now.
pub(super) fn of_request<'c>(clients: &'c Clients, request: &DeviceRequest) -> Option<&'c Client> {
    clients.get(&request.client).filter(|client| client.app == request.app)
}

/// Three different numbers of two digits, and which of them the page shows.
fn draw_numbers() -> Result<([String; 3], String), LoginError> {
    let mut bits = [0; 8];
    rand::fill(&mut bits).map_err(|_| LoginError::NoRandomness)?;
    // The remainders of 64 bits are as good as equally likely.
    let mut drawn = u64::from_be_bytes(bits);
    let mut below = |most: usize| {
        let number = drawn % most as u64;
        drawn /= most as u64;
        number as usize
    };
    let mut left: Vec<u32> = (10..100).collect();
    let numbers = [(); 3].map(|()| left.swap_remove(below(left.len())).to_string());
    let right = numbers[below(3)].clone();
    Ok((numbers, right))
}
