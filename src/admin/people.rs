//! The handlers of the paths about people, whom the business's receiver of WeChat's pushes names by openid.

use actix_web::{HttpRequest, web};

use super::{
    act::{Act, OperatingData},
    tokens::Right,
};
use crate::{
    http::Answer,
    ids::Person,
    login::{LoginError, ShownPerson},
};

type PersonPath = web::Path<(String, String)>;

/// Find the user of an openid
#[utoipa::path(get, path = "/wechat/{appid}/people/{openid}", operation_id = "look_up_person",
    tag = "people", security(("bearer" = ["read"])),
    params(("appid" = String, Path), ("openid" = String, Path)),
    responses((status = 200, description = "The person", body = ShownPerson)))]
pub(super) async fn look_up(request: HttpRequest, path: PersonPath, operating: OperatingData) -> Answer {
    let act = Act::begin("look_up_person", Right::Read, &request, path, operating)?;
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
pub(super) async fn end(request: HttpRequest, path: PersonPath, operating: OperatingData) -> Answer {
    let act = Act::begin("end_person", Right::Operate, &request, path, operating)?;
    act.change(async |operating, person: &Person| {
        let is_known = operating.operator().end_person(person).await?;
        operating.worker.check_app(&person.app, is_known)
    })
    .await
}

/// Dissolve a person's binding, and erase what is kept of the person
///
/// For WeChat's push `user_authorization_cancellation`.
#[utoipa::path(delete, path = "/wechat/{appid}/people/{openid}", operation_id = "erase_person",
    tag = "people", security(("bearer" = ["operate"])),
    params(("appid" = String, Path), ("openid" = String, Path)), responses((status = 204, description = "Erased")))]
pub(super) async fn erase(request: HttpRequest, path: PersonPath, operating: OperatingData) -> Answer {
    let act = Act::begin("erase_person", Right::Operate, &request, path, operating)?;
    act.change(async |operating, person: &Person| {
        let is_known = operating.operator().erase(person).await?;
        operating.worker.check_app(&person.app, is_known)
    })
    .await
}
