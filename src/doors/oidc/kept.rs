//! The store keeps codes and families. Here is how, and how a family ends.

use chrono::{DateTime, Utc};
use wxmint_ids::AppId;
use wxmint_keys::token::Issued;

use super::family::{
    CODE_KNOWN, CODE_TTL, CodeGrant, Family, Rotation, family_key, hash, json, last_key, random, read, rotation_key,
};
use super::request::AuthorizeRequest;
use super::store::{self, discard, keep, keep_first, kept};
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
            made_at: store::now(&*self.store).timestamp(),
        };
        keep(&*self.store, &["code:", &hash(&code)].concat(), &json(&kept), CODE_TTL + CODE_KNOWN).await?;
        Ok(code)
    }

    pub(super) async fn find_code(&self, code: &str) -> Result<Option<CodeGrant>, LoginError> {
        let found = kept(&*self.store, &["code:", &hash(code)].concat()).await?;
        Ok(found.map(|text| read(&text)).transpose()?)
    }

    /// Whether this is the first use of a code.
    pub(super) async fn use_code(&self, code: &str) -> Result<bool, LoginError> {
        let (key, own) = (["used:", &hash(code)].concat(), random()?);
        let first = async || keep_first(&*self.store, &key, &own, 2 * CODE_KNOWN).await;
        // An answer that was lost must not look like a second use.
        let found = match first().await {
            Ok(found) => found,
            Err(_) => first().await?,
        };
        Ok(found == own)
    }

    pub(super) async fn find_family(&self, sid: &str) -> Result<Option<Family>, LoginError> {
        let found = kept(&*self.store, &family_key(sid)).await?;
        Ok(found.map(|text| read(&text)).transpose()?)
    }

    pub(super) async fn find_rotation(&self, sid: &str, number: u32) -> Result<Option<Rotation>, LoginError> {
        let found = kept(&*self.store, &rotation_key(sid, number)).await?;
        Ok(found.map(|text| read(&text)).transpose()?)
    }

    /// Ends all tokens of a family. A token that is given meanwhile is ended by whoever gives it, or here.
    pub(super) async fn end_family(&self, family: &Family, now: DateTime<Utc>) -> Result<(), LoginError> {
        let sid = &family.sid;
        self.end_if_alive(&family.first()?, now).await?;
        self.end_last(family, now).await?;
        discard(&*self.store, &family_key(sid)).await?;
        self.end_last(family, now).await
    }

    async fn end_last(&self, family: &Family, now: DateTime<Utc>) -> Result<(), LoginError> {
        let last = kept(&*self.store, &last_key(&family.sid)).await?;
        let Some(last) = last.and_then(|text| text.parse::<u32>().ok()) else { return Ok(()) };
        for number in last.saturating_sub(1)..=last.saturating_add(1) {
            if let Some(given) = self.find_rotation(&family.sid, number).await? {
                self.end_if_alive(&family.token(&given.jti, given.iat, given.exp)?, now).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn end_if_alive(&self, token: &Issued, now: DateTime<Utc>) -> Result<(), LoginError> {
        let is_alive = token.expires_at > now.timestamp();
        if is_alive { Ok(self.store.end_token(token).await?) } else { Ok(()) }
    }
}
