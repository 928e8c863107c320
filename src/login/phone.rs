//! Phone numbers: WeChat verifies them, and the business knows its users by them.

use super::{LoginError, Worker};
use crate::{
    accounts::Named,
    ids::{Person, Phone, PhoneCode},
    store::AttemptId,
};

impl Worker {
    /// The business user of the phone number that `code` stands for, which must be this person's own.
    pub(super) async fn user_of_phone(
        &self,
        person: &Person,
        code: &PhoneCode,
        attempt: &AttemptId,
    ) -> Result<Named, LoginError> {
        let phone = self.phone_of(person, code, attempt).await?;
        self.accounts.user_of_phone(&phone).await?.ok_or(LoginError::PhoneRefused)
    }

    /// The phone number that `code` stands for, which must be this person's own.
    pub(super) async fn phone_of(
        &self,
        person: &Person,
        code: &PhoneCode,
        attempt: &AttemptId,
    ) -> Result<Phone, LoginError> {
        let apps = self.apps.all();
        let app = apps.choose(Some(&person.app), None)?;
        let exchange = async |token: &_| self.wechat.phone_number(app, token, code, &person.openid).await;
        Ok(self.access_tokens().with(app, attempt, exchange).await?)
    }
}
