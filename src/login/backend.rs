//! Asks the account backend: whose credentials these are, and whether the user may log in.

use wxmint_ids::{Person, Phone, PhoneCode, is_code_of_wechat};
use wxmint_keys::token::ExtraClaims;
use wxmint_store::{AttemptId, Bound, LimitKey, Meter, short_digest};

use super::{Arrival, Identity, LoginError, LoginWorker, USERNAME, worker::NAMES};
use crate::accounts::{LoginCheck, Named, Password, Username};

impl LoginWorker {
    /// Returns the claims that the account backend adds to the token. Refuses a user who is blocked, or whom the
    /// account backend does not let log in any more.
    pub(crate) async fn allow(&self, bound: &Bound) -> Result<ExtraClaims, LoginError> {
        let user = bound.user.as_str();
        if bound.blocked {
            tracing::info!(user, "the user is blocked");
            return Err(LoginError::Blocked);
        }
        match self.accounts.check_login(&bound.user).await? {
            LoginCheck::Admitted(claims) => Ok(claims),
            LoginCheck::Refused => {
                tracing::info!(user, "the account backend does not let this user log in");
                Err(LoginError::ShutOut)
            }
        }
    }

    /// Refuses credentials that the account backend does not take: to ignore a password would surprise the client.
    pub(super) fn check_accepted(&self, identity: &Identity) -> Result<(), LoginError> {
        let accepts = self.accounts.accepts();
        match identity {
            Identity::Password(..) if !accepts.passwords => Err(LoginError::NotAccepted("password")),
            Identity::Phone(_) if !accepts.phones => Err(LoginError::NotAccepted("phone_code")),
            _ => Ok(()),
        }
    }

    /// Checks the credentials. This happens after WeChat has accepted the code, so that each guess costs a fresh code.
    pub(super) async fn identify(
        &self,
        arrival: &Arrival,
        identity: Identity,
        attempt: &AttemptId,
    ) -> Result<Option<Named>, LoginError> {
        match identity {
            Identity::Nothing => Ok(None),
            Identity::Password(name, password) => {
                self.check_password(&arrival.person, &name, &password).await.map(Some)
            }
            Identity::Phone(code) => {
                let phone = Box::pin(self.phone_of(&arrival.person, &code, attempt)).await?;
                self.accounts.user_of_phone(&phone).await?.ok_or(LoginError::PhoneRefused).map(Some)
            }
        }
    }

    /// Each attempt is counted before the password is checked, so that parallel attempts are all counted. Only a
    /// wrong password stays counted.
    async fn check_password(&self, person: &Person, name: &Username, password: &Password) -> Result<Named, LoginError> {
        let key = LimitKey::of_person(person, NAMES, digest_of(name));
        let meter = Meter { key, rate: self.policy.limits.username };
        let counted = self.store.count(&meter).await?.map_err(LoginError::too_many(USERNAME))?;
        let checked = self.accounts.check_password(name, password).await;
        if !matches!(checked, Ok(None)) {
            self.store.uncount(&meter, counted).await?;
        }
        match checked? {
            Some(user) => Ok(Named { user, made: false }),
            None => Err(LoginError::InvalidCredentials),
        }
    }

    /// The phone number that `code` stands for, which must be this person's own.
    pub(super) async fn phone_of(
        &self,
        person: &Person,
        code: &PhoneCode,
        attempt: &AttemptId,
    ) -> Result<Phone, LoginError> {
        if !is_code_of_wechat(code.as_str()) {
            return Err(LoginError::PhoneCodeInvalid);
        }
        let exchange = async |app: &_, token: &_| self.wechat.phone_number(app, token, code, &person.openid).await;
        self.by_access_token(&person.app, attempt, exchange).await.map_err(|error| match error {
            LoginError::CodeInvalid => LoginError::PhoneCodeInvalid,
            LoginError::CodeUsed => LoginError::PhoneCodeUsed,
            error => error,
        })
    }
}

/// Failed passwords are counted by this digest. Names that differ only in case are one name.
fn digest_of(name: &Username) -> String {
    short_digest(&name.as_str().to_lowercase()).to_string()
}
