//! How a third-party platform's list of merchants changes: who authorises the platform and who
//! leaves.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use wxmint_ids::AppId;
use wxmint_store::StoreError;
use wxmint_wechat::{
    AppKind, AuthorizationCode, Authorizer, ByToken, CallError, News, Push, RefreshToken, Verdict,
};

use super::ThirdPartyPlatform;
use super::follower::Follower;
use super::known::{
    COMPARED, Merchant, MerchantState, TICKET, code_of, done_code, entry_of, pending_code,
    sealed_code,
};
use super::store::{Expected, PlatformEntry, note_entry};
use crate::login::{
    AccessTokens, AppCallError, AppRefusal, LoginParts, Refused, Unavailable, WeChatRefusal,
    fingerprint,
};

const COMPARED_AT_ONCE: usize = 8;
/// For how many seconds WeChat's list may still name a merchant that has left.
const LIST_LAGS: i64 = 600;
/// How many merchants, or a tenth if that is more, may remain without a useful answer in a
/// comparison. If more do, WeChat itself is failing.
const MOST_UNANSWERED: usize = 3;

impl ThirdPartyPlatform {
    /// Stores what a push says. `digest` is the digest of the push's signature.
    pub(super) async fn note_push(
        &self,
        login: &LoginParts,
        push: Push,
        digest: &str,
    ) -> Result<(), StoreError> {
        let vault = login.vault.load_full();
        let platform = &self.component.id;
        let used;
        let (entry, new, expected) = match &push.news {
            News::Ticket(ticket) => {
                let value = vault.seal(ticket.expose(), platform).as_bytes().to_vec();
                (
                    TICKET.to_owned(),
                    PlatformEntry {
                        at: push.created,
                        value,
                    },
                    Expected::NotLater,
                )
            }
            News::Authorized { app, code } => {
                let pending = pending_code(&vault.seal(code.expose(), app), push.created);
                used = done_code(&pending, Some(code.expose()));
                // WeChat may push the code again in another envelope after it was used.
                (code_of(app), pending, Expected::Other(&used))
            }
            News::Unauthorized(app) => (
                entry_of(app),
                MerchantState::Leaving.entry(push.created),
                Expected::NotLater,
            ),
            News::Other => return Ok(()),
        };
        note_entry(&login.store, platform, &entry, &new, expected, Some(digest)).await?;
        Ok(())
    }
}

impl Follower {
    /// Writes an entry that does not come from a push. Returns whether it is stored.
    pub(super) async fn note(
        &self,
        entry: &str,
        new: &PlatformEntry,
        expected: Expected<'_>,
    ) -> Result<bool, StoreError> {
        note_entry(
            &self.login.store,
            &self.platform.component.id,
            entry,
            new,
            expected,
            None,
        )
        .await
    }

    /// Fetches a token of the platform even if there is a valid one, and stores whether WeChat
    /// gives it.
    pub(super) async fn ask_for_component_token(&self) -> Result<(), AppCallError> {
        let tokens = self.tokens();
        let held = tokens.obtain(None).await?;
        tokens
            .obtain(Some(Refused {
                token: fingerprint(&held.token),
                by_force: true,
            }))
            .await
            .map(drop)
    }

