//! The handlers of the paths about people, whom the business's receiver of WeChat's pushes names by openid.

use actix_web::{HttpRequest, HttpResponse, web};

use super::{
    act::{Act, OperatingData},
    tokens::Right,
};
use crate::{
    http::{Answer, private, to_the_end},
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
    let act = Act::<Person>::begin("look_up_person", Right::Read, &request, path, &operating)?;
    let reading = async move {
        let found = operating.operator().look_up(&act.target).await.map_err(LoginError::from);
        act.done(found.and_then(|found| {
            operating.worker.check_app(&act.target.app, found.is_some())?;
            found.ok_or(LoginError::UnknownPerson)
        }))
    };
    Ok(private(to_the_end(reading).await?))
}

/// Revoke the tokens of a person's user in this mini program
///
/// For WeChat's push `user_authorization_revoke`. Tokens of this very second are revoked, too.
#[utoipa::path(post, path = "/wechat/{appid}/people/{openid}/end", operation_id = "end_person",
    tag = "people", security(("bearer" = ["operate"])),
    params(("appid" = String, Path), ("openid" = String, Path)), responses((status = 204, description = "Revoked")))]
pub(super) async fn end(request: HttpRequest, path: PersonPath, operating: OperatingData) -> Answer {
    let act = Act::<Person>::begin("end_person", Right::Operate, &request, path, &operating)?;
    let ending = async move {
        let known = operating.operator().end_person(&act.target).await;
        act.done(known.and_then(|known| operating.worker.check_app(&act.target.app, known)))
    };
    to_the_end(ending).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Dissolve a person's binding, and erase what is kept of the person
///
/// For WeChat's push `user_authorization_cancellation`.
#[utoipa::path(delete, path = "/wechat/{appid}/people/{openid}", operation_id = "erase_person",
    tag = "people", security(("bearer" = ["operate"])),
    params(("appid" = String, Path), ("openid" = String, Path)), responses((status = 204, description = "Erased")))]
pub(super) async fn erase(request: HttpRequest, path: PersonPath, operating: OperatingData) -> Answer {
    let act = Act::<Person>::begin("erase_person", Right::Operate, &request, path, &operating)?;
    let erasing = async move {
        let known = operating.operator().erase(&act.target).await;
        act.done(known.and_then(|known| operating.worker.check_app(&act.target.app, known)))
    };
    to_the_end(erasing).await?;
    Ok(HttpResponse::NoContent().finish())
}
