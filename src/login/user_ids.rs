//! How user ids are made: drawn and bound, or computed from the openid or the unionid and the id
//! key, so that no binding has to be stored. A binding that was made before takes precedence,
//! because its user keeps the id.

mod agreement;

use wxmint_ids::{AppId, IdKey, IdKind, Person, UnionId, UserId};
use wxmint_store::{DRAWN, StoreError, UnboundPolicy};

use self::agreement::Agreement;
use super::{LoginError, NotListed, Unavailable};
use crate::apps::Apps;

/// How user ids are made: drawn and bound, or computed with a key.
pub struct UserIds {
    /// `None` if user ids are drawn.
    key: Option<(IdKind, IdKey)>,
    /// Whether people are noted on their users' lists.
    listed: bool,
    /// Whether all processes make user ids in this way.
    pub agreement: Agreement,
}

impl UserIds {
    /// `key` is `None` if user ids are drawn.
    pub fn new(key: Option<(IdKind, IdKey)>, listed: bool, has_peers: bool) -> Self {
        let own = match &key {
            Some((kind, key)) => format!("{kind} {}", key.fingerprint()),
            None => DRAWN.to_owned(),
        };
        Self {
            key,
            listed,
            agreement: Agreement::new(own, has_peers),
        }
    }

    /// Whether user ids are computed. Otherwise they are drawn and bound.
    pub fn are_computed(&self) -> bool {
        self.key.is_some()
    }

    /// Whether a user's people cannot be found.
    pub(super) fn are_unlisted(&self) -> bool {
        self.are_computed() && !self.listed
    }

    /// Whether a person who is not on the user's list can have a valid token of the user. Computed
    /// user ids need no list: it may be lost, or may not be kept at all. If user ids are drawn, all
    /// people who are bound to the user are on the list.
    pub(super) fn need_no_list(&self) -> bool {
        self.are_computed()
    }

    /// Whether user ids are computed from openids.
    pub(super) fn are_of_openids(&self) -> bool {
        matches!(self.key, Some((IdKind::OpenId, _)))
    }

    /// Whether user ids are computed from unionids.
    pub(super) fn are_of_unionids(&self) -> bool {
        matches!(self.key, Some((IdKind::UnionId, _)))
    }

    /// The user id computed from the openid; `None` unless ids come from openids.
    pub(crate) fn of_openid(&self, person: &Person) -> Option<UserId> {
        self.key
            .as_ref()
            .filter(|_| self.are_of_openids())
            .map(|(_, key)| key.of_openid(person))
    }

    /// How to record a login of a person who may have no binding.
    pub fn if_unbound(
        &self,
        person: &Person,
        unionid: Option<&UnionId>,
        has_credentials: bool,
    ) -> Result<UnboundPolicy, StoreError> {
        self.agreement.check_agreed()?;
        Ok(
            match self.of_openid(person).or_else(|| self.of_unionid(unionid?)) {
                Some(user) => UnboundPolicy::Computed {
                    user,
                    listed: self.listed,
                },
                // A person without a unionid is counted, and then refused, unless there is a binding.
                None if has_credentials || self.are_computed() => UnboundPolicy::Counted,
                None => UnboundPolicy::ReportOnly,
            },
        )
    }

    pub(super) fn of_unionid(&self, unionid: &UnionId) -> Option<UserId> {
        if let Some((IdKind::UnionId, key)) = &self.key {
            Some(key.of_unionid(unionid))
        } else {
            None
        }
    }

    /// Why a person without a binding has no computed user: WeChat named no unionid. Otherwise a
    /// half-made or half-removed binding was finished just now, and the client tries again.
    pub(super) fn refusal(&self, unionid: Option<&UnionId>) -> LoginError {
        let is_unnamed = unionid.is_none() && !self.are_of_openids();
        if is_unnamed {
            LoginError::UnionIdMissing
        } else {
            Unavailable::Contended.into()
        }
    }

    /// Whether the app refuses people whose unionid WeChat has never named.
    pub(super) fn need_unionid(&self, app: &AppId, apps: &Apps) -> bool {
        !self.are_of_openids() && apps.need_unionid(app)
    }

    /// Refuses a user none of whose people `is_known`, if users have no lists that could name their
    /// people (`WXMINT_USER_INDEX=false`).
    pub fn check_listed(&self, is_known: bool) -> Result<(), NotListed> {
        if is_known || !self.are_unlisted() {
            Ok(())
        } else {
            Err(NotListed)
        }
    }
}
