//! Phone numbers: what WeChat has verified, and whom the business knows by it.

use super::{AccessTokens, Candidate, Login, LoginError};
use crate::{
    accounts::Named,
    ids::Person,
    ids::{Phone, PhoneCode},
    store::ClaimId,
};

impl Login {
    /// The business user of the phone number that `code` stands for, which must be this person's own.
    pub(super) async fn user_of_phone(
        &self,
        person: &Person,
        code: &PhoneCode,
        claim: &ClaimId,
    ) -> Result<Candidate, LoginError> {
        let phone = self.phone_of(person, code, claim).await?;
        match self.accounts.user_of_phone(&phone).await? {
            Some(Named { user, made }) => Ok(Candidate { user, made }),
            None => Err(LoginError::PhoneRefused),
        }
    }

    /// The phone number that `code` stands for, which must be this person's own.
    pub(crate) async fn phone_of(
        &self,
        person: &Person,
        code: &PhoneCode,
        claim: &ClaimId,
    ) -> Result<Phone, LoginError> {
        let apps = self.apps.all();
        let app = apps.choose(Some(&person.app), None)?;
        let vault = self.vault.keys();
        let tokens = AccessTokens { wechat: &self.wechat, shelf: &*self.store, vault: &vault };
        let exchange = async |token: &_| self.wechat.phone_number(app, token, code, &person.openid).await;
        Ok(tokens.with(app, claim, exchange).await?)
    }
}
