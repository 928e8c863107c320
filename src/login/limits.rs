//! The names of the limits, and how requests are counted by them.

use std::time::Duration;

use wxmint_ids::Person;
use wxmint_store::{RateLimitKey, RateLimits, limits::Rate};

use super::{CountError, LoginPolicy};

/// The limits. Each has one name: that of its variable (`WXMINT_LIMIT_IP`), its field of
/// `LoginPolicy`, and its label in the log and the audit events. No variable sets the limit of
/// unbindings.
pub(crate) const IP: &str = "ip";
pub const OPENID: &str = "openid";
pub const USERNAME: &str = "username";
pub(super) const UNBINDINGS: &str = "unbindings";

/// The kinds of requests that are counted for each person, besides logins. An erasure deletes these
/// counts.
pub(super) const COUNTED_OF_A_PERSON: [&str; 10] = [
    NAMES,
    PHONE,
    NUMBERS,
    CHECK,
    RESET,
    USER_DATA,
    ENCRYPT_KEYS,
    LOGOUTS,
    UNBINDINGS,
    DEVICE,
];
/// Failed passwords, by the digest of the user name.
pub(super) const NAMES: &str = "names";
/// Requests after the login. Each kind is counted for itself, with the rate of `limit_openid`.
pub(super) const PHONE: &str = "phone";
pub(super) const CHECK: &str = "check";
pub(super) const RESET: &str = "reset";
pub(super) const USER_DATA: &str = "userdata";
pub(super) const ENCRYPT_KEYS: &str = "encrypt-keys";
pub(super) const LOGOUTS: &str = "logouts";
/// Requests at the doors. The name is that of the first kind, device authorization.
pub const DEVICE: &str = "device";

/// The kind under which a person's phone numbers are counted.
pub(super) const NUMBERS: &str = "numbers";

/// How often a person can unbind. With the account backend `auto`, each unbinding leaves a user
/// behind.
const UNBINDING_RATE: Rate = Rate {
    burst: 10,
    period: Duration::from_hours(24),
};

/// Counts requests, and refuses those that are too many.
#[derive(Clone, Copy)]
pub struct LoginLimits<'a> {
    pub(crate) rates: &'a RateLimits,
    pub(crate) policy: &'a LoginPolicy,
}

impl LoginLimits<'_> {
    /// The limit of logins of an address.
    pub(super) fn of_address(&self, address: &str) -> RateLimitKey {
        RateLimitKey::new(IP, address, self.policy.limit_ip)
    }

    /// Counts a call before it is made, because one person must not decide how often it happens: a
    /// call of WeChat's API uses up the quota of the app, and a logout or an unbinding writes to
    /// Redis and reaches all verifiers.
    pub(crate) async fn count_call(
        &self,
        person: &Person,
        kind: &'static str,
    ) -> Result<(), CountError> {
        let of_logins = (self.policy.limit_openid, OPENID);
        let (rate, limit) = if kind == UNBINDINGS {
            (UNBINDING_RATE, UNBINDINGS)
        } else {
            of_logins
        };
        self.count(&RateLimitKey::of_person(person, kind, "", rate), limit)
            .await
    }

    /// Counts a request of an address, with the rate of `limit_ip`.
    pub async fn count_by_address(
        &self,
        kind: &'static str,
        address: &str,
    ) -> Result<(), CountError> {
        self.count(&RateLimitKey::new(kind, address, self.policy.limit_ip), IP)
            .await
    }

    /// Counts a request. `limit` is the name that the refusal has in the log and the audit events.
    pub(crate) async fn count(
        &self,
        meter: &RateLimitKey,
        limit: &'static str,
    ) -> Result<(), CountError> {
        self.rates
            .count(meter)
            .await
            .map_err(CountError::of_limit(limit))?;
        Ok(())
    }
}