    fn tokens(&self) -> AccessTokens<'_> {
        self.login
            .app_calls()
            .access_tokens(&self.platform.component)
    }

    async fn kind_of(&self, app: &AppId) -> Result<AppKind, AppCallError> {
        self.tokens()
            .with(async |by| by.authorizer_kind(app).await)
            .await
    }

    /// Asks WeChat about an authorization code, and stores the merchant that has authorised the
    /// platform with it.
    pub(super) async fn ask_about(
        &self,
        app: &AppId,
        sealed: &PlatformEntry,
    ) -> Result<(), AppCallError> {
        let code: AuthorizationCode =
            self.tokens()
                .opened(&sealed_code(sealed), app, "a merchant's code")?;
        // Asked first, because the code is valid for one use.
        let kind = self.kind_of(app).await?;
        let authorizer = self
            .tokens()
            .with(async |by| by.query_auth(&code).await)
            .await?;
        if authorizer.app != *app {
            let reason = "WeChat names another merchant for the code than the push".into();
            return Err(CallError::Unusable { reason }.into());
        }
        self.note_merchant(&authorizer, kind, sealed.at, Expected::NotLater)
            .await?;
        self.note(
            &code_of(app),
            &done_code(sealed, Some(code.expose())),
            Expected::This(Some(sealed)),
        )
        .await?;
        Ok(())
    }

    async fn note_merchant(
        &self,
        listed: &Authorizer,
        kind: AppKind,
        at: i64,
        expected: Expected<'_>,
    ) -> Result<(), StoreError> {
        let app = &listed.app;
        let refresh_token = listed
            .refresh_token
            .as_ref()
            .map_or("", RefreshToken::expose);
        let sealed = self.login.vault.load_full().seal(refresh_token, app);
        if self
            .note(
                &entry_of(app),
                &MerchantState::In(kind, sealed).entry(at),
                expected,
            )
            .await?
        {
            tracing::info!(app = %app, kind = kind.name(), "the platform acts for this merchant");
        }
        Ok(())
    }

    /// Compares WeChat's list of merchants. Adds merchants whose push was lost. For each known
    /// merchant that is not on the list, asks WeChat, and removes it if WeChat says that it has
    /// left. Changes by pushes meanwhile stay. A failure for one merchant does not affect the
    /// others, and is tried again at the next comparison.
    pub(super) async fn compare_all(&self) -> Result<(), AppCallError> {
        let known = self.platform.known();
        let mut listed = Vec::new();
        let mut next = Some(0);
        while let Some(offset) = next {
            let page;
            (page, next) = self
                .tokens()
                .with(async |by: ByToken<'_>| by.authorizers(offset).await)
                .await?;
            listed.extend(page);
        }
        let names: HashSet<&AppId> = listed.iter().map(|listed| &listed.app).collect();
        let unlisted = known
            .merchants
            .iter()
            .filter(|(app, merchant)| merchant.state.is_in() && !names.contains(app));
        let compared = listed.iter().map(async |authorizer| {
            let compared = self
                .compare_one(known.merchants.get(&authorizer.app), authorizer)
                .await;
            unless_of_merchant(&authorizer.app, compared)
        });
        let mut outcomes: Vec<_> = stream::iter(compared)
            .buffer_unordered(COMPARED_AT_ONCE)
            .collect()
            .await;
        for (app, merchant) in unlisted {
            outcomes.push(unless_of_merchant(
                app,
                self.ask_whether_left(app, merchant).await,
            ));
        }
        let may_stay = |outcome: &Result<_, _>| {
            outcome
                .as_ref()
                .is_err_and(|error| may_stay(error, known.is_compared))
        };
        if outcomes.iter().filter(|outcome| may_stay(outcome)).count()
            <= MOST_UNANSWERED.max(outcomes.len() / 10)
        {
            outcomes.retain(|outcome| !may_stay(outcome));
        }
        outcomes.into_iter().collect::<Result<(), _>>()?;
        if !known.is_compared {
            self.note(
                COMPARED,
                &PlatformEntry {
                    at: 0,
                    value: b"1".to_vec(),
                },
                Expected::This(None),
            )
            .await?;
        }
        Ok(())
    }

    async fn ask_whether_left(&self, app: &AppId, merchant: &Merchant) -> Result<(), AppCallError> {
        match self.kind_of(app).await {
            Err(AppCallError::App(AppRefusal::Unknown(_))) => {
                let left = MerchantState::Leaving.entry(merchant.entry.at);
                self.note(&entry_of(app), &left, Expected::This(Some(&merchant.entry)))
                    .await?;
                Ok(())
            }
            told => {
                tracing::warn!(app = %app, "a merchant is on no list of WeChat's");
                told.map(drop)
            }
        }
    }

    async fn compare_one(
        &self,
        known: Option<&Merchant>,
        listed: &Authorizer,
    ) -> Result<(), AppCallError> {
        let app = &listed.app;
        let at = known.map_or(0, |merchant| merchant.entry.at);
        let kind = match known.map(|merchant| &merchant.state) {
            Some(MerchantState::In(kind, sealed)) => {
                let vault = self.login.vault.load_full();
                let is_kept = match &listed.refresh_token {
                    // A refresh token that an earlier vault key has sealed is sealed anew, because
                    // that key will be removed.
                    Some(refresh) => vault.seal(refresh.expose(), app) == *sealed,
                    None => vault.open(sealed, app).is_ok(),
                };
                if is_kept {
                    return Ok(());
                }
                *kind
            }
            Some(_)
                if at
                    > listed
                        .since
                        .max(self.login.store.clock.now().timestamp() - LIST_LAGS) =>
            {
                return Ok(());
            }
            _ => self.kind_of(app).await?,
        };
        let expected = Expected::This(known.map(|merchant| &merchant.entry));
        self.note_merchant(listed, kind, at.max(listed.since), expected)
            .await?;
        Ok(())
    }
}

