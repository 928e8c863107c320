//! What a third-party platform does for its merchants: logins by a token of the platform's, who comes and who leaves.

mod tokens;

use std::{cell::Cell as Flag, collections::HashSet};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use wxmint_ids::{AppId, LoginCode, Person};
use wxmint_keys::vault::Sealed;
use wxmint_store::{
    AttemptId, Expected, Matter, Note, Noted, Redis,
    walk::{Found, Page, Place, Step},
};
use wxmint_wechat::{
    App, AppAccessToken, AppKind, AuthorizationCode, Authorizer, Authorizers, CallError, News, Push, RefreshToken,
    Session, Verdict,
};

use self::tokens::not_yet;
use super::{AccessTokenError, LoginError, LoginWorker, Operator, worker::new_attempt};
use crate::{
    apps::UnknownApp,
    platform::{Merchant, Platform, Standing, TICKET, code_of, matter_of},
};

/// How many people of a merchant that leaves are revoked at the same time.
const ENDED_AT_ONCE: usize = 32;

impl LoginWorker {
    /// Nobody can say that an app is unknown before the merchants were read.
    pub(super) fn unless_unread(&self, unknown: UnknownApp) -> LoginError {
        match self.platform.as_ref().is_some_and(|platform| !platform.known().is_read) {
            true => match not_yet("the merchants of the platform were not read yet") {
                AccessTokenError::WeChat(error) => LoginError::WeChatUnavailable(error),
                AccessTokenError::Store(error) => error.into(),
            },
            false => unknown.into(),
        }
    }

    /// Exchanges the code of a merchant's app by the platform's token, which is renewed once if WeChat refuses it. The second part
    /// tells whether the code was certainly not sent.
    pub(super) async fn exchange_for(
        &self,
        platform: &Platform,
        app: &App,
        code: &LoginCode,
        attempt: &AttemptId,
    ) -> (Result<Session, LoginError>, bool) {
        let sent = Flag::new(false);
        let component = &platform.component;
        let ask = async |token: &_| {
            sent.set(true);
            self.wechat.exchange_for(app, code, &component.id, token).await
        };
        let exchanged = self.access_tokens().with(component, attempt, ask).await;
        let is_unsent = matches!(exchanged, Err(AccessTokenError::WeChat(CallError::NotSent { .. }))) || !sent.get();
        (exchanged.map_err(plainly), is_unsent)
    }

    /// Keeps what a push has said, and answers whether it was news. `digest` is of the push.
    pub async fn note_push(&self, platform: &Platform, push: Push, digest: &str) -> Result<Noted, LoginError> {
        let vault = self.vault.load_full();
        let (matter, new) = match &push.news {
            News::Ticket(ticket) => {
                let sealed = vault.seal(ticket.expose(), &platform.component.id)?;
                (TICKET.to_owned(), Matter { at: push.created, value: sealed.as_bytes().to_vec() })
            }
            News::Authorized { app, code } => {
                let sealed = vault.seal(code.expose(), app)?;
                (code_of(app), Matter { at: push.created, value: sealed.as_bytes().to_vec() })
            }
            News::Unauthorized(app) => (matter_of(app), Standing::Leaving.matter(push.created)),
            News::Other => return Ok(Noted::Seen),
        };
        let note = Note { matter: &matter, new: &new, expected: Expected::NotLater, push: Some(digest) };
        Ok(self.store.note_matter(&platform.component.id, &note).await?)
    }

    /// Makes a call with the platform's own token.
    async fn by_component<T>(
        &self,
        platform: &Platform,
        call: impl AsyncFn(&AppAccessToken) -> Result<T, CallError>,
    ) -> Result<T, LoginError> {
        self.access_tokens().with(&platform.component, &new_attempt()?, call).await.map_err(plainly)
    }

    /// Asks what an authorization code stands for, and lets the merchant in.
    pub async fn let_merchant_in(&self, platform: &Platform, app: &AppId, sealed: &Matter) -> Result<(), LoginError> {
        let component = &platform.component;
        let code = self.vault.load_full().open(&Sealed::from_stored(sealed.value.clone()), app)?;
        let code = AuthorizationCode::from(code);
        // First, because the code is good for one use.
        let kind =
            self.by_component(platform, async |token| self.wechat.authorizer_kind(component, token, app).await).await?;
        let authorizer =
            self.by_component(platform, async |token| self.wechat.query_auth(component, token, &code).await).await?;
        if authorizer.app != *app {
            let reason = "WeChat names another merchant for the code than the push".into();
            return Err(CallError::Unusable { reason }.into());
        }
        self.note_merchant(platform, &authorizer, kind, sealed.at, Expected::NotLater).await?;
        self.forget_code(platform, app, sealed).await
    }

    /// Notes that WeChat need not be asked about a code any more.
    pub async fn forget_code(&self, platform: &Platform, app: &AppId, sealed: &Matter) -> Result<(), LoginError> {
        let none = Matter { at: sealed.at, value: Vec::new() };
        let note = Note { matter: &code_of(app), new: &none, expected: Expected::This(sealed), push: None };
        self.store.note_matter(&platform.component.id, &note).await?;
        Ok(())
    }

