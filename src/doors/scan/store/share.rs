//! Budgets of an app that strangers share: the mini-program codes that WeChat draws in a minute,
//! and the open device requests.
//!
//! A client with many addresses can always use up such a budget. So an address gets no more than a
//! share of it, and one part is reserved for addresses that take little:
//!
//! - An address that has taken fewer than [`LITTLE`] may take more as long as anything is left.
//! - An address that has taken more takes from the first half, and at most a tenth of what is left
//!   of that half. The more others have taken, the smaller a share becomes.
//!
//! So a few greedy addresses take at most half. To take the other half, a client needs one address
//! for each [`LITTLE`] that it takes.

use std::{sync::LazyLock, time::Duration};

use wxmint_ids::AppId;
use wxmint_redis_link::Script;
use wxmint_store::limits::{LimitError, TooMany};
use wxmint_store::{Result, Store};

use super::DEVICE_TTL;

/// A person asks for one code, and perhaps for another after a reload.
const LITTLE: u32 = 2;

static SHARE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("share.lua")));

/// A budget that each app has for itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// A part of the names of its Redis keys.
    pub(super) name: &'static str,
    /// How much all addresses together can take in each `period`.
    pub(super) total: u32,
    /// How long a reservation counts.
    pub(super) period: Duration,
}

/// WeChat draws 5,000 codes a minute for an app (getUnlimitedQRCode, errcode 45009).
pub(super) const CODES: Budget = Budget {
    name: "codes",
    total: 5_000,
    period: Duration::from_mins(1),
};

/// As many requests as WeChat can draw codes for while they are open. This bounds the memory of
/// Redis: an open request takes 1.9 KB, and an expired request 1.3 KB for ten more minutes.
pub(super) const OPEN_REQUESTS: Budget = Budget {
    name: "open",
    total: 15_000,
    period: DEVICE_TTL,
};

impl Budget {
    /// Makes a reservation for an address. `id` identifies it.
    pub(super) async fn take(
        self,
        store: &Store,
        app: &AppId,
        address: &str,
        id: &str,
    ) -> Result<(), LimitError> {
        let [all, own] = self.keys(app, address);
        let call = SHARE
            .on(&[&all, &own])
            .arg("take")
            .arg(id)
            .arg(self.period.as_millis() as u64);
        let wait: u64 = store
            .link
            .run("take_share", call.arg(self.total).arg(LITTLE))
            .await?;
        if wait == 0 {
            return Ok(());
        }
        Err(LimitError::TooMany(TooMany {
            retry_after: Duration::from_millis(wait),
        }))
    }

    /// Releases a reservation that is not used, or is not needed any more.
    pub(super) async fn give_back(
        self,
        store: &Store,
        app: &AppId,
        address: &str,
        id: &str,
    ) -> Result<()> {
        let [all, own] = self.keys(app, address);
        let call = SHARE.on(&[&all, &own]).arg("give back").arg(id);
        store.link.run::<u64>("give_back_share", call).await?;
        Ok(())
    }

    /// The key of the whole budget, and the key of this address.
    fn keys(self, app: &AppId, address: &str) -> [String; 2] {
        let all = format!("wxmint:share:{{{app}}}:{}", self.name);
        let own = format!("{all}:{address}");
        [all, own]
    }
}
