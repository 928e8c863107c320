//! A login by phone number: whose it is, as WeChat has verified it and the business knows it.

use super::{AccessTokens, Candidate, Login, LoginError};
use crate::{
    accounts::Named,
    ids::PhoneCode,
    store::{ClaimId, Person},
};

impl Login {
    /// The business user of the phone number that `code` stands for, which must be this person's own.
    pub(super) async fn user_of_phone(
        &self,
        person: &Person,
        code: &PhoneCode,
        claim: &ClaimId,
    ) -> Result<Candidate, LoginError> {
        let apps = self.apps.all();
        let app = apps.choose(Some(&person.app), None)?;
        let tokens = AccessTokens { wechat: &self.wechat, shelf: &*self.store, vault: &self.vault };
        let exchange = async |token: &_| self.wechat.phone_number(app, token, code, &person.openid).await;
        let phone = tokens.with(app, claim, exchange).await?;
        match self.accounts.user_of_phone(&phone).await? {
            Some(Named { user, made }) => Ok(Candidate { user, made }),
            None => Err(LoginError::PhoneRefused),
        }
    }
}
