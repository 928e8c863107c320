//! The handlers of the paths about users, by their ids, and about people, whom the business's receiver of WeChat's
//! pushes names by openid.

use actix_web::HttpRequest;
use serde::Serialize;
use utoipa::ToSchema;
use wxmint_http::Answer;
use wxmint_ids::{AppId, Person, UserId};

use super::act::{Act, OperatingData};
use super::tokens::Right;
use crate::login::{LoginError, ShownBinding, ShownPerson, ShownUser};

/// The answer of `GET /users/{user_id}/wechat`: peers need openids for calls of WeChat's API.
#[derive(Serialize, ToSchema)]
pub(super) struct WeChatOfUser {
    #[schema(value_type = String)]
    user_id: UserId,
    /// Oldest binding first.
    wechat: Vec<ShownBinding>,
}

/// List a user's WeChat identities
///
/// The list is empty for a user without a binding and for an unknown user alike, because only the business knows its
/// users.
#[utoipa::path(get, path = "/users/{user_id}/wechat", tag = "users", security(("bearer" = ["read"])),
    params(("user_id" = String, Path)), responses((status = 200, description = "The identities", body = WeChatOfUser)))]
pub(super) async fn wechat_of_user(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::begin("look_up", Right::Read, &request, operating).await?;
    act.show(async |operating, user: &UserId| {
        let wechat = operating.operator().bindings_of(user).await?.into_iter().map(ShownBinding::from).collect();
        Ok::<_, LoginError>(WeChatOfUser { user_id: user.clone(), wechat })
    })
    .await
}

/// Show what is kept of a user
#[utoipa::path(get, path = "/users/{user_id}", tag = "users", security(("bearer" = ["read"])),
    params(("user_id" = String, Path)), responses((status = 200, description = "What is kept", body = ShownUser)))]
pub(super) async fn show(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::begin("show", Right::Read, &request, operating).await?;
    act.show(async |operating, user: &UserId| operating.operator().show(user).await.map_err(LoginError::from)).await
}

/// Dissolve a user's binding in one mini program
///
/// Does what `DELETE /binding` does for the person.
#[utoipa::path(delete, path = "/users/{user_id}/wechat/{appid}", tag = "users", security(("bearer" = ["operate"])),
    params(("user_id" = String, Path), ("appid" = String, Path)), responses((status = 204, description = "Dissolved")))]
pub(super) async fn dissolve(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::begin("dissolve", Right::Operate, &request, operating).await?;
    act.change(async |operating, (user, app): &(UserId, AppId)| {
        let is_known = operating.operator().dissolve(user, app).await?;
        operating.worker.check_app(app, is_known)?;
        operating.worker.check_listed(is_known)
    })
    .await
}

/// Revoke all tokens of a user
#[utoipa::path(post, path = "/users/{user_id}/end", tag = "users", security(("bearer" = ["operate"])),
    params(("user_id" = String, Path)), responses((status = 204, description = "Revoked")))]
pub(super) async fn end(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::begin("end", Right::Operate, &request, operating).await?;
    act.change(async |operating, user: &UserId| operating.operator().end(user).await.map_err(LoginError::from)).await
}

/// Block a user
///
/// Refuses the user's logins, and revokes all tokens for good.
#[utoipa::path(put, path = "/users/{user_id}/block", tag = "users", security(("bearer" = ["operate"])),
    params(("user_id" = String, Path)), responses((status = 204, description = "Blocked")))]
pub(super) async fn block(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::begin("block", Right::Operate, &request, operating).await?;
    act.change(async |operating, user: &UserId| operating.operator().block(user).await.map_err(LoginError::from)).await
}

/// Lift the block of a user
///
/// Revoked tokens stay revoked.
#[utoipa::path(delete, path = "/users/{user_id}/block", tag = "users", security(("bearer" = ["operate"])),
    params(("user_id" = String, Path)), responses((status = 204, description = "Lifted")))]
pub(super) async fn unblock(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::begin("unblock", Right::Operate, &request, operating).await?;
    act.change(async |operating, user: &UserId| operating.operator().unblock(user).await.map_err(LoginError::from))
        .await
}

/// Find the user of an openid
#[utoipa::path(get, path = "/wechat/{appid}/people/{openid}", operation_id = "look_up_person",
    tag = "people", security(("bearer" = ["read"])),
    params(("appid" = String, Path), ("openid" = String, Path)),
    responses((status = 200, description = "The person", body = ShownPerson)))]
pub(super) async fn look_up_person(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::begin("look_up_person", Right::Read, &request, operating).await?;
    act.show(async |operating, person: &Person| {
        let found = operating.operator().look_up(person).await?;
        operating.worker.check_app(&person.app, found.is_some())?;
        found.ok_or(LoginError::UnknownPerson)
    })
    .await
}

/// Revoke the tokens of a person's user in this mini program
///
/// For WeChat's push `user_authorization_revoke`. Tokens of this very second are revoked, too.
#[utoipa::path(post, path = "/wechat/{appid}/people/{openid}/end", operation_id = "end_person",
    tag = "people", security(("bearer" = ["operate"])),
    params(("appid" = String, Path), ("openid" = String, Path)), responses((status = 204, description = "Revoked")))]
pub(super) async fn end_person(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::begin("end_person", Right::Operate, &request, operating).await?;
    act.change_person(async |operator, person| Ok((operator.end_person(person).await?, false))).await
}

/// Dissolve a person's binding, and erase what is kept of the person
///
/// For WeChat's push `user_authorization_cancellation`.
#[utoipa::path(delete, path = "/wechat/{appid}/people/{openid}", operation_id = "erase_person",
    tag = "people", security(("bearer" = ["operate"])),
    params(("appid" = String, Path), ("openid" = String, Path)), responses((status = 204, description = "Erased")))]
pub(super) async fn erase_person(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = Act::begin("erase_person", Right::Operate, &request, operating).await?;
    act.change_person(async |operator, person| operator.erase(person).await).await
}
