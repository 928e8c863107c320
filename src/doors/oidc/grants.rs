//! A site exchanges a code for tokens. If a code or a refresh token is used twice, the tokens of
//! the first use are revoked (RFC 9700 sections 2.1.2 and 4.14).

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wxmint_ids::{AppId, UserId};
use wxmint_keys::token::{ExtraClaims, Issued, Minter, SignedToken};
use wxmint_store::{Bound, Store};

use super::family::{self, Families, Family, hash};
use super::request::{AuthorizeRequest, OFFLINE};
use crate::login::{AppCalls, LoginParts, RequestError};
use crate::oauth::clients::Client;
use crate::oauth::grant::Grant;
use crate::oauth::records::{json, retry_for_5_s};

/// How long a code is valid, and for how much longer a second use is recognised.
const CODE_TTL: Duration = Duration::from_mins(1);
const CODE_KNOWN: Duration = Duration::from_mins(10);
/// The lifetime of an id token in seconds. A site reads it once.
const ID_TOKEN_TTL: i64 = 600;

/// A code's record in the store.
#[derive(Serialize, Deserialize)]
struct CodeGrant {
    family: Family,
    redirect_uri: String,
    challenge: String,
    nonce: Option<String>,
    claims: ExtraClaims,
    /// Seconds since 1970.
    made_at: i64,
}

/// The token response (RFC 6749 section 5.1, OpenID Connect Core section 3.1.3.3).
#[derive(Serialize)]
pub(super) struct Given {
    access_token: SignedToken,
    token_type: &'static str,
    expires_in: i64,
    id_token: SignedToken,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// The granted scopes. The site may have asked for more.
    scope: String,
    #[serde(skip)]
    pub(super) user: UserId,
}

/// The code and its companions, which a site shows for the first tokens of a login (RFC 6749
/// section 4.1.3, RFC 7636 section 4.5).
pub(super) struct ShownCode<'a> {
    pub(super) code: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) verifier: &'a str,
}

impl ShownCode<'_> {
    /// Whether the code was made for this address and this verifier.
    fn fits(&self, kept: &CodeGrant) -> bool {
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()));
        let is_verifier = (43..=128).contains(&self.verifier.len())
            && verify_slices_are_equal(challenge.as_bytes(), kept.challenge.as_bytes()).is_ok();
        is_verifier && self.redirect_uri == kept.redirect_uri
    }
}

/// The facts of a token response.
pub(super) struct NewTokens<'a> {
    pub(super) family: &'a Family,
    pub(super) issued: Issued,
    pub(super) refresh_token: Option<String>,
    pub(super) claims: &'a ExtraClaims,
    pub(super) nonce: Option<&'a str>,
}

/// Why a site gets no tokens.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotGiven {
    /// It may be a guess.
    #[error("the code or refresh token is unknown, another client's, or too old")]
    Unknown,
    /// Holds the family's first token.
    #[error("the code or refresh token was used before, so its family was revoked")]
    Theft(Box<Issued>),
    /// Holds the family's first token.
    #[error("the login has been revoked since, or can no longer be renewed")]
    Revocation(Box<Issued>),
    /// The site has got no tokens by this request, and may repeat it.
    #[error(transparent)]
    Failed(RequestError),
}

impl NotGiven {
    pub(super) fn revocation(family: &Family) -> Self {
        Self::Revocation(Box::new(family.first.clone()))
    }

    /// Whether the site may repeat the request.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl<E: Into<RequestError>> From<E> for NotGiven {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// For how many seconds after a login the client may renew its tokens.
pub(super) fn refresh_life(client: &Client) -> Option<i64> {
    i64::try_from(client.refresh?.as_secs()).ok()
}

/// Codes of sites, and the tokens that are given for them.
#[derive(Clone, Copy)]
pub(super) struct CodeGrants<'a> {
    pub(super) families: Families<'a>,
    pub(super) store: &'a Store,
    calls: AppCalls<'a>,
    pub(super) minter: &'a Minter,
}

