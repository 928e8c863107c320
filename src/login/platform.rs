//! What a third-party platform does for its merchants: logins by a token of the platform's, who comes and who leaves.

use std::cell::Cell as Flag;

use wxmint_ids::{AppId, LoginCode, Person};
use wxmint_keys::vault::Sealed;
use wxmint_store::{
    AttemptId, Matter, Note, Noted, Redis,
    walk::{Found, Page, Place, Step},
};
use wxmint_wechat::{
    App, AppAccessToken, AppKind, AuthorizationCode, Authorizer, CallError, Credential, FetchedAccessToken, News, Push,
    RefreshToken, Session, Verdict,
};

use super::{AccessTokenError, AccessTokens, LoginError, LoginWorker, Operator, worker::new_attempt};
use crate::platform::{Merchant, Platform, Standing, TICKET, matter_of};

impl LoginWorker {
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
                (matter_of(app), Standing::Asked(sealed).matter(push.created))
            }
            News::Unauthorized(app) => (matter_of(app), Standing::Leaving.matter(push.created)),
            News::Other => return Ok(Noted::Seen),
        };
        let note = Note { matter: &matter, new: &new, expected: None, push: Some(digest) };
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
    pub async fn let_merchant_in(&self, platform: &Platform, app: &AppId, asked: &Merchant) -> Result<(), LoginError> {
        let Standing::Asked(sealed) = &asked.standing else { return Ok(()) };
        let component = &platform.component;
        let code = AuthorizationCode::from(self.vault.load_full().open(sealed, app)?);
        // First, because the code is good for one use.
        let kind =
            self.by_component(platform, async |token| self.wechat.authorizer_kind(component, token, app).await).await?;
        let authorizer =
            self.by_component(platform, async |token| self.wechat.query_auth(component, token, &code).await).await?;
        if authorizer.app != *app {
            let reason = "WeChat names another merchant for the code than the push".into();
            return Err(CallError::Unusable { reason }.into());
        }
        self.note_merchant(platform, &authorizer, kind, asked.matter.at, Some(&asked.matter)).await
    }

    async fn note_merchant(
        &self,
        platform: &Platform,
        Authorizer { app, refresh_token }: &Authorizer,
        kind: AppKind,
        at: i64,
        expected: Option<&Matter>,
    ) -> Result<(), LoginError> {
        let sealed = self.vault.load_full().seal(refresh_token.expose(), app)?;
        let new = Standing::In(kind, sealed).matter(at);
        let note = Note { matter: &matter_of(app), new: &new, expected, push: None };
        if self.store.note_matter(&platform.component.id, &note).await? == Noted::Kept {
            tracing::info!(app = %app, kind = kind.name(), "the platform acts for this merchant");
        }
        Ok(())
    }

    /// Asks WeChat for all merchants: lets those in whose push was lost, and takes away those of whom WeChat says, asked about each,
    /// that they have left. `at`: the second before the list was asked for.
    pub async fn compare_merchants(&self, platform: &Platform, at: i64) -> Result<(), LoginError> {
        let known = platform.known();
        let component = &platform.component;
        let mut listed = Vec::new();
        loop {
            let offset = listed.len();
            let ask = async |token: &_| self.wechat.authorizers(component, token, offset).await;
            let page = self.by_component(platform, ask).await?;
            let (is_last, total) = (page.page.is_empty(), page.total);
            listed.extend(page.page);
            if is_last || listed.len() >= total {
                break;
            }
        }
        for authorizer in &listed {
            self.compare(platform, known.merchants.get(&authorizer.app), authorizer, at).await?;
        }
        let is_in = |merchant: &Merchant| matches!(merchant.standing, Standing::In(..));
        let unlisted = |app: &AppId| !listed.iter().any(|listed| listed.app == *app);
        for (app, merchant) in known.merchants.iter().filter(|(app, merchant)| is_in(merchant) && unlisted(app)) {
            let ask = async |token: &_| self.wechat.authorizer_kind(component, token, app).await;
            match self.by_component(platform, ask).await {
                Err(LoginError::UnknownApp(_)) => self.note_leaving(platform, app, merchant, at).await?,
                told => tracing::warn!(app = %app, left = told.is_err(), "a merchant is on no list of WeChat's"),
            }
        }
        Ok(())
    }

    async fn compare(
        &self,
        platform: &Platform,
        known: Option<&Merchant>,
        listed: &Authorizer,
        at: i64,
    ) -> Result<(), LoginError> {
        let app = &listed.app;
        let kind = match known.map(|merchant| &merchant.standing) {
            Some(Standing::In(kind, sealed)) => {
                let kept = self.vault.load_full().open(sealed, app);
                if kept.is_ok_and(|kept| kept.as_str() == listed.refresh_token.expose()) {
                    return Ok(());
                }
                *kind
            }
            _ => {
                let ask = async |token: &_| self.wechat.authorizer_kind(&platform.component, token, app).await;
                self.by_component(platform, ask).await?
            }
        };
        self.note_merchant(platform, listed, kind, at, None).await
    }

    async fn note_leaving(&self, platform: &Platform, app: &AppId, was: &Merchant, at: i64) -> Result<(), LoginError> {
        let new = Standing::Leaving.matter(at.max(was.matter.at));
        let note = Note { matter: &matter_of(app), new: &new, expected: Some(&was.matter), push: None };
        self.store.note_matter(&platform.component.id, &note).await?;
        Ok(())
    }

    /// Revokes the tokens of all people of an app, and answers how many there are.
    pub async fn end_people_of(&self, redis: &Redis, app: &AppId) -> Result<usize, LoginError> {
        let operator = Operator { store: &*self.store };
        let (mut place, mut ended) = (Place::default(), 0);
        loop {
            let Step::Page(Page { found, next, .. }) = redis.walk_app(app, &place).await? else {
                (place, ended) = (Place::default(), 0); // the Cluster has changed
                continue;
            };
            let people = found.into_iter().filter_map(|found| match found {
                Found::Bound(binding) => Some(binding.person),
                _ => None,
            });
            let people: Vec<Person> = people.collect();
            for person in &people {
                operator.end_person(person).await?;
            }
            ended += people.len();
            match next {
                Some(next) => place = next,
                None => return Ok(ended),
            }
        }
    }

    /// Notes that nothing is left to do about a merchant that has left.
    pub async fn note_gone(&self, platform: &Platform, app: &AppId, leaving: &Merchant) -> Result<(), LoginError> {
        let gone = Standing::Gone.matter(leaving.matter.at);
        let note = Note { matter: &matter_of(app), new: &gone, expected: Some(&leaving.matter), push: None };
        self.store.note_matter(&platform.component.id, &note).await?;
        Ok(())
    }
}

