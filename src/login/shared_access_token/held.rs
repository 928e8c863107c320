//! A token that many logins take.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};

use super::Usable;

/// How many seconds a process uses a token without asking whether it is the newest: fewer than those before its end in
/// which one is renewed.
const HELD: i64 = 60;

/// A token that is held for a minute at most, so that who uses it often need not ask the store each time. One that
/// WeChat refuses is replaced as any other.
pub struct HeldToken {
    clock: fn() -> DateTime<Utc>,
    held: ArcSwapOption<(Arc<Usable>, DateTime<Utc>)>,
}

impl HeldToken {
    pub fn new(clock: fn() -> DateTime<Utc>) -> Self {
        Self { clock, held: ArcSwapOption::empty() }
    }

    /// None also where the clock has stepped back.
    pub(super) fn get(&self) -> Option<Arc<Usable>> {
        let held = self.held.load_full()?;
        (0..HELD).contains(&((self.clock)() - held.1).num_seconds()).then(|| Arc::clone(&held.0))
    }

    pub(super) fn hold(&self, usable: &Arc<Usable>) {
        self.held.store(Some(Arc::new((Arc::clone(usable), (self.clock)()))));
    }
}
