//! The facts about users and people that operators are shown.

use serde::Serialize;
use utoipa::ToSchema;
use wxmint_ids::{AppId, Person, UserId};
use wxmint_store::Bound;

/// The stored facts about a user, for operators. Times are seconds since 1970.
#[derive(Serialize, ToSchema)]
pub struct ShownUser {
    #[schema(value_type = String)]
    pub(super) user_id: UserId,
    pub(super) blocked: bool,
    /// The second up to which all tokens are revoked.
    #[schema(required)]
    pub(super) revoked_before: Option<i64>,
    #[schema(required)]
    pub(super) last_login: Option<i64>,
    pub(super) wechat: Vec<ShownBinding>,
}

/// The stored facts about a person, for operators. Times are seconds since 1970.
#[derive(Serialize, ToSchema)]
pub struct ShownPerson {
    #[schema(value_type = String)]
    pub(super) user_id: UserId,
    /// Null if WeChat has named none, or user ids are computed.
    #[schema(required)]
    pub(super) unionid: Option<String>,
    pub(super) bound_at: i64,
    pub(super) blocked: bool,
    #[schema(required)]
    pub(super) last_login: Option<i64>,
}

/// A user who was looked for.
#[derive(Serialize, ToSchema)]
pub struct FoundUser {
    /// `user_id`, `unionid` or `openid`: what the text is.
    #[schema(value_type = String, example = "user_id")]
    pub(super) by: &'static str,
    /// The mini program of the openid.
    #[schema(required, value_type = Option<String>)]
    pub(super) appid: Option<AppId>,
    #[schema(value_type = String)]
    pub user_id: UserId,
}

/// One of a user's WeChat identities.
#[derive(Serialize, ToSchema)]
pub struct ShownBinding {
    #[schema(value_type = String)]
    pub(super) appid: AppId,
    pub(super) openid: String,
    /// Null if WeChat has named none, or user ids are computed.
    #[schema(required)]
    pub(super) unionid: Option<String>,
    /// Seconds since 1970.
    pub(super) bound_at: i64,
}

impl From<(Person, Bound)> for ShownBinding {
    fn from((person, bound): (Person, Bound)) -> Self {
        let openid = person.openid.as_str().to_owned();
        let bound_at = bound.bound_at.timestamp();
        let unionid = bound.unionid.map(|unionid| unionid.as_str().to_owned());
        Self {
            appid: person.app,
            openid,
            unionid,
            bound_at,
        }
    }
}