/// Tokens of the platform and of its merchants.
impl AccessTokens<'_> {
    /// `None` for an app with an AppSecret of its own.
    pub(super) async fn fetched_by_platform(
        &self,
        app: &App,
        attempt: &AttemptId,
    ) -> Option<Result<FetchedAccessToken, AccessTokenError>> {
        let platform = self.platform?;
        if platform.component.id == app.id {
            return Some(self.component_token(platform).await);
        }
        match app.credential {
            Credential::Platform => Some(self.merchant_token(platform, app, attempt).await),
            Credential::Secret(_) => None,
        }
    }

    pub(super) fn is_of_platform(&self, app: &App) -> bool {
        self.platform.is_some_and(|platform| platform.component.id == app.id) || app.secret().is_none()
    }

    async fn component_token(&self, platform: &Platform) -> Result<FetchedAccessToken, AccessTokenError> {
        let component = &platform.component;
        let known = platform.known();
        let ticket = known.ticket.as_ref().ok_or_else(|| not_yet("no ticket of the platform has come"))?;
        let ticket = self.opened(&ticket.sealed, &component.id, "the platform's ticket")?;
        let secret = component.secret().ok_or_else(|| not_yet("the platform has no secret"))?;
        Ok(self.wechat.component_token(component, secret, &ticket).await?)
    }

    async fn merchant_token(
        &self,
        platform: &Platform,
        app: &App,
        attempt: &AttemptId,
    ) -> Result<FetchedAccessToken, AccessTokenError> {
        let known = platform.known();
        let merchant = known.merchants.get(&app.id).ok_or_else(|| not_yet("the merchant has left"))?;
        let Standing::In(kind, sealed) = &merchant.standing else { return Err(not_yet("the merchant has left")) };
        let refresh: RefreshToken = self.opened(sealed, &app.id, "a merchant's refresh token")?;
        let component = &platform.component;
        let ask = async |token: &_| self.wechat.authorizer_token(app, &component.id, token, &refresh).await;
        let tokens = Box::pin(self.with(component, attempt, ask)).await?;
        if tokens.refresh.expose() != refresh.expose() {
            let sealed =
                self.vault.seal(tokens.refresh.expose(), &app.id).map_err(|error| not_yet(&error.to_string()))?;
            let new = Standing::In(*kind, sealed).matter(merchant.matter.at);
            let note = Note { matter: &matter_of(&app.id), new: &new, expected: Some(&merchant.matter), push: None };
            self.store.note_matter(&component.id, &note).await?;
        }
        Ok(tokens.access)
    }

    fn opened<T: From<zeroize::Zeroizing<String>>>(
        &self,
        sealed: &Sealed,
        of: &AppId,
        what: &str,
    ) -> Result<T, AccessTokenError> {
        let opened = self.vault.open(sealed, of);
        opened.map(T::from).map_err(|error| not_yet(&format!("{what} does not open: {error}")))
    }
}

/// A call that was not sent. What is missing comes with WeChat's next push.
fn not_yet(reason: &str) -> AccessTokenError {
    let retry_after = std::time::Duration::from_secs(2);
    CallError::NotSent { reason: reason.to_owned(), retry_after }.into()
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