/// Logs a failure. WeChat's refusal for one merchant does not fail the comparison for the others.
fn unless_of_merchant(app: &AppId, outcome: Result<(), AppCallError>) -> Result<(), AppCallError> {
    let Err(error) = outcome else { return Ok(()) };
    bounded!(warn, app.as_str(), app = %app, %error, "a merchant could not be compared with WeChat's list");
    match error {
        AppCallError::App(AppRefusal::Unknown(_))
        | AppCallError::WeChat(WeChatRefusal::NotPermitted(_))
        | AppCallError::Unavailable(Unavailable::WeChat(CallError::Unusable { .. })) => Ok(()),
        error => Err(error),
    }
}

/// Whether a merchant may remain unanswered until the next comparison. An errcode about this
/// merchant alone may, even at the first comparison, because the others must not wait until it has
/// passed.
fn may_stay(error: &AppCallError, is_compared: bool) -> bool {
    match error {
        AppCallError::WeChat(WeChatRefusal::Misconfigured { error, .. }) => match error.verdict() {
            Some(Verdict::Unknown) => true,
            Some(Verdict::BadAccessToken) => is_compared,
            _ => matches!(
                error,
                CallError::Refused {
                    errcode: 40013 | 48001,
                    ..
                }
            ),
        },
        AppCallError::Unavailable(Unavailable::WeChat(_)) => is_compared,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{LIST_LAGS, MerchantState, entry_of};
    use crate::clock::now;
    use crate::doors::platform::test_fixture::{Bed, app};

    #[actix_web::test]
    async fn a_merchant_that_has_just_left_is_not_let_in_by_a_list_from_before() {
        let (now, bed) = (now().timestamp(), Bed::start().await);
        let [left, back, long_ago] = [now - 60, now - 60, now - LIST_LAGS - 60];
        let merchants = [(left, left - 1), (back, back), (long_ago, long_ago - 1)];
        for (number, (at, _)) in merchants.iter().enumerate() {
            let gone = MerchantState::Gone.entry(*at);
            bed.note(&entry_of(&app(number)), gone.at, &gone.value)
                .await;
        }
        let listed: Vec<Value> = (0..3)
            .map(|number| json!({"authorizer_appid": app(number), "refresh_token": "r", "auth_time": merchants[number].1}))
            .collect();
        bed.wechat.says(move |request| {
            request
                .contains("api_get_authorizer_list")
                .then(|| json!({"total_count": 3, "list": listed}))
        });
        bed.follower().compare_all().await.expect("compared");
        bed.follow().await;
        let known = bed.platform.known();
        assert_eq!(
            [0, 1, 2].map(|number| known.merchants[&app(number)].state.is_in()),
            [false, true, true]
        );
    }

    #[actix_web::test]
    async fn a_tenth_of_many_merchants_of_whom_wechat_says_something_odd_keep_nobody_out() {
        for (odd, is_compared) in [(4, true), (5, false)] {
            let bed = Bed::start().await;
            let listed: Vec<Value> = (0..40)
                .map(|number| json!({"authorizer_appid": app(number), "refresh_token": "refresh", "auth_time": 1}))
                .collect();
            bed.wechat.says(move |request| match request {
                it if it.contains("api_get_authorizer_list") => {
                    Some(json!({"total_count": 40, "list": listed}))
                }
                it if (0..odd).any(|number| it.contains(app(number).as_str())) => {
                    Some(json!({"errcode": 61016, "errmsg": "frozen"}))
                }
                _ => None,
            });
            let compared = bed.follower().compare_all().await;
            assert_eq!(compared.is_ok(), is_compared, "{odd}: {compared:?}");
            bed.follow().await;
            assert_eq!(
                (
                    bed.platform
                        .known()
                        .apps(&bed.platform.component.id)
                        .count(),
                    bed.platform.known().is_compared
                ),
                (40 - odd, is_compared)
            );
        }
    }
}
