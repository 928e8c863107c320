//! The handlers of the paths about users. Each act is noted for the audit, whatever becomes of it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::tokens::{CurrentAdminTokens, OperatorName};
use crate::{
    http::{Answer, Problem, private, to_the_end},
    ids::{AppId, UserId},
    login::{LoginError, Operator, ShownBinding},
    store::Store,
    telemetry::audit,
};

/// What the paths about users need: the operators' secrets, and the admin listener's own connection to the store.
pub(super) struct Operating {
    pub(super) tokens: CurrentAdminTokens,
    pub(super) store: Box<dyn Store>,
}

impl Operating {
    fn operator(&self) -> Operator<'_> {
        Operator { store: &*self.store }
    }
}

type OperatingData = web::Data<Operating>;

/// The answer of `GET /users/{user_id}/wechat`: peers need openids for calls of WeChat's API.
#[derive(Serialize)]
struct WeChatOfUser {
    user_id: UserId,
    wechat: Vec<ShownBinding>,
}

/// `GET /users/{user_id}/wechat`: lists the user's WeChat identities, oldest binding first. The list is empty for a user
/// without a binding and for an unknown user alike, because only the business knows its users.
pub(super) async fn wechat_of_user(request: HttpRequest, user: web::Path<String>, operating: OperatingData) -> Answer {
    let act = Act::begin("look_up", &request, &user, &operating)?;
    let wechat = act.done(operating.operator().bindings_of(&act.user).await)?;
    Ok(private(WeChatOfUser { user_id: act.user, wechat }))
}

/// `GET /users/{user_id}`
pub(super) async fn show(request: HttpRequest, user: web::Path<String>, operating: OperatingData) -> Answer {
    let act = Act::begin("show", &request, &user, &operating)?;
    Ok(private(act.done(operating.operator().show(&act.user).await)?))
}

/// `DELETE /users/{user_id}/wechat/{appid}`
pub(super) async fn dissolve(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    operating: OperatingData,
) -> Answer {
    let (user, app) = path.into_inner();
    let act = Act::begin("dissolve", &request, &user, &operating)?;
    let app: AppId = app.parse().map_err(|error| Problem::invalid(format!("The AppID {error}.")))?;
    to_the_end(async move { act.done(operating.operator().dissolve(&act.user, &app).await) }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /users/{user_id}/end`
pub(super) async fn end(request: HttpRequest, user: web::Path<String>, operating: OperatingData) -> Answer {
    let act = Act::begin("end", &request, &user, &operating)?;
    to_the_end(async move { act.done(operating.operator().end(&act.user).await) }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `PUT /users/{user_id}/block`
pub(super) async fn block(request: HttpRequest, user: web::Path<String>, operating: OperatingData) -> Answer {
    let act = Act::begin("block", &request, &user, &operating)?;
    to_the_end(async move { act.done(operating.operator().block(&act.user).await) }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `DELETE /users/{user_id}/block`
pub(super) async fn unblock(request: HttpRequest, user: web::Path<String>, operating: OperatingData) -> Answer {
    let act = Act::begin("unblock", &request, &user, &operating)?;
    to_the_end(async move { act.done(operating.operator().unblock(&act.user).await) }).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// An act of an operator, for the audit log.
struct Act {
    action: &'static str,
    by: OperatorName,
    user: UserId,
}

impl Act {
    fn begin(action: &'static str, request: &HttpRequest, user: &str, operating: &Operating) -> Result<Self, Problem> {
        let by = operating.tokens.operator(request)?;
        let user = user.parse().map_err(|error| Problem::invalid(format!("The user id {error}.")))?;
        Ok(Self { action, by, user })
    }

    /// Writes the outcome to the audit log.
    fn done<T, E: Into<LoginError>>(&self, outcome: Result<T, E>) -> Result<T, Problem> {
        let outcome = outcome.map_err(|error| Problem::from(error.into()));
        let said = outcome.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "ok");
        audit(self.action, self.by.as_str(), self.user.as_str(), said);
        outcome
    }
}