impl<'a> CodeGrants<'a> {
    pub(super) fn of(login: &'a LoginParts) -> Self {
        Self {
            families: Families::of(login),
            store: &login.store,
            calls: login.app_calls(),
            minter: &login.minter,
        }
    }

    /// Makes a code for the grant of a person who has logged in through `app`.
    pub(super) async fn make_code(
        &self,
        request: &AuthorizeRequest<'_>,
        grant: Grant,
        app: &AppId,
    ) -> Result<String, RequestError> {
        let AuthorizeRequest {
            redirect_uri,
            challenge,
            nonce,
            scope,
            ..
        } = request.clone();
        let Grant {
            token: first,
            claims,
            mark,
        } = grant;
        let code = family::random();
        let family = Family {
            first,
            app: app.clone(),
            mark,
            scope,
            until: None,
            key: String::new(),
            is_told: false,
        };
        let kept = CodeGrant {
            family,
            redirect_uri,
            challenge,
            nonce,
            claims,
            made_at: self.store.clock.now().timestamp(),
        };
        self.store
            .texts
            .keep(
                &family::hashed_key("code", &code),
                &json(&kept),
                CODE_TTL + CODE_KNOWN,
            )
            .await?;
        Ok(code)
    }

    /// Exchanges a code for tokens. If an error prevents the answer, nobody has got the tokens, so
    /// the code may be sent again.
    pub(super) async fn redeem_code(
        &self,
        shown: &ShownCode<'_>,
        client: &Client,
    ) -> Result<Given, NotGiven> {
        let found: Option<CodeGrant> = self
            .families
            .find(&family::hashed_key("code", shown.code))
            .await?;
        let found = found.filter(|kept| kept.family.first.app == client.id.0);
        let Some(mut kept) = found else {
            return Err(NotGiven::Unknown);
        };
        let life = refresh_life(client).filter(|_| kept.family.scope.ends_with(OFFLINE));
        kept.family.until = life.map(|life| kept.family.first.issued_at.saturating_add(life));
        kept.family.is_told = client.logout_receiver.is_some();
        // If the app is missing at the moment, the request fails and the code stays valid.
        self.calls.check_app(&kept.family.app, false)?;
        let own = family::random();
        let redeemed = self.redeem_once(shown, kept, client, &own).await;
        if redeemed.as_ref().is_err_and(NotGiven::is_failure) {
            let used = family::hashed_key("used", shown.code);
            retry_for_5_s(async || self.store.texts.delete_own(&used, &own).await).await?;
        }
        redeemed
    }

    /// Uses the code up, even if the verifier or the address is wrong. `own` identifies this use.
    async fn redeem_once(
        &self,
        shown: &ShownCode<'_>,
        kept: CodeGrant,
        client: &Client,
        own: &str,
    ) -> Result<Given, NotGiven> {
        if !self.use_up(shown.code, own).await? {
            self.families.revoke_family(&kept.family).await?;
            // Further uses are counted as unknown codes, and revoke nothing again.
            self.store
                .texts
                .delete(&family::hashed_key("code", shown.code))
                .await?;
            return Err(NotGiven::Theft(Box::new(kept.family.first)));
        }
        let now = self.store.clock.now();
        let is_late = now.timestamp() - kept.made_at >= CODE_TTL.as_secs() as i64;
        if is_late || !shown.fits(&kept) {
            return Err(NotGiven::Unknown);
        }
        self.begin_family(kept, client, now).await
    }

    /// Returns whether this use of the code, which `own` identifies, is the first.
    async fn use_up(&self, code: &str, own: &str) -> Result<bool, RequestError> {
        let used = family::hashed_key("used", code);
        let first = async || {
            self.store
                .texts
                .keep_first(&used, own, 2 * CODE_KNOWN)
                .await
        };
        // Asks again, because a lost answer from Redis must not look like a second use.
        let found = if let Ok(found) = first().await {
            found
        } else {
            first().await?
        };
        Ok(found == own)
    }

