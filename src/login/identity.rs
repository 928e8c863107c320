//! The identity: which user is the person? A user whom credentials prove, the user to whom the
//! person is bound, a computed user, or a new one.

use wxmint_store::{Bound, Sessions};

use super::bind::Bind;
use super::binder::is_settled;
use super::credentials::CredentialCheck;
use super::exchanged_login::ExchangedLogin;
use super::{AccountCheck, Admission, Attempt, Credentials, LoginError, Result, UserIds};
use crate::apps::CurrentApps;

/// Finds the user of a person whom WeChat has named.
pub(super) struct Identification<'a> {
    pub(super) apps: &'a CurrentApps,
    pub(super) sessions: &'a Sessions,
    pub(super) ids: &'a UserIds,
    pub(super) credential_check: CredentialCheck<'a>,
    pub(super) account_check: AccountCheck<'a>,
    pub(super) bind: Bind<'a>,
}

impl Identification<'_> {
    /// Finds the user, binds the person if needed, and checks whether the user may log in.
    pub(super) async fn identify(
        &self,
        exchanged: ExchangedLogin,
        credentials: Credentials,
        attempt: &mut Attempt<'_>,
    ) -> Result<Admission> {
        let known = exchanged.bound().and_then(|bound| bound.unionid.as_ref());
        if exchanged.unionid.as_ref().or(known).is_none()
            && self
                .ids
                .need_unionid(&exchanged.person.app, &self.apps.all())
        {
            return Err(LoginError::UnionIdMissing);
        }
        let (candidate, extra) = self
            .credential_check
            .check(&exchanged.person, credentials, attempt)
            .await?
            .unzip();
        // A settled binding needs no further call. The future of the calls is boxed, so that this
        // one stays small.
        let is_settled =
            |bound: &&Bound| candidate.is_none() && is_settled(bound, exchanged.unionid.as_ref());
        let bound = match exchanged.bound().filter(is_settled) {
            Some(bound) => bound.clone(),
            None => Box::pin(self.bind.bind(&exchanged, candidate, attempt)).await?,
        };
        let extra = self
            .account_check
            .allow(&exchanged.person.app, &bound, extra)
            .await?;
        if exchanged.kept_for != Some(bound.generation) {
            self.sessions
                .keep(
                    &exchanged.person,
                    bound.generation,
                    &exchanged.key,
                    Some(exchanged.at),
                )
                .await?;
        }
        Ok(Admission {
            exchanged,
            bound,
            extra,
        })
    }
}
