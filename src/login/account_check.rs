//! Asks the account backend whether a user may log in.

use wxmint_ids::UserId;
use wxmint_keys::token::ExtraClaims;
use wxmint_store::Bound;

use super::{LoginError, Result};
use crate::accounts::Accounts;

/// Asks the account backend whether a user may log in.
#[derive(Clone, Copy)]
pub struct AccountCheck<'a> {
    pub(super) accounts: &'a dyn Accounts,
}

impl AccountCheck<'_> {
    /// Returns the claims that the account backend adds to the token: the `known` ones, if they
    /// were already asked for. Refuses a user who is blocked, or whom the account backend does not
    /// let log in any more.
    pub(crate) async fn allow(
        &self,
        bound: &Bound,
        known: Option<ExtraClaims>,
    ) -> Result<ExtraClaims> {
        if bound.blocked {
            tracing::info!(user = bound.user.as_str(), "the user is blocked");
            return Err(LoginError::Blocked);
        }
        if let Some(claims) = known {
            Ok(claims)
        } else {
            self.claims_of(&bound.user).await
        }
    }

    /// The claims that the account backend adds to the user's token. Refuses a user whom the
    /// account backend does not let log in.
    pub(super) async fn claims_of(&self, user: &UserId) -> Result<ExtraClaims> {
        self.accounts.check_login(user).await?.ok_or_else(|| {
            tracing::info!(
                user = user.as_str(),
                "the account backend does not let this user log in"
            );
            LoginError::AccountDenied
        })
    }
}
