//! Credentials: the business user whom a password or a phone number proves.

use super::{Arrival, Identity, LoginError, PASSWORDS, Worker};
use crate::{
    accounts::{Named, Password, Username},
    ids::Person,
    store::{AttemptId, Cell, Meter, short_digest},
};

impl Worker {
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
            Identity::Phone(code) => Box::pin(self.user_of_phone(&arrival.person, &code, attempt)).await.map(Some),
        }
    }

    /// Each attempt is counted before the password is checked, so that parallel attempts are all counted. A right password
    /// is uncounted.
    async fn check_password(&self, person: &Person, name: &Username, password: &Password) -> Result<Named, LoginError> {
        let cell = Cell::Attempts(person.clone(), digest_of(name));
        let attempt = Meter { cell, rate: self.policy.limits.username };
        self.store.count(&attempt).await?.map_err(LoginError::too_many(PASSWORDS))?;
        let checked = self.accounts.check_password(name, password).await;
        if !matches!(checked, Ok(None)) {
            self.store.uncount(&attempt).await?;
        }
        match checked? {
            Some(user) => Ok(Named { user, made: false }),
            None => Err(LoginError::InvalidCredentials),
        }
    }
}

/// Failed passwords are counted by this digest. Names that differ only in case are one name.
fn digest_of(name: &Username) -> String {
    short_digest(&name.as_str().to_lowercase()).to_string()
}
