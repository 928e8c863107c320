//! Asks the account backend whether a user may log in.

use wxmint_ids::{AppId, UserId};
use wxmint_keys::token::ExtraClaims;
use wxmint_store::Bound;

use crate::accounts::{Accounts, AccountsError};

/// Why a user does not get the claims of a token.
#[derive(Debug, thiserror::Error)]
pub enum AccountCheckError {
    #[error("an operator has blocked this user")]
    Blocked,
    #[error("the account backend does not let this user log in")]
    Denied,
    #[error(transparent)]
    Accounts(#[from] AccountsError),
}

/// Asks the account backend whether a user may log in through an app.
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
        app: &AppId,
        bound: &Bound,
        known: Option<ExtraClaims>,
    ) -> Result<ExtraClaims, AccountCheckError> {
        if bound.blocked {
            tracing::info!(user = bound.user.as_str(), "the user is blocked");
            return Err(AccountCheckError::Blocked);
        }
        if let Some(claims) = known {
            Ok(claims)
        } else {
            self.claims_of(app, &bound.user).await
        }
    }

    /// The claims that the account backend adds to the user's token. Refuses a user whom the
    /// account backend does not let log in.
    pub(super) async fn claims_of(
        &self,
        app: &AppId,
        user: &UserId,
    ) -> Result<ExtraClaims, AccountCheckError> {
        self.accounts.check_login(app, user).await?.ok_or_else(|| {
            tracing::info!(
                user = user.as_str(),
                "the account backend does not let this user log in"
            );
            AccountCheckError::Denied
        })
    }
}
