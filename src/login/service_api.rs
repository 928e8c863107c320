//! Requests of the business's own services that need a person's session key or the app's access
//! token.

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde::Serialize;
use wxmint_ids::{AppId, Person, Platform, UserId};
use wxmint_keys::vault::Sealed;
use wxmint_store::{Bindings, StoreError};
use wxmint_wechat::{AppAccessToken, AppKind, ByToken, EncryptKey, SessionKey};
use wxmint_wechat::{payment_signature, user_signature};

use super::limits::ENCRYPT_KEYS;
use super::session_keys::SessionKeys;
use super::{AppRefusal, LoginLimits, ServiceError, Usable, UserIds};

/// The user's signature of some data.
#[derive(Serialize, utoipa::ToSchema)]
pub struct UserSignature {
    /// HMAC-SHA256 in lower-case hexadecimal digits.
    signature: String,
    /// When the login that brought the session key began, in seconds since 1970.
    session_key_at: i64,
}

/// The kind of goods that a mini program sells: `mode` of `wx.requestVirtualPayment`.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentMode {
    /// 道具直购
    ShortSeriesGoods,
    /// 代币充值
    ShortSeriesCoin,
}

/// The arguments of `wx.requestVirtualPayment`, to be passed on unchanged.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedPayment {
    mode: PaymentMode,
    /// The text that was sent.
    sign_data: String,
    /// By the AppKey, in lower-case hexadecimal digits.
    pay_sig: String,
    /// By the user's session key.
    signature: String,
    /// When the login that brought the session key began, in seconds since 1970.
    #[serde(rename = "session_key_at")]
    session_key_at: i64,
}

/// The time of a login, and the session key that it brought.
type KeptKey = (DateTime<Utc>, Sealed);

/// Requests of the business's own services.
#[derive(Clone, Copy)]
pub struct ServiceApi<'a> {
    pub(super) ids: &'a UserIds,
    pub(super) bindings: &'a Bindings,
    pub(super) limits: LoginLimits<'a>,
    pub(super) keys: SessionKeys<'a>,
}

impl ServiceApi<'_> {
    /// Signs `data`, byte for byte, with the session key of the user's latest login in the app.
    /// WeChat is not asked.
    pub async fn sign(
        &self,
        user: &UserId,
        app: &AppId,
        data: &str,
    ) -> Result<UserSignature, ServiceError> {
        let (_, (at, _), key) = self.latest_session(user, app).await?;
        Ok(UserSignature {
            signature: user_signature(&key, data.as_bytes()),
            session_key_at: at.timestamp(),
        })
    }

    /// Signs an order, byte for byte, with the app's AppKey and as the user. WeChat is not asked.
    pub async fn sign_payment(
        &self,
        user: &UserId,
        app: &AppId,
        mode: PaymentMode,
        sign_data: String,
        is_sandbox: bool,
    ) -> Result<SignedPayment, ServiceError> {
        let UserSignature {
            signature,
            session_key_at,
        } = self.sign(user, app, &sign_data).await?;
        let apps = self.keys.calls.apps.all();
        let key = apps
            .payment_key(app, is_sandbox)
            .ok_or(AppRefusal::NoPaymentKey)?;
        Ok(SignedPayment {
            pay_sig: payment_signature(key, &sign_data),
            mode,
            sign_data,
            signature,
            session_key_at,
        })
    }

    /// The keys that encrypt messages, newest first. They belong to the one of the user's people
    /// who logged in last in the app.
    pub async fn encrypt_keys(
        &self,
        user: &UserId,
        app: &AppId,
    ) -> Result<Vec<EncryptKey>, ServiceError> {
        let (person, (_, sealed), key) = self.latest_session(user, app).await?;
        self.limits.count_call(&person, ENCRYPT_KEYS).await?;
        let ask = async |by: ByToken<'_>| by.encrypt_keys(&person.openid, &key).await;
        self.keys
            .call(&person, &sealed, ask)
            .await?
            .ok_or(ServiceError::SessionKeyMissing)
    }

    /// The app's access token; the successor of `refused` if WeChat has refused that one.
    pub async fn access_token(
        &self,
        app: &AppId,
        refused: Option<&AppAccessToken>,
    ) -> Result<Usable, ServiceError> {
        let calls = &self.keys.calls;
        let apps = calls.apps.all();
        let own = calls.exchangers.own_app(app);
        let app = match own {
            Some(own) => own,
            None => calls.choose(&apps, Some(app), None)?,
        };
        if app.platform() != Platform::WeChat {
            return Err(AppRefusal::OnlyAtWeChat.into());
        }
        if matches!(app.kind, AppKind::Website | AppKind::MobileApp) {
            return Err(AppRefusal::NoAccessToken.into());
        }
        let lent = calls.access_tokens(app).lend(refused).await;
        Ok(lent.map_err(|error| error.of(&app.id))?)
    }

    async fn latest_session(
        &self,
        user: &UserId,
        app: &AppId,
    ) -> Result<(Person, KeptKey, SessionKey), ServiceError> {
        self.keys.calls.check_app(app, false)?;
        self.keys.calls.check_has_session_keys(app)?;
        let of_app = self
            .bindings
            .people_of(user)
            .await?
            .into_iter()
            .flatten()
            .filter(|person| person.app == *app);
        let sessions = try_join_all(of_app.map(|person| self.session_of(person, user))).await?;
        let latest = sessions
            .into_iter()
            .flatten()
            .max_by_key(|(_, kept)| kept.as_ref().map(|(at, _)| *at));
        self.ids.check_listed(latest.is_some())?;
        let (person, kept) = latest.ok_or(ServiceError::PersonNotFound)?;
        let (at, sealed) = kept
            .filter(|(_, sealed)| !sealed.is_stale())
            .ok_or(ServiceError::SessionKeyMissing)?;
        let unsealed = self
            .keys
            .unseal(&self.keys.calls.vault.load_full(), &sealed, &person)
            .await;
        let (key, sealed) = unsealed.ok_or(ServiceError::SessionKeyMissing)?;
        Ok((person, (at, sealed), key))
    }

    /// The person, with the session key if there is one. `None` for a person who is not bound to
    /// the user.
    async fn session_of(
        &self,
        person: Person,
        user: &UserId,
    ) -> Result<Option<(Person, Option<KeptKey>)>, StoreError> {
        let kept = self.keys.sessions.keys(&person).await?;
        // Read last, because the person may have left the user and logged in as another one
        // meanwhile.
        let bound = self
            .bindings
            .find(&person)
            .await?
            .filter(|bound| bound.user == *user);
        Ok(bound.map(|bound| (person, bound.last_login.zip(kept.into_iter().next()))))
    }
}