    async fn note_merchant(
        &self,
        platform: &Platform,
        Authorizer { app, refresh_token }: &Authorizer,
        kind: AppKind,
        at: i64,
        expected: Expected<'_>,
    ) -> Result<(), LoginError> {
        let refresh_token = refresh_token.as_ref().map_or("", RefreshToken::expose);
        let sealed = self.vault.load_full().seal(refresh_token, app)?;
        let new = Standing::In(kind, sealed).matter(at);
        let note = Note { matter: &matter_of(app), new: &new, expected, push: None };
        if self.store.note_matter(&platform.component.id, &note).await? == Noted::Kept {
            tracing::info!(app = %app, kind = kind.name(), "the platform acts for this merchant");
        }
        Ok(())
    }

    /// Asks WeChat for all merchants: lets those in whose push was lost, and takes away those of whom WeChat says, asked about each,
    /// that they have left. What a push has changed meanwhile stays, and so does its time: a comparison has none of WeChat's.
    pub async fn compare_merchants(&self, platform: &Platform) -> Result<(), LoginError> {
        let known = platform.known();
        let component = &platform.component;
        let (mut listed, mut offset) = (Vec::new(), 0);
        loop {
            let ask = async |token: &_| self.wechat.authorizers(component, token, offset).await;
            let Authorizers { total, length, page } = self.by_component(platform, ask).await?;
            listed.extend(page);
            offset += length;
            if length == 0 || offset >= total {
                break;
            }
        }
        // One merchant's trouble is not the others'.
        let mut outcome = Ok(());
        for authorizer in &listed {
            let compared = self.compare(platform, known.merchants.get(&authorizer.app), authorizer).await;
            outcome = outcome.and(compared);
        }
        let names: HashSet<&AppId> = listed.iter().map(|listed| &listed.app).collect();
        let is_in = |merchant: &Merchant| matches!(merchant.standing, Standing::In(..));
        for (app, merchant) in known.merchants.iter().filter(|(app, merchant)| is_in(merchant) && !names.contains(app))
        {
            let ask = async |token: &_| self.wechat.authorizer_kind(component, token, app).await;
            match self.by_component(platform, ask).await {
                Err(LoginError::UnknownApp(_)) => {
                    outcome = outcome.and(self.note_leaving(platform, app, merchant).await);
                }
                told => tracing::warn!(app = %app, left = told.is_err(), "a merchant is on no list of WeChat's"),
            }
        }
        outcome
    }

    async fn compare(
        &self,
        platform: &Platform,
        known: Option<&Merchant>,
        listed: &Authorizer,
    ) -> Result<(), LoginError> {
        let app = &listed.app;
        let kind = match known.map(|merchant| &merchant.standing) {
            Some(Standing::In(kind, sealed)) => {
                let Some(refresh) = &listed.refresh_token else { return Ok(()) };
                let kept = self.vault.load_full().open(sealed, app);
                if kept.is_ok_and(|kept| kept.as_str() == refresh.expose()) {
                    return Ok(());
                }
                *kind
            }
            _ => {
                let ask = async |token: &_| self.wechat.authorizer_kind(&platform.component, token, app).await;
                self.by_component(platform, ask).await?
            }
        };
        let matter = known.map(|merchant| &merchant.matter);
        self.note_merchant(platform, listed, kind, matter.map_or(0, |matter| matter.at), matter.into()).await
    }

    async fn note_leaving(&self, platform: &Platform, app: &AppId, was: &Merchant) -> Result<(), LoginError> {
        let new = Standing::Leaving.matter(was.matter.at);
        let note = Note { matter: &matter_of(app), new: &new, expected: Expected::This(&was.matter), push: None };
        self.store.note_matter(&platform.component.id, &note).await?;
        Ok(())
    }

    /// Revokes the tokens of all people of an app; with `since`, of those alone who may have logged in since then. An error leaves the
    /// `place` at what is still to be done.
    pub async fn end_people_of(
        &self,
        redis: &Redis,
        app: &AppId,
        since: Option<DateTime<Utc>>,
        place: &mut Place,
    ) -> Result<(), LoginError> {
        let operator = Operator { store: &*self.store };
        let end = async |person: &Person| match since {
            // Of whom no login is known, one may have been forgotten.
            Some(since) if operator.store.last_login(person).await?.is_some_and(|last| last < since) => Ok(()),
            _ => operator.end_person(person).await.map(drop),
        };
        loop {
            let Step::Page(Page { found, next, .. }) = redis.walk_app(app, place).await? else {
                *place = Place::default(); // the Cluster has changed
                continue;
            };
            let people = found.into_iter().filter_map(|found| match found {
                Found::Bound(binding) => Some(binding.person),
                _ => None,
            });
            let people: Vec<Person> = people.collect();
            let ends = stream::iter(&people).map(end).buffer_unordered(ENDED_AT_ONCE);
            ends.try_for_each(async |()| Ok(())).await?;
            match next {
                Some(next) => *place = next,
                None => return Ok(()),
            }
        }
    }

    /// Notes that nothing is left to do about a merchant that has left.
    pub async fn note_gone(&self, platform: &Platform, app: &AppId, leaving: &Matter) -> Result<(), LoginError> {
        let gone = Standing::Gone.matter(leaving.at);
        let note = Note { matter: &matter_of(app), new: &gone, expected: Expected::This(leaving), push: None };
        self.store.note_matter(&platform.component.id, &note).await?;
        Ok(())
    }
}

/// Without taking a code for one of a phone number.
pub(super) fn plainly(error: AccessTokenError) -> LoginError {
    match error {
        AccessTokenError::Store(error) => error.into(),
        AccessTokenError::WeChat(error) if error.verdict() == Some(Verdict::BadAccessToken) => {
            LoginError::WeChatUnavailable(error)
        }
        AccessTokenError::WeChat(error) => error.into(),
    }
}
