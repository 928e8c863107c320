//! Access tokens in Redis, a hash for each app.

use std::time::Duration;

use wxmint_ids::AppId;

use super::{Redis, name, script};
use crate::{
    AttemptId, FAILED_PAUSE, Fingerprint, KeptToken, Lent, Result, Sealed, StoreError, TokenLife, UNRENEWED_PAUSE,
};

/// One access token for each app.
impl Redis {
    /// Lends the token of `app`, or gives the `lease` to fetch one to one caller. The token with the fingerprint `bad`
    /// is treated as missing. The same `attempt` gets the same lease again.
    pub async fn lend_access_token(
        &self,
        app: &AppId,
        attempt: &AttemptId,
        bad: Option<&Fingerprint>,
        lease: Duration,
    ) -> Result<Lent> {
        let script = script::LEND.on(&[&name::access_token(app)]);
        let script = script.text(attempt).arg(bad.map_or("", |bad| &bad.0)).arg(millis(lease));
        read(self.link.run("lend_access_token", script).await?)
    }

    /// Stores the fetched token and ends the lease. Does nothing if `attempt` holds no lease any more.
    pub async fn keep_access_token(
        &self,
        app: &AppId,
        attempt: &AttemptId,
        token: &KeptToken,
        life: TokenLife,
    ) -> Result<()> {
        let script = script::END_LEASE.on(&[&name::access_token(app)]);
        let script = script.text(attempt).arg(token.sealed.as_bytes()).arg(&token.fingerprint.0);
        let script = script.arg(millis(life.renew_in)).arg(millis(life.expires_in));
        Ok(self.link.run("keep_access_token", script).await?)
    }

    /// Ends a lease after a failed fetch. Nobody gets another lease for [`FAILED_PAUSE`], or for [`UNRENEWED_PAUSE`] if
    /// the old token is still valid.
    pub async fn give_up_access_token(&self, app: &AppId, attempt: &AttemptId) -> Result<()> {
        let script = script::END_LEASE.on(&[&name::access_token(app)]);
        let script = script.text(attempt).arg(millis(FAILED_PAUSE)).arg(millis(UNRENEWED_PAUSE));
        Ok(self.link.run("give_up_access_token", script).await?)
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

fn read(answer: Vec<Vec<u8>>) -> Result<Lent> {
    let mut answer = answer.into_iter();
    let kind = answer.next();
    let kept = answer.next().zip(answer.next()).zip(answer.next()).and_then(|((sealed, fingerprint), life)| {
        let fingerprint = Fingerprint(String::from_utf8(fingerprint).ok()?);
        let life = Duration::from_millis(str::from_utf8(&life).ok()?.parse().ok()?);
        Some((KeptToken { sealed: Sealed::from_stored(sealed), fingerprint }, life))
    });
    match (kind.as_deref(), kept) {
        (Some(b"token"), Some((kept, life))) => Ok(Lent::Token(kept, life)),
        (Some(b"renew"), Some((kept, life))) => Ok(Lent::Renew(kept, life)),
        (Some(b"fetch"), None) => Ok(Lent::Fetch),
        (Some(b"wait"), None) => Ok(Lent::Wait),
        (Some(b"failed"), None) => Ok(Lent::Failed),
        _ => Err(StoreError { reason: "an access token's slot is not as it was written".into() }),
    }
}