    /// Stores the family of a code that was just used up, and gives its first tokens.
    async fn begin_family(
        &self,
        kept: CodeGrant,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Given, NotGiven> {
        let CodeGrant {
            mut family,
            nonce,
            claims,
            ..
        } = kept;
        let key = family::random();
        let secret = family::random();
        family.key = hash(&key);
        let refresh_token = family
            .until
            .map(|_| family::written(family.sid(), 1, &key, &secret));
        let next = refresh_token.as_deref().map(hash).unwrap_or_default();
        self.families.make_room(&family).await?;
        self.families.keep_family(&family, next, now).await?;
        // A revocation of the user from here on finds the family. An earlier revocation is seen
        // here.
        if self.bound_of(&family).await?.is_none() {
            self.families.revoke_family(&family).await?;
            return Err(NotGiven::revocation(&family));
        }
        let new = NewTokens {
            issued: family.first.clone(),
            family: &family,
            refresh_token,
            claims: &claims,
            nonce: nonce.as_deref(),
        };
        Ok(self.give(client, new, now)?)
    }

    /// The binding through which the person has logged in, unless the login has been revoked since.
    pub(super) async fn bound_of(&self, family: &Family) -> Result<Option<Bound>, RequestError> {
        // If the app is missing at the moment, the request fails and revokes nothing.
        self.calls.check_app(&family.app, false)?;
        Ok(self
            .families
            .issuance
            .still_bound(&family.app, &family.mark, &family.first)
            .await?)
    }

    /// Signs the access token and the id token, and makes the token response.
    pub(super) fn give(
        &self,
        client: &Client,
        new: NewTokens<'_>,
        now: DateTime<Utc>,
    ) -> Result<Given, RequestError> {
        let NewTokens {
            family,
            issued,
            refresh_token,
            claims,
            nonce,
        } = new;
        let access_token = self
            .minter
            .with(&client.audience, client.token_ttl)
            .mint(&issued, claims, now)?;
        // OpenID Connect Core section 2.
        let mut about = json!({
            "sub": issued.user.as_str(),
            "aud": client.id.as_str(),
            "iat": now.timestamp(),
            "exp": now.timestamp() + ID_TOKEN_TTL,
            // Redis' clock dates the login and may be ahead of this machine's clock.
            "auth_time": family.first.issued_at.min(now.timestamp()),
            "sid": family.sid(),
            "amr": ["wechat"],
        });
        if let Some(nonce) = nonce {
            about["nonce"] = nonce.into();
        }
        let id_token = self.minter.sign_id(about, &access_token, now)?;
        Ok(Given {
            access_token,
            token_type: "Bearer",
            expires_in: (issued.expires_at - self.store.clock.now().timestamp()).max(0),
            id_token,
            refresh_token,
            scope: family.scope.clone(),
            user: issued.user,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use chrono::TimeDelta;
    use wxmint_keys::PrivateJwk;
    use wxmint_store::{Store, StoreAccess, TokenState};
    use wxmint_verify::Algorithm;

    use super::*;
    use crate::clock::now;
    use crate::doors::servers::RedisServer;
    use crate::issuer::caller::tests::issuer;
    use crate::login::Unavailable;
    use crate::oauth::clients::Clients;

    const APP: &str = "wx0123456789abcdef";
    const BACK: &str = "https://grafana.example.com/";

    /// A file with one client.
    fn clients() -> Clients {
        let file = format!(
            r#"{{"clients":[{{"client_id":"grafana","name":"Grafana","appid":"{APP}"}}]}}"#
        );
        Clients::parse(file.as_bytes(), Duration::MAX).expect("clients")
    }

    fn verifier() -> String {
        "v".repeat(43)
    }

    /// A code of a login by the binding with this tag, and the first access token of the login.
    async fn code_of(login: &LoginParts, client: &Client, mark: &str) -> (String, Issued) {
        let id = login.minter.token_id(mark, now()).expect("random");
        let token = login.minter.issued(
            "user-1".parse().expect("a user"),
            client.id.0.clone(),
            id,
            now(),
        );
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier().as_bytes()));
        let asked = AuthorizeRequest {
            issuer: "https://login.example.com",
            client,
            redirect_uri: BACK.into(),
            state: None,
            nonce: None,
            challenge,
            scope: "openid".into(),
            id_token_hint: None,
        };
        let grant = Grant {
            token: token.clone(),
            claims: ExtraClaims::default(),
            mark: mark.into(),
        };
        let code = CodeGrants::of(login)
            .make_code(&asked, grant, &APP.parse().expect("an app"))
            .await
            .expect("a code");
        (code, token)
    }

    async fn redeem(login: &LoginParts, code: &str, client: &Client) -> Result<Given, NotGiven> {
        let shown = ShownCode {
            code,
            redirect_uri: BACK,
            verifier: &verifier(),
        };
        CodeGrants::of(login).redeem_code(&shown, client).await
    }

    /// Redis fails after the use of the code. A site that waits and asks again must not look like a
    /// thief.
    #[actix_web::test]
    async fn a_code_whose_use_was_answered_by_a_fault_can_be_used_again_and_once() {
        let server = RedisServer::start().await;
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let mut login = issuer(&key, ("WXMINT_TOKEN_TTL", "24h"))
            .login_parts()
            .expect("a worker");
        login.store = server.store();
        let clients = clients();
        let client = clients.iter().next().expect("a client");
        let (code, _) = code_of(&login, client, "mark").await;
        for _ in 0..2 {
            server.cli(&["ACL", "SETUSER", "default", "-zadd"]);
            let refused = redeem(&login, &code, client).await;
            assert!(
                matches!(
                    refused,
                    Err(NotGiven::Failed(RequestError::Unavailable(
                        Unavailable::Store(_)
                    )))
                ),
                "no list of logins can be written"
            );
            server.cli(&["ACL", "SETUSER", "default", "+@all"]);
        }
        assert!(
            matches!(
                redeem(&login, &code, client).await,
                Err(NotGiven::Revocation(_))
            ),
            "nobody is bound"
        );
        assert!(matches!(
            redeem(&login, &code, client).await,
            Err(NotGiven::Theft(_))
        ));
    }

    /// Whoever has found the code in a log may be late.
    #[actix_web::test]
    async fn a_code_that_comes_again_within_ten_minutes_is_theft_and_ends_the_login_of_its_first_use()
     {
        thread_local!(static AHEAD: Cell<TimeDelta> = const { Cell::new(TimeDelta::zero()) });
        let clock = || now() + AHEAD.get();
        let key =
            PrivateJwk::generate(Algorithm::Es256, now() - TimeDelta::hours(1)).expect("a key");
        let mut login = issuer(&key, ("WXMINT_TOKEN_TTL", "24h"))
            .login_parts()
            .expect("a worker");
        let clients = clients();
        let client = clients.iter().next().expect("a client");
        for (used_at, again_at) in [(0, 1), (0, 61), (30, 599)] {
            AHEAD.set(TimeDelta::zero());
            login.store = Store::new(&StoreAccess::in_memory(clock), Duration::ZERO, clock, ());
            let (code, token) = code_of(&login, client, "computed").await;
            AHEAD.set(TimeDelta::seconds(used_at));
            let first = redeem(&login, &code, client).await;
            assert!(first.is_ok(), "{used_at} s");
            AHEAD.set(TimeDelta::seconds(again_at));
            let again = redeem(&login, &code, client).await;
            assert!(
                matches!(again, Err(NotGiven::Theft(_))),
                "{used_at} s, then {again_at} s"
            );
            let state = login.store.revocations.token_state(&token).await;
            assert!(
                matches!(state, Ok(TokenState::Revoked { .. })),
                "{again_at} s: {state:?}"
            );
        }
    }
}
