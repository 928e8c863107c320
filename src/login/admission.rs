//! A person who may have a token.

use wxmint_ids::{Person, UserId};
use wxmint_keys::token::ExtraClaims;
use wxmint_store::Bound;

use super::client_tokens::recipient_tag;
use super::exchanged_login::ExchangedLogin;

/// A login that has passed all checks: the person may have a token, for the app or for a client.
pub struct Admission {
    pub(super) exchanged: ExchangedLogin,
    pub(super) bound: Bound,
    /// The claims of the account backend.
    pub extra: ExtraClaims,
}

impl Admission {
    /// The person who logs in.
    pub fn person(&self) -> &Person {
        &self.exchanged.person
    }

    /// The business user, for the token's `sub`.
    pub fn user(&self) -> &UserId {
        &self.bound.user
    }

    /// The tag of the binding, for [`Issuance::still_bound`](super::Issuance::still_bound).
    pub fn mark(&self) -> String {
        recipient_tag(&self.exchanged.person, self.bound.generation)
    }
}
