//! The requests of pages that wait for a phone (RFC 8628).

#[cfg(test)]
mod conformance;
mod redis;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wxmint_ids::{AppId, ClientId, Person, parsed, unprintable};
use wxmint_keys::token::{ExtraClaims, Issued};
use wxmint_store::{AttemptId, Result, limits::TooMany, short_digest};

pub(in crate::doors) use self::redis::Devices;
use super::codes::{DeviceCode, UserCode};

/// How long a page waits for the phone.
pub(in crate::doors) const DEVICE_TTL: Duration = Duration::from_secs(180);

/// How long a page that still asks is told how its request has ended.
pub(super) const DEVICE_END_KEPT: Duration = Duration::from_secs(10 * 60);

/// How long a page pauses between two asks, and how much longer after each ask that came too soon (RFC 8628 section
/// 3.5).
pub(in crate::doors) const POLL_INTERVAL: Duration = Duration::from_secs(2);
const POLL_SLOWER: Duration = Duration::from_secs(5);
/// An ask may be so much too soon, because timers and networks are not exact.
const POLL_TOLERANCE: Duration = Duration::from_millis(200);

/// The door of the client's own pages, which poll at `/token`.
pub(super) const OWN: &str = "";

/// How many requests of one address may be open.
pub(super) const MOST_OPEN: usize = 20;

/// How often WeChat is asked for the mini-program code of one request.
pub(super) const MOST_PICTURES: u32 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::doors) struct DeviceRequest {
    pub(super) client: ClientId,
    /// The door whose page this is: no other may fetch what it is granted.
    #[serde(skip)]
    pub(super) door: &'static str,
    /// The app whose users may say yes.
    #[serde(deserialize_with = "parsed")]
    pub(super) app: AppId,
    /// The page's, as the phone shows it.
    pub(super) address: String,
    /// By whom open requests are counted: the address, or that of a back end's visitor together with the back end,
    /// which must not use up what others have.
    pub(super) counted_by: String,
    pub(super) user_agent: String,
    /// The numbers from which the person must choose the one that the page shows, and which one that is.
    pub(in crate::doors) numbers: Option<([String; 3], String)>,
}

/// A request that waits for a phone, or was approved by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundDevice {
    pub(super) request: DeviceRequest,
    /// Seconds since 1970 by the store's clock.
    pub(super) requested_at: i64,
    pub(super) expires_in: Duration,
    pub(super) approver: Option<Approver>,
}

/// A person, as the record of an approval names one: the store keeps no openid for it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Approver(String);
unprintable!(Approver);

impl Approver {
    pub(super) fn of(person: &Person) -> Self {
        Self(short_digest(&[person.app.as_str(), person.openid.as_str()].join(":")).to_string())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decided {
    /// The request waits for [`Devices::approve_device`] of this person, and of nobody else.
    Claimed,
    Approved,
    /// The number is wrong, which has spoiled the request for good.
    WrongNumber,
    /// There is no such request, or not any more.
    Gone,
}

/// The token that an approval grants; it is signed when the page fetches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::doors) struct Grant {
    /// Its `app` is the client.
    pub(in crate::doors) token: Issued,
    /// The claims of the account backend.
    pub(in crate::doors) claims: ExtraClaims,
    /// The binding of the person who has approved it.
    pub(in crate::doors) mark: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doors) enum Poll {
    /// No request has this device code, or another client's has, or one of this client at another door.
    Unknown,
    Pending {
        scanned: bool,
    },
    TooSoon,
    Denied,
    Expired,
    /// Once.
    Granted(Grant),
    /// The token was fetched before: this one.
    Repeated(Issued),
}

pub(in crate::doors) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are JSON")
}
