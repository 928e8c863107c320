//! WeChat's third-party platform (第三方平台): a vendor's component, with its tickets, its tokens, and
//! the merchants that have authorised it.
//!
//! - `envelope`: a push, encrypted and signed; `pushes`: sends pushes to the receiver, and a ticket
//!   every ten minutes;
//! - `merchants`: the merchants that have authorised the component, and the codes for that;
//!   `login_page`: the page on which merchants authorise it;
//! - `endpoints`: WeChat's answers.

mod endpoints;
pub(super) mod envelope;
pub(super) mod login_page;
mod merchants;
pub(super) mod pushes;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde_json::{Value, json};
use wxmint_verify::ids::AppId;

use self::merchants::{Merchant, Pending};
use super::access_tokens::{AccessTokens, Bad};

/// Decodes the key. The last of its 43 characters holds two bits more than the key has, and
/// WeChat's console accepts any value for them.
const KEY_ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);
const KEY_LENGTH: usize = 43;
const TICKET_LIFE: TimeDelta = TimeDelta::hours(12);
/// How long a ticket is remembered after its push. Later it counts as invalid and not as expired.
const TICKET_REMEMBERED: TimeDelta = TimeDelta::hours(24);
/// The component's number in `tokens`. The component is not in the list of apps, and its tokens are
/// kept apart from the apps' tokens.
const COMPONENT: usize = 0;

/// A component, with what the vendor has entered at WeChat's console.
#[derive(Clone)]
pub struct Platform {
    pub(super) component_appid: AppId,
    component_appsecret: String,
    /// Signs pushes (消息校验 Token).
    token: String,
    /// Encrypts pushes (消息加解密 Key).
    key: [u8; 32],
}

/// The error of a text that is no [`Platform`]. Its message does not repeat the text, because the
/// text holds secrets.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be COMPONENT_APPID:COMPONENT_APPSECRET:TOKEN:ENCODING_AES_KEY, the token of 3 to 32 letters and digits, the key of 43"
)]
pub struct InvalidPlatform;

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let parts: Vec<&str> = text.split(':').collect();
        let [appid, secret, token, key] = parts[..] else {
            return Err(InvalidPlatform);
        };
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if secret.is_empty() || !(3..=32).contains(&token.len()) || !is_plain(token) {
            return Err(InvalidPlatform);
        }
        let key = Some(key).filter(|key| key.len() == KEY_LENGTH && is_plain(key));
        let key = key.and_then(|key| KEY_ENGINE.decode(key).ok()?.try_into().ok());
        Ok(Self {
            component_appid: appid.parse().map_err(|_| InvalidPlatform)?,
            component_appsecret: secret.to_owned(),
            token: token.to_owned(),
            key: key.ok_or(InvalidPlatform)?,
        })
    }
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Platform")
            .field(&self.component_appid.as_str())
            .finish()
    }
}

/// The platform that the simulator plays.
pub(super) struct Component {
    pub(super) platform: Platform,
    state: Mutex<State>,
    has_started: AtomicBool,
}

#[derive(Default)]
struct State {
    push_to: Option<String>,
    /// Whether a ticket is pushed every ten minutes.
    pushing: bool,
    /// The remembered tickets with their times of push, the newest last.
    tickets: Vec<(String, DateTime<Utc>)>,
    tickets_pushed: u64,
    tokens: AccessTokens,
    merchant_tokens: AccessTokens,
    merchants: Vec<Merchant>,
    authorization_codes: Pending<usize>,
    pre_auth_codes: Pending<()>,
    pushes: VecDeque<Value>,
}

impl Component {
    pub(super) fn new(
        platform: Platform,
        push_to: Option<String>,
        token_life: TimeDelta,
    ) -> Arc<Self> {
        let state = State {
            pushing: push_to.is_some(),
            push_to,
            tokens: AccessTokens::new(token_life),
            merchant_tokens: AccessTokens::new(token_life),
            ..State::default()
        };
        Arc::new(Self {
            platform,
            state: Mutex::new(state),
            has_started: AtomicBool::new(false),
        })
    }

    /// Starts to push tickets. Each worker of the server calls this, but only the first call has an
    /// effect.
    pub(super) fn start(self: &Arc<Self>) {
        if !self.has_started.swap(true, Ordering::Relaxed) {
            tokio::spawn(Arc::clone(self).push_tickets());
        }
    }

    pub(super) fn change(&self, push_to: Option<String>, pushing: Option<bool>) {
        let mut state = self.state.lock();
        if let Some(push_to) = push_to {
            state.push_to = Some(push_to).filter(|push_to| !push_to.is_empty());
        }
        state.pushing = pushing.unwrap_or(state.pushing);
    }

    /// Invalidates the component's tokens, or those of all merchants, before they expire. Returns
    /// their number.
    pub(super) fn end_tokens(&self, of_merchants: bool, how: Bad, now: DateTime<Utc>) -> usize {
        let mut state = self.state.lock();
        if of_merchants {
            state.merchant_tokens.end(None, how, now)
        } else {
            state.tokens.end(None, how, now)
        }
    }

    /// The app of the merchant to which this token belongs.
    pub(super) fn merchant_of_token(&self, token: &str, now: DateTime<Utc>) -> Result<usize, Bad> {
        self.state.lock().merchant_tokens.app(token, now)
    }

    /// The platform's state as the control API shows it.
    pub(super) fn show(&self) -> Value {
        let state = self.state.lock();
        let merchant = |merchant: &Merchant| json!({"appid": merchant.appid, "refresh_token": merchant.refresh_token});
        json!({
            "component_appid": self.platform.component_appid.as_str(),
            "push_to": state.push_to,
            "tickets_pushed": state.tickets_pushed,
            "pushing": state.pushing,
            "merchants": state.merchants.iter().map(merchant).collect::<Vec<_>>(),
            "pushes": state.pushes,
        })
    }
}
