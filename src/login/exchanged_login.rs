//! The person whom WeChat has named, with what the store knows of the person.

use chrono::{DateTime, Utc};
use wxmint_ids::{Person, UnionId};
use wxmint_store::{BindingState, Bound, ExchangedKey, Generation};

/// The person whom WeChat has named, and the state of the person's binding.
pub(super) struct ExchangedLogin {
    pub(super) person: Person,
    pub(super) unionid: Option<UnionId>,
    pub(super) state: BindingState,
    /// The code's session key.
    pub(super) key: ExchangedKey,
    /// The generation of the binding under which the session key is stored already; `None` if it is
    /// not stored yet.
    pub(super) kept_for: Option<Generation>,
    /// When the code was claimed or the ticket redeemed, by the store's clock.
    pub(super) at: DateTime<Utc>,
    /// Whether a revocation may cover a token that is dated `at`.
    pub(super) may_be_revoked: bool,
}

impl ExchangedLogin {
    pub(super) fn bound(&self) -> Option<&Bound> {
        if let BindingState::Bound(bound) = &self.state {
            Some(bound)
        } else {
            None
        }
    }
}
