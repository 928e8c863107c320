//! All that is known of WeChat's server API. Nothing else speaks to it.
//!
//! WeChat answers every call with HTTP 200 and says in the body how it went, so that nothing here trusts a status:
//! a login succeeded only if `errcode` is absent or 0 and both `openid` and `session_key` are there.

mod apps;
mod client;
mod code2session;
mod errcode;
mod secrets;

pub use apps::{AppFault, AppFaults, Apps, AppsSource, CurrentApps, Reloaded, UnknownApp, app_of_referer};
pub use client::{App, WeChat};
pub use code2session::{ExchangeError, Session, read_answer};
pub use errcode::Verdict;
pub use secrets::{AppSecret, SessionKey};
