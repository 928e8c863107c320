//! The store keeps codes and families. Here is how, and how a family ends.

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;
use wxmint_ids::AppId;
use wxmint_keys::token::Issued;
use wxmint_verify::LONGEST_LIFE;

use super::family::{
    CODE_KNOWN, CODE_TTL, CodeGrant, Family, MOST_LOGINS, Rotation, family_key, hashed_key, json, last_key, random,
    read, rotation_key,
};
use super::request::AuthorizeRequest;
use super::store::{enlist, strike};
use crate::doors::scan::store::Grant;
use crate::login::{LoginError, LoginWorker};

impl LoginWorker {
    /// A code for what a person has been granted who has come through `app`.
    pub(super) async fn make_code(
        &self,
        request: &AuthorizeRequest<'_>,
        grant: Grant,
        app: &AppId,
    ) -> Result<String, LoginError> {
        let (code, Grant { token, claims, mark }) = (random()?, grant);
        let family = Family {
            user: token.user.as_str().to_owned(),
            client: token.app.to_string(),
            app: app.to_string(),
            mark,
            sid: token.id.as_str().to_owned(),
            scope: request.scope.clone(),
            login_at: token.issued_at,
            expires_at: token.expires_at,
            until: None,
            key: String::new(),
        };
        let kept = CodeGrant {
            family,
            redirect_uri: request.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
            claims,
            made_at: self.store.now().timestamp(),
        };
        self.store.keep(&hashed_key("code", &code), &json(&kept), CODE_TTL + CODE_KNOWN).await?;
        Ok(code)
    }

    async fn find<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, LoginError> {
        Ok(self.store.kept(key).await?.map(|text| read(&text)).transpose()?)
    }

    pub(super) async fn find_code(&self, code: &str) -> Result<Option<CodeGrant>, LoginError> {
        self.find(&hashed_key("code", code)).await
    }

    /// Whether this is the first use of a code.
    pub(super) async fn use_code(&self, code: &str) -> Result<bool, LoginError> {
        let (key, own) = (hashed_key("used", code), random()?);
        let first = async || self.store.keep_first(&key, &own, 2 * CODE_KNOWN).await;
        // An answer that was lost must not look like a second use.
        let found = match first().await {
            Ok(found) => found,
            Err(_) => first().await?,
        };
        Ok(found == own)
    }

    pub(super) async fn find_family(&self, sid: &str) -> Result<Option<Family>, LoginError> {
        self.find(&family_key(sid)).await
    }

    pub(super) async fn find_rotation(&self, sid: &str, number: u32) -> Result<Option<Rotation>, LoginError> {
        self.find(&rotation_key(sid, number)).await
    }

    /// Counts a login before it is kept, and ends the user's oldest ones at this client that are too many. It is the
    /// newest, whatever the clock says.
    pub(super) async fn make_room(&self, family: &Family, now: DateTime<Utc>) -> Result<(), LoginError> {
        let (list, sid) = (family.list(), &family.sid);
        let mut listed = enlist(&self.store, &list, sid, family.login_at, LONGEST_LIFE).await?;
        listed.retain(|other| other != sid);
        for sid in listed.iter().take((listed.len() + 1).saturating_sub(MOST_LOGINS)) {
            match self.find_family(sid).await? {
                Some(oldest) => self.end_family(&oldest, now).await?,
                None => strike(&self.store, &list, sid).await?,
            }
        }
        Ok(())
    }

    /// Ends all tokens of a family. A token that is given meanwhile is ended by whoever gives it, or here.
    pub(super) async fn end_family(&self, family: &Family, now: DateTime<Utc>) -> Result<(), LoginError> {
        let (store, sid) = (&self.store, &family.sid);
        self.end_if_alive(&family.first()?, now).await?;
        self.end_last(family, now).await?;
        store.discard(&family_key(sid)).await?;
        let ended = self.end_last(family, now).await?;
        strike(store, &family.list(), sid).await?;
        // Nobody asks for these any more.
        let left = ended.map(|number| rotation_key(sid, number)).chain([last_key(sid)]);
        Ok(try_join_all(left.map(async |key| store.discard(&key).await)).await.map(drop)?)
    }

    /// Ends the tokens that can be alive, and returns their numbers.
    async fn end_last(&self, family: &Family, now: DateTime<Utc>) -> Result<std::ops::RangeInclusive<u32>, LoginError> {
        let last = self.store.kept(&last_key(&family.sid)).await?;
        let last = last.and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
        let numbers = last.saturating_sub(1)..=last.saturating_add(1);
        for number in numbers.clone() {
            if let Some(given) = self.find_rotation(&family.sid, number).await? {
                self.end_if_alive(&family.token(&given.jti, given.iat, given.exp)?, now).await?;
            }
        }
        Ok(numbers)
    }

    pub(super) async fn end_if_alive(&self, token: &Issued, now: DateTime<Utc>) -> Result<(), LoginError> {
        let is_alive = token.expires_at > now.timestamp();
        if is_alive { Ok(self.store.end_token(token).await?) } else { Ok(()) }
    }
}
