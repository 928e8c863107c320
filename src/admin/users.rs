//! The handlers of the paths about users, by user id, and about people, whom the business's
//! receiver of WeChat's pushes names by openid. For the person on duty: the logins of the last
//! hour, and the search for a user.

use actix_web::HttpRequest;
use serde::Serialize;
use utoipa::ToSchema;
use wxmint_http::{Answer, Done, Fields, Problem, private, run_to_completion};
use wxmint_ids::{AppId, Person, UserId};
use wxmint_telemetry::LastHour;

use super::admin_request::{AdminRequest, OperatingData};
use super::tokens::Right;
use crate::login::{FoundUser, LoginParts, OperatorError, ShownBinding, ShownPerson, ShownUser};

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
/// The list is empty for a user without a binding and for an unknown user alike, because only the
/// business knows its users. 403 where `WXMINT_USER_INDEX=false` leaves this service without a list.
#[utoipa::path(get, path = "/users/{user_id}/wechat", tag = "users", security(("bearer" = ["read"])),
    params(("user_id" = String, Path)), responses((status = 200, description = "The identities", body = WeChatOfUser)))]
pub(super) async fn wechat_of_user(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = AdminRequest::begin("look_up", Right::Read, &request, operating).await?;
    act.show(async |operating, user: &UserId| {
        let found = operating.operator().bindings_of(user).await?;
        operating.login.ids.check_listed(!found.is_empty())?;
        let wechat = found.into_iter().map(ShownBinding::from).collect();
        Ok::<_, OperatorError>(WeChatOfUser {
            user_id: user.clone(),
            wechat,
        })
    })
    .await
}

/// Show what is kept of a user
#[utoipa::path(get, path = "/users/{user_id}", tag = "users", security(("bearer" = ["read"])),
    params(("user_id" = String, Path)), responses((status = 200, description = "What is kept", body = ShownUser)))]
pub(super) async fn show(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = AdminRequest::begin("show", Right::Read, &request, operating).await?;
    act.show(async |operating, user: &UserId| operating.operator().show(user).await)
        .await
}

/// Dissolve a user's binding in one mini program
///
/// Does what `DELETE /binding` does for the person.
#[utoipa::path(delete, path = "/users/{user_id}/wechat/{appid}", tag = "users", security(("bearer" = ["operate"])),
    params(("user_id" = String, Path), ("appid" = String, Path)), responses((status = 204, description = "Dissolved")))]
pub(super) async fn dissolve(request: HttpRequest, operating: OperatingData) -> Done {
    let act = AdminRequest::begin("dissolve", Right::Operate, &request, operating).await?;
    act.run(async |operating, (user, app): &(UserId, AppId)| {
        let is_known = operating.operator().unbind(user, app).await?;
        operating.login.deserted_users().expire(user, app).await?;
        operating.login.app_calls().check_app(app, is_known)?;
        operating.login.ids.check_listed(is_known)?;
        Ok::<_, OperatorError>(())
    })
    .await
}

/// Revoke all tokens of a user
#[utoipa::path(post, path = "/users/{user_id}/revoke", tag = "users", security(("bearer" = ["operate"])),
    params(("user_id" = String, Path)), responses((status = 204, description = "Revoked")))]
pub(super) async fn end(request: HttpRequest, operating: OperatingData) -> Done {
    let act = AdminRequest::begin("end", Right::Operate, &request, operating).await?;
    act.run(async |operating, user: &UserId| operating.operator().end(user).await)
        .await
}

/// Block a user
///
/// Refuses the user's logins, and revokes all tokens for good.
#[utoipa::path(put, path = "/users/{user_id}/block", tag = "users", security(("bearer" = ["operate"])),
    params(("user_id" = String, Path)), responses((status = 204, description = "Blocked")))]
pub(super) async fn block(request: HttpRequest, operating: OperatingData) -> Done {
    let act = AdminRequest::begin("block", Right::Operate, &request, operating).await?;
    act.run(async |operating, user: &UserId| operating.operator().block(user).await)
        .await
}

/// Lift the block of a user
///
/// Revoked tokens stay revoked.
#[utoipa::path(delete, path = "/users/{user_id}/block", tag = "users", security(("bearer" = ["operate"])),
    params(("user_id" = String, Path)), responses((status = 204, description = "Lifted")))]
pub(super) async fn unblock(request: HttpRequest, operating: OperatingData) -> Done {
    let act = AdminRequest::begin("unblock", Right::Operate, &request, operating).await?;
    act.run(async |operating, user: &UserId| operating.operator().unblock(user).await)
        .await
}

