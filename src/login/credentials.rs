//! Checks the credentials that a client sends beside WeChat's code: a password or a phone number.

use wxmint_ids::{Person, PhoneCode};
use wxmint_keys::token::ExtraClaims;
use wxmint_store::{RateLimitKey, short_digest};

use super::limits::{NAMES, USERNAME};
use super::{AccountCheck, Attempt, CountError, LoginError, LoginLimits, PhoneNumbers, Result};
use crate::accounts::{Accepts, Accounts, Named, Password, Username};

/// Proves the business user.
#[derive(Debug)]
pub enum Credentials {
    /// No credentials: only a WeChat identity that is bound gets a token.
    Nothing,
    Password(Username, Password),
    /// The code of the button `getPhoneNumber`.
    Phone(PhoneCode),
}

/// Checks credentials.
#[derive(Clone, Copy)]
pub(super) struct CredentialCheck<'a> {
    pub(super) accounts: &'a dyn Accounts,
    pub(super) account_check: AccountCheck<'a>,
    pub(super) limits: LoginLimits<'a>,
    pub(super) phone_numbers: PhoneNumbers<'a>,
}

impl CredentialCheck<'_> {
    /// Refuses credentials that the account backend does not accept, because a password that is
    /// silently ignored would surprise the client.
    pub(super) fn check_accepted(&self, credentials: &Credentials) -> Result<()> {
        let accepts = self.accounts.accepts();
        match credentials {
            Credentials::Password(..) if accepts == Accepts::Nothing => {
                Err(LoginError::NotAccepted("password"))
            }
            Credentials::Phone(_) if accepts != Accepts::PasswordsAndPhones => {
                Err(LoginError::NotAccepted("phone_code"))
            }
            _ => Ok(()),
        }
    }

    /// Checks the credentials. This happens after WeChat has accepted the code, so that each guess
    /// costs a fresh code. Returns the claims too: they are asked for before the binding is made,
    /// because a user who may not log in must not be bound.
    pub(super) async fn check(
        &self,
        person: &Person,
        credentials: Credentials,
        attempt: &mut Attempt<'_>,
    ) -> Result<Option<(Named, ExtraClaims)>> {
        let named = match credentials {
            Credentials::Nothing => return Ok(None),
            Credentials::Password(name, password) => {
                self.check_password(person, &name, &password, attempt.address)
                    .await?
            }
            Credentials::Phone(code) => {
                let phone = Box::pin(self.phone_numbers.phone_of(person, &code)).await?;
                self.accounts
                    .user_of_phone(&person.app, &phone)
                    .await?
                    .ok_or(LoginError::PhoneRefused)?
            }
        };
        attempt
            .audit_context
            .user
            .get_or_insert_with(|| named.user.clone());
        let claims = self
            .account_check
            .claims_of(&person.app, &named.user)
            .await?;
        Ok(Some((named, claims)))
    }

    /// Each attempt is counted before the password is checked, so that parallel attempts are all
    /// counted. Only a wrong password stays counted.
    async fn check_password(
        &self,
        person: &Person,
        name: &Username,
        password: &Password,
        from: &str,
    ) -> Result<Named> {
        let digest = short_digest(&name.folded()).to_string();
        let meter =
            RateLimitKey::of_person(person, NAMES, &digest, self.limits.policy.limit_username);
        let counted = self
            .limits
            .rates
            .count(&meter)
            .await
            .map_err(CountError::of_limit(USERNAME))?;
        let checked = self
            .accounts
            .check_password(&person.app, name, password, from)
            .await;
        if !matches!(checked, Ok(None)) {
            self.limits.rates.uncount(&meter, counted).await?;
        }
        checked?
            .map(|user| Named { user, made: false })
            .ok_or(LoginError::InvalidCredentials)
    }
}
