//! Reads the revocation feed page by page. A page that fails a check changes nothing.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::set::Expiry;
use super::{MAX_HELD, PAGE_TYP, RevocationEntry, RevocationSet, RevocationsPage};
use crate::{KeySource, MAX_LEEWAY, Refused, jws::Jws};

/// The longest page that is read, in bytes. A page with [`super::MAX_PAGE_REVOCATIONS`] has about
/// 0.6 MB; wxmint's pages have a tenth of that.
pub const MAX_PAGE: usize = 2 * 1024 * 1024;
/// The longest cursor that is sent back, in bytes. wxmint's cursors have about 50 bytes.
const MAX_CURSOR: usize = 256;
/// How often expired revocations are purged, in seconds.
const PURGE_EVERY: i64 = 60;

/// Why a page was refused. The revocations that the verifier holds do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageRefused {
    /// The page is longer than [`MAX_PAGE`].
    #[error("it is longer than {MAX_PAGE} bytes")]
    TooLong,
    /// The page is not a JWS, has another `typ`, has no valid signature, is of another issuer, has
    /// expired, or is dated in the future.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The page is signed by a key that was revoked before, or that the page itself revokes.
    #[error("the key that signed it is revoked")]
    RevokedKey,
    /// The claims are not those of a page.
    #[error("its claims are not those of a page")]
    Claims,
    /// The page is older than an accepted page by more than [`MAX_LEEWAY`]. Pages that are only a
    /// little older are accepted, because each replica of the issuer caches pages for a second, and
    /// the clock of its store may be set back.
    #[error("it is much older than a page that was accepted before")]
    Older,
    /// The page's `after` is not the cursor that was sent.
    #[error("it is the answer to another cursor")]
    OtherCursor,
    /// The page says that there are more revocations, but its cursor is the cursor that was sent.
    #[error("it leads to itself")]
    Circle,
}

impl PageRefused {
    /// A word for a metric's label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Refused(Refused::Typ) => "typ",
            Self::Refused(Refused::UnknownKey) => "unknown_key",
            Self::Refused(Refused::Signature | Refused::Algorithm) => "signature",
            Self::Refused(Refused::Issuer) => "issuer",
            Self::Refused(Refused::Expired | Refused::IssuedInFuture) => "time",
            Self::Refused(_) | Self::Claims => "malformed",
            Self::RevokedKey => "revoked_key",
            Self::Older => "older",
            Self::OtherCursor => "other_cursor",
            Self::Circle => "circle",
        }
    }
}

/// A verifier's position in an issuer's revocation feed. The caller fetches the pages, for example
/// `verify::peer`.
pub struct RevocationFeed {
    revocations: Arc<RevocationSet>,
    cursor: String,
    /// The greatest `iat` of an accepted page. Expired revocations are purged by this time and not
    /// by the verifier's own clock, because a purged revocation is never fetched again.
    newest: i64,
    purged_at: i64,
    most: usize,
}

impl RevocationFeed {
    /// Begins before the first page, without revocations.
    pub fn of(issuer: &str) -> Self {
        let revocations = Arc::new(RevocationSet::of(issuer));
        Self {
            revocations,
            cursor: String::new(),
            newest: i64::MIN,
            purged_at: 0,
            most: MAX_HELD,
        }
    }

    #[cfg(test)]
    pub(crate) fn holding_at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// The revocations that are held, shared with the verifiers that look up tokens.
    pub fn revocations(&self) -> Arc<RevocationSet> {
        Arc::clone(&self.revocations)
    }

    /// The `after` of the next request; empty before the first page.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Checks a page that was requested with [`RevocationFeed::cursor`], and adds its revocations.
    /// Returns whether there are more: then request the next page at once.
    pub fn accept(
        &mut self,
        page: &str,
        keys: &(impl KeySource + ?Sized),
        now: DateTime<Utc>,
    ) -> Result<bool, PageRefused> {
        let page = self.verify(page, keys, now)?;
        self.judge(&page, now)?;
        Ok(self.take(page))
    }

    /// The claims of a page whose signature and `typ` are right.
    fn verify(
        &self,
        page: &str,
        keys: &(impl KeySource + ?Sized),
        at: DateTime<Utc>,
    ) -> Result<RevocationsPage, PageRefused> {
        if page.len() > MAX_PAGE {
            return Err(PageRefused::TooLong);
        }
        let jws = Jws::of(page)?;
        let header = jws.header()?;
        if header.typ.as_deref() != Some(PAGE_TYP) {
            return Err(Refused::Typ.into());
        }
        jws.check(&header, &jws.signature()?, keys, at)?;
        let page: RevocationsPage =
            serde_json::from_slice(&jws.claims()?).map_err(|_| PageRefused::Claims)?;
        let revokes_its_key = |entry: &RevocationEntry| matches!(entry, RevocationEntry::Key { kid, .. } if *kid == *header.kid);
        if self.revocations.has_revoked_key(&header.kid) || page.revoked.iter().any(revokes_its_key)
        {
            return Err(PageRefused::RevokedKey);
        }
        Ok(page)
    }

    fn judge(&self, page: &RevocationsPage, now: DateTime<Utc>) -> Result<(), PageRefused> {
        let leeway = MAX_LEEWAY.as_secs() as i64;
        let since = |time: i64| now.timestamp().saturating_sub(time);
        match () {
            () if page.iss != self.revocations.issuer() => Err(Refused::Issuer.into()),
            () if since(page.exp) >= leeway => Err(Refused::Expired.into()),
            () if since(page.iat) < -leeway => Err(Refused::IssuedInFuture.into()),
            () if page.iat < self.newest.saturating_sub(leeway) => Err(PageRefused::Older),
            () if !page.after.is_empty() && page.after != self.cursor => {
                Err(PageRefused::OtherCursor)
            }
            () if page.cursor.len() > MAX_CURSOR => Err(PageRefused::Claims),
            () if page.more && page.cursor == self.cursor => Err(PageRefused::Circle),
            () => Ok(()),
        }
    }

    fn take(&mut self, page: RevocationsPage) -> bool {
        self.newest = self.newest.max(page.iat);
        let expiry = Expiry::at(self.newest);
        for entry in &page.revoked {
            self.revocations.add(entry, expiry);
        }
        let is_full = self.revocations.count() > self.most + self.most / 16;
        if is_full || self.newest - self.purged_at >= PURGE_EVERY {
            self.revocations.purge_expired(expiry);
            self.purged_at = self.newest;
        }
        if is_full {
            self.revocations.keep_newest(self.most);
        }
        self.cursor = page.cursor;
        if !page.more {
            self.revocations.known_until(page.iat);
        }
        page.more
    }
}
