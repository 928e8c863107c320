//! A client of WeChat's server API, and what is known about that API.
//!
//! WeChat answers every call with HTTP 200 and puts the outcome into the body, so this crate
//! ignores the status: a login succeeded only if `errcode` is absent or 0 and both `openid` and
//! `session_key` are present.
//!
//! - `client`: how calls are made and read; `call_error`: how they fail; `app`: the apps that they
//!   are made for; `api`: the tables of calls and errcodes;
//! - `alipay_keys`: the keys of an app at Alipay;
//! - `exchange`: the calls that exchange a login code; `session_key`: the calls that are signed
//!   with a session key; `stable_token`, `phone_number`, `mini_program_code`: one call each;
//! - `platform`: the calls of a third-party platform, and the messages that WeChat pushes to it;
//! - `user_data`: data that WeChat encrypts or signs with the session key and gives to a mini
//!   program.

mod alipay_keys;
mod api;
mod app;
mod call_error;
mod client;
mod exchange;
mod mini_program_code;
mod phone_number;
mod platform;
mod session_key;
mod stable_token;
mod user_data;

pub use alipay_keys::{AlipayIdentity, AlipayKeys, InvalidAlipayKey};
pub use api::{Api, Verdict};
pub use app::{
    App, AppAccessToken, AppExchanger, AppKind, AppSecret, AuthorizationCode, ComponentTicket,
    PaymentKey, PersonAccessToken, PlatformApp, PlatformCredentials, PlatformSecret, RefreshToken,
    SessionKey,
};
pub use call_error::{CallError, Result};
pub use client::{ByToken, MAX_PICTURE, Observer, WeChat};
pub use exchange::{Session, read_grant, read_session};
pub use phone_number::read_phone_number;
pub use platform::{Authorizer, BadPush, News, Push, PushKey, PushQuery};
pub use session_key::{
    EncryptKey, payment_signature, read_encrypt_keys, read_new_session_key, read_session_check,
    user_signature,
};
pub use stable_token::{FetchedAccessToken, read_access_token};
pub use user_data::{DataCheck, Malformed, OpenedData, UserData};

/// The published examples of WeChat's ciphers and signatures, each recomputed with other programs.
#[cfg(test)]
fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../tests/vectors/wechat.json")).expect("JSON")
}
