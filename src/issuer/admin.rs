//! The admin listener's own handlers.

use actix_web::{HttpResponse, web};
use chrono::SecondsFormat;
use futures_util::future::try_join_all;
use serde::Serialize;

use super::{Issuer, private};
use crate::{
    http::{Answer, Problem, now},
    ids::{AppId, UserId},
    login::LoginError,
    store::{Binding, Store, StoreError},
};

/// The admin listener's own connection to the store.
pub(super) struct AdminStore(pub(super) Box<dyn Store>);

/// `GET /metrics`: OpenMetrics text.
pub(super) async fn metrics(issuer: web::Data<Issuer>) -> HttpResponse {
    let now = now();
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(issuer.metrics.exposition(issuer.keys.at(now).set().lives(), now))
}

/// The answer of `GET /users/{user_id}/wechat`. No other answer names openids; peers need them for calls of WeChat's
/// API.
#[derive(Serialize)]
struct WeChatOfUser {
    user_id: UserId,
    wechat: Vec<Identity>,
}

#[derive(Serialize)]
struct Identity {
    appid: AppId,
    openid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unionid: Option<String>,
    bound_at: String,
}

impl From<Binding> for Identity {
    fn from(binding: Binding) -> Self {
        Self {
            appid: binding.person.app,
            openid: binding.person.openid.as_str().to_owned(),
            unionid: binding.unionid.map(|unionid| unionid.as_str().to_owned()),
            bound_at: binding.bound_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }
}

/// `GET /users/{user_id}/wechat`: lists the user's WeChat identities, oldest binding first. The list is empty for a user
/// without a binding and for an unknown user alike, because only the business knows its users.
pub(super) async fn wechat_of_user(user: web::Path<String>, store: web::Data<AdminStore>) -> Answer {
    let user: UserId = user.parse().map_err(|error| Problem::invalid(format!("The user id {error}.")))?;
    let bindings = bindings_of(&user, &*store.0).await.map_err(LoginError::from)?;
    tracing::info!(user = user.as_str(), found = bindings.len(), "WeChat identities looked up");
    let found = WeChatOfUser { user_id: user, wechat: bindings.into_iter().map(Identity::from).collect() };
    Ok(private(found))
}

/// The store's list of a user may name people whose binding has not been made yet, or has just been dissolved.
async fn bindings_of(user: &UserId, store: &dyn Store) -> Result<Vec<Binding>, StoreError> {
    let people = store.people_of(user).await?.unwrap_or_default();
    let bindings = try_join_all(people.iter().map(|person| store.binding(person))).await?;
    let mut bindings: Vec<_> = bindings.into_iter().flatten().filter(|binding| binding.user == *user).collect();
    bindings.sort_by_key(|binding| (binding.bound_at, binding.person.app.clone(), binding.person.openid.clone()));
    Ok(bindings)
}
