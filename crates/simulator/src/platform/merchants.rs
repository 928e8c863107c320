//! The merchants that have authorised the component, and the one-time codes for the authorization.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Component, State, pushes::Push};
use crate::{access_tokens::Bad, call::Refusal, state::alphanumeric};

pub(super) const CODE_LIFE: TimeDelta = TimeDelta::minutes(10);
pub(super) const PRE_AUTH_CODE_LIFE: TimeDelta = TimeDelta::minutes(30);

/// A merchant. `app` is its index in the list of apps.
pub(super) struct Merchant {
    pub(super) app: usize,
    pub(super) appid: String,
    pub(super) refresh_token: String,
    pub(super) since: DateTime<Utc>,
}

/// One-time codes, each with its meaning and its expiry.
#[derive(Default)]
pub(super) struct Pending<T>(Vec<(String, T, DateTime<Utc>)>);

impl<T> Pending<T> {
    /// Makes a code that begins with `beginning`.
    pub(super) fn mint(
        &mut self,
        beginning: &str,
        of: T,
        expires: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> String {
        self.0.retain(|(.., expires)| now < *expires);
        let code = format!("{beginning}@@@{}", alphanumeric(64));
        self.0.push((code.clone(), of, expires));
        code
    }

    pub(super) fn place(&self, code: &str, now: DateTime<Utc>) -> Option<usize> {
        self.0
            .iter()
            .position(|(known, _, expires)| known == code && now < *expires)
    }

    pub(super) fn spend(&mut self, code: &str, now: DateTime<Utc>) -> Option<T> {
        self.place(code, now)
            .map(|place| self.0.swap_remove(place).1)
    }
}

impl State {
    pub(super) fn merchant(&self, app: usize) -> Result<&Merchant, Refusal> {
        self.merchants
            .iter()
            .find(|merchant| merchant.app == app)
            .ok_or(Refusal(61003))
    }
}

impl Component {
    /// Lets an app authorise the component. Returns the push and the authorization code. If the app
    /// had authorised it before, its earlier refresh token becomes invalid.
    pub(in super::super) fn authorize(
        &self,
        app: usize,
        appid: &str,
        pre_auth_code: &str,
        now: DateTime<Utc>,
    ) -> (Push, String) {
        let mut state = self.state.lock();
        let refresh_token = format!("refreshtoken@@@{}", alphanumeric(43));
        let merchant = Merchant {
            app,
            appid: appid.to_owned(),
            refresh_token,
            since: now,
        };
        let info_type = match state
            .merchants
            .iter_mut()
            .find(|merchant| merchant.app == app)
        {
            Some(known) => {
                *known = merchant;
                "updateauthorized"
            }
            None => {
                state.merchants.push(merchant);
                "authorized"
            }
        };
        let expires = now + CODE_LIFE;
        let code = state
            .authorization_codes
            .mint("queryauthcode", app, expires, now);
        let members = [
            ("AuthorizerAppid", appid),
            ("AuthorizationCode", &code),
            (
                "AuthorizationCodeExpiredTime",
                &expires.timestamp().to_string(),
            ),
            ("PreAuthCode", pre_auth_code),
        ];
        (self.message(info_type, Some(appid), &members, now), code)
    }

    /// Withdraws the app's authorisation, and invalidates its tokens. `None` if the app had not
    /// authorised the component.
    pub(in super::super) fn leave(&self, app: usize, now: DateTime<Utc>) -> Option<Push> {
        let mut state = self.state.lock();
        let place = state
            .merchants
            .iter()
            .position(|merchant| merchant.app == app)?;
        let Merchant { appid, .. } = state.merchants.remove(place);
        state.merchant_tokens.end(Some(app), Bad::Unknown, now);
        Some(self.message(
            "unauthorized",
            Some(&appid),
            &[("AuthorizerAppid", &appid)],
            now,
        ))
    }
}