/// Find the user of an openid
#[utoipa::path(get, path = "/wechat/{appid}/people/{openid}", tag = "people", security(("bearer" = ["read"])),
    params(("appid" = String, Path), ("openid" = String, Path)),
    responses((status = 200, description = "The person", body = ShownPerson)))]
pub(super) async fn look_up_person(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = AdminRequest::begin("look_up_person", Right::Read, &request, operating).await?;
    act.show(async |operating, person: &Person| {
        let found = operating.operator().look_up(person).await?;
        operating
            .login
            .app_calls()
            .check_app(&person.app, found.is_some())?;
        found.ok_or(OperatorError::PersonNotFound)
    })
    .await
}

/// Revoke the tokens of a person's user in this mini program
///
/// For WeChat's push `user_authorization_revoke`. Tokens of this very second are revoked, too.
#[utoipa::path(post, path = "/wechat/{appid}/people/{openid}/revoke", tag = "people", security(("bearer" = ["operate"])),
    params(("appid" = String, Path), ("openid" = String, Path)), responses((status = 204, description = "Revoked")))]
pub(super) async fn end_person(request: HttpRequest, operating: OperatingData) -> Done {
    let act = AdminRequest::begin("end_person", Right::Operate, &request, operating).await?;
    act.change_person(async |operator, person| Ok((operator.revoke_person(person).await?, false)))
        .await
}

/// Dissolve a person's binding, and erase what is kept of the person
///
/// For WeChat's push `user_authorization_cancellation`.
#[utoipa::path(delete, path = "/wechat/{appid}/people/{openid}", tag = "people", security(("bearer" = ["operate"])),
    params(("appid" = String, Path), ("openid" = String, Path)), responses((status = 204, description = "Erased")))]
pub(super) async fn erase_person(request: HttpRequest, operating: OperatingData) -> Done {
    let act = AdminRequest::begin("erase_person", Right::Operate, &request, operating).await?;
    act.change_person(async |operator, person| Ok(operator.erase_person(person).await?))
        .await
}

/// Count the logins of the last hour
///
/// Those that this process has answered, by outcome and minute. Another process, and this one after
/// a restart, has its own.
#[utoipa::path(get, path = "/activity", tag = "duty", security(("bearer" = ["read"])),
    params(("appid" = Option<String>, Query, description = "Only the logins of this mini program")),
    responses((status = 200, description = "The logins", body = LastHour)))]
pub(super) async fn activity(request: HttpRequest, operating: OperatingData) -> Answer {
    let act = AdminRequest::<()>::begin("activity", Right::Read, &request, operating).await?;
    let logins = read_activity(&act.operating.login, request.query_string());
    Ok(private(act.done(logins)?))
}

/// The last hour's logins in the app that the query names, or in all apps.
fn read_activity(login: &LoginParts, query: &str) -> Result<LastHour, Problem> {
    let app: Option<AppId> = Fields::from_form(query.as_bytes(), &["appid"])?.parse("appid")?;
    if let Some(app) = &app {
        login
            .app_calls()
            .check_app(app, false)
            .map_err(OperatorError::from)?;
    }
    Ok(login.metrics.last_hour(app.as_ref()))
}

/// The answer of `GET /find`.
#[derive(Serialize, ToSchema)]
pub(super) struct FoundUsers {
    /// Usually one. Empty if nobody is known by this text.
    found: Vec<FoundUser>,
}

/// Find a user by user id, openid or unionid
///
/// An openid is looked for in every mini program that is configured.
#[utoipa::path(get, path = "/find", tag = "duty", security(("bearer" = ["read"])),
    params(("q" = String, Query, description = "A user id, an openid or a unionid")),
    responses((status = 200, description = "Who was found, and by what", body = FoundUsers)))]
pub(super) async fn find(request: HttpRequest, operating: OperatingData) -> Answer {
    let mut act = AdminRequest::<()>::begin("find", Right::Read, &request, operating).await?;
    let asked = Fields::from_form(request.query_string().as_bytes(), &["q"])
        .and_then(|fields| fields.parse("q"));
    let asked = asked.and_then(|id| {
        id.ok_or_else(|| {
            Problem::invalid("The query lacks `q`: a user id, an openid or a unionid.")
        })
    });
    let id = act.audit_failure(asked)?;
    let finding = async move {
        let found = act
            .operating
            .operator()
            .find(&id, &act.operating.login.apps.all())
            .await;
        let first = found.as_ref().ok().and_then(|found| found.first());
        act.event.user = first.map(|found| found.user_id.clone());
        act.done(found)
    };
    Ok(private(FoundUsers {
        found: run_to_completion(finding).await?,
    }))
}
